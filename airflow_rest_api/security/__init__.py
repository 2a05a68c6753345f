"""Who is calling, may they do it, and who did what."""
