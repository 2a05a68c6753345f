"""HTTP: how the contract becomes an application. One concern per module."""
