"""Event stores, each with the checkpoints, views and the rest that can share its transactions."""
