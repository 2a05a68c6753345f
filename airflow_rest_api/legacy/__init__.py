"""The calls of the two old plugins, on the same services; deleting this package and its contracts deletes them."""
