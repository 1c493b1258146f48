"""A topology as processes of this machine: on loopback, on ports of their own, for as long as the one that began it."""

from daicho.topologies.local.up import Up

__all__ = ["Up"]
