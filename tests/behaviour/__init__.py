"""A record of behaviour: requests with their responses and audit rows, replayed on another commit."""
