"""The live table of what runs."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from daicho.topologies.local.watching import Cached, Standing

__all__ = ["table"]

_COLOURS = {"ready": "green", "drained": "yellow"}


def table(title: str, rows: Sequence[Standing], edge: Cached | None, note: str = "") -> RenderableType:
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("part", "kind", "pid", "address", "state", "requests", "lag"):
        shown.add_column(column, no_wrap=True, justify="right" if column in ("pid", "requests") else "left")
    for row in rows:
        state = Text(row.state, style=_COLOURS.get(row.state, "red"))
        requests = "" if row.requests is None else f"{row.requests:,}"
        shown.add_row(row.part, row.kind, str(row.pid or ""), row.address, state, requests, row.lag)
    lines: list[RenderableType] = [shown]
    if edge is not None:
        figures = f"{edge.hit_rate:.1%} of reads are answered at the edge ({edge.hits:,} hits, {edge.misses:,} misses, "
        lines.append(
            Text(f"{figures}{edge.passed:,} passed); {edge.objects:,} answers kept, {edge.purged:,} keys purged")
        )
    if note:
        lines.append(Text(note, style="dim"))
    return Group(*lines)
