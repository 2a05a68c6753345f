"""The sandbox: files of callers are parsed and connections tested here, out of reach of all that this service has."""
