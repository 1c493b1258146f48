"""`daicho init`: a project that runs, to be changed into one's own."""

from pathlib import Path

import click

from daicho.cli.group import Verb
from daicho.cli.output import output_option, print_record

__all__ = ["init"]

_APP = '''"""Seats that are reserved once. `daicho send ReserveSeat --set seat=1A --set name=Ada`"""

from collections.abc import Iterator

from daicho import Aggregate, App, Command, Event, Query, Rejected, Route, Row, Views
from daicho import apply, handle, projection, query_handler


class ReserveSeat(Command):
    seat: str
    name: str


class SeatReserved(Event, name="seat.reserved"):
    seat: str
    name: str


class Seat(Aggregate, category="seat", key="seat"):
    taken_by: str = ""

    @handle
    def reserve(self, command: ReserveSeat) -> Iterator[SeatReserved]:
        if self.taken_by:
            raise Rejected(f"{command.seat} is taken by {self.taken_by}")
        yield SeatReserved(seat=command.seat, name=command.name)

    @apply
    def reserved(self, event: SeatReserved) -> None:
        self.taken_by = event.name


class SeatRow(Row):
    seat: str
    name: str


@projection("seats", key=lambda event: event.seat)
def seats(_: SeatRow | None, event: SeatReserved) -> SeatRow:
    return SeatRow(seat=event.seat, name=event.name)


class FindSeats(Query[list[SeatRow]]):
    name: str


@query_handler
async def find_seats(query: FindSeats, views: Views) -> list[SeatRow]:
    return await views[seats].find(name=query.name)


app = App(
    Seat,
    seats,
    find_seats,
    Route("POST", "/seats", ReserveSeat),
    Route("GET", "/seats", FindSeats),
    store="sqlite:///app.db",
)
'''

_TEST = '''"""What a seat does, without a store: `python -m pytest`."""

from app import ReserveSeat, Seat, SeatReserved

from daicho.testing import given

reserved = SeatReserved(seat="1A", name="Ada")


def test_a_seat_is_reserved() -> None:
    given(Seat).when(ReserveSeat(seat="1A", name="Ada")).then(reserved)


def test_a_seat_is_reserved_once() -> None:
    given(Seat, reserved).when(ReserveSeat(seat="1A", name="Bob")).then_rejected("1A is taken by Ada")
'''

_FILES = {"app.py": _APP, "test_app.py": _TEST, "daicho.toml": 'app = "app:app"\n'}
_NEXT = (
    "daicho send ReserveSeat --set seat=1A --set name=Ada",
    "daicho tail",
    "daicho dev",
)


@click.command(cls=Verb)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@output_option
def init(folder: Path, output: str) -> None:
    """Writes an app, its tests and daicho.toml into FOLDER (this one, if none is named). Replaces nothing."""
    there = [name for name in _FILES if (folder / name).exists()]
    if there:
        raise click.UsageError(f"{folder / there[0]} exists; name another folder: daicho init shop")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    following = [*((f"cd {folder}",) if folder != Path() else ()), *_NEXT]
    if output != "table":
        print_record(output, {"files": [str(folder / name) for name in _FILES], "next": following})
        return
    for name in _FILES:
        click.echo(folder / name)
    click.echo("next:", err=True)
    for line in following:
        click.echo(f"  {line}", err=True)
