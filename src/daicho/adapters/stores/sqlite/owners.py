"""Whether the owner of a lease still lives, as far as this machine can tell."""

from daicho.adapters.owner import is_gone

__all__ = ["is_gone"]
