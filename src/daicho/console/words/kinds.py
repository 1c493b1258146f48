"""The colours that people who sketch systems with sticky notes know, and the sign that goes with each: colour is never
the only one."""

__all__ = ["COLOURS", "SIGNS"]

COLOURS = {
    "command": "#2f6fde",
    "event": "#e8820c",
    "view": "#2e9e5b",
    "policy": "#9a6bd6",
    "external": "#d8578f",
    "good": "#2e9e5b",
    "bad": "#d43c3c",
    "warn": "#d99a00",
}
SIGNS = {
    "command": "arrow_forward",
    "event": "bolt",
    "view": "visibility",
    "policy": "settings_suggest",
    "external": "public",
}
