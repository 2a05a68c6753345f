"""Git bundles: how a deployment becomes a commit."""
