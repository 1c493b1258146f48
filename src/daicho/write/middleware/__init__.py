"""One concern a file. Each wraps the handler behind it."""
