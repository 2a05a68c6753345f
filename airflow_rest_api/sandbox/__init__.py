"""The sandbox: where callers' files are parsed and connections tested, by processes that can reach nothing of this service."""
