"""Files on disk: where they may lie, and how they are written for good."""
