"""The composition root: what an App was told becomes a running system. The only room that knows every other."""
