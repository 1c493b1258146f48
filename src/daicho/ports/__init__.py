"""What the engine needs from outside: one Protocol a file. Every method says its guarantee and its errors."""
