"""The shapes that a system takes by its ratio of reads to writes: described once, run here, written for elsewhere."""

from daicho.topologies.compose import compose
from daicho.topologies.description import Part, Ratio, Topology
from daicho.topologies.helm import helm
from daicho.topologies.shapes import shape
from daicho.topologies.writing import write

__all__ = ["Part", "Ratio", "Topology", "compose", "helm", "shape", "write"]
