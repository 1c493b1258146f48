"""Words and pure functions: stdlib and msgspec only; no I/O, no clock, no randomness, no logging, no async."""
