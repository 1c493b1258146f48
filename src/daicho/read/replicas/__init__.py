"""Reading from replicas of the store: which of them may answer, and how far behind each one is."""
