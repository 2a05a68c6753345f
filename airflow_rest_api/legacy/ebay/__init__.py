"""The calls of eBay's plugin."""
