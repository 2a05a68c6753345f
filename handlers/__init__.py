"""The door: one module per tag, one function per operationId; the contract is the only caller."""
