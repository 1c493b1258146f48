"""The command side: gateway, pipeline, load-decide-append. Knows nothing of the read side."""
