"""Tables of calls that both services know, one module for each noun."""
