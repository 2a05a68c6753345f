"""Deployments: what is sent, checked, stored in a bundle, followed until it is live, and undone."""
