"""The sandbox: where files that callers send are parsed, in a process that can neither see nor reach this service."""
