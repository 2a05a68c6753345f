"""The contract: what the service promises. Nothing in here runs; this file makes it package data."""
