"""Variables, beyond what all named objects have in common."""
