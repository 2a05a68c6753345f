"""The calls of eBay's plugin, as it answered them."""
