"""Between the sides: events become commands, and posted commands run. May read as the read side does."""
