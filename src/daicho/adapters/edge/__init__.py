"""Edge caches: one a file."""
