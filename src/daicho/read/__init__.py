"""The query side: subscriptions, projections, queries. Knows nothing of the command side."""
