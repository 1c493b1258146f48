"""Places for read models alone, away from the events."""
