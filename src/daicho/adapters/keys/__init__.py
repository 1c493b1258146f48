"""Key stores: one file each."""
