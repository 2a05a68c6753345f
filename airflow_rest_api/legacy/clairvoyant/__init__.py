"""The calls of Clairvoyant's plugin, as it answered them."""
