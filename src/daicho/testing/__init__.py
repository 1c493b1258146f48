"""Tools for testing what is built with Daicho: given / when / then, a virtual clock, crashes on demand, contracts."""

from daicho.testing.given import given

__all__ = ["given"]
