"""Variables, connections and pools have much in common: what callers read, make, change, replace and delete by name."""
