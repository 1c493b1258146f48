"""Something to operate: trips that are booked and paid for, rooms held for them by a process manager, a view that
chokes on one city until a file says that its code was mended, an event handler, a bus."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from daicho import (
    Aggregate,
    App,
    Command,
    Compensate,
    Deadline,
    Done,
    Event,
    Process,
    Query,
    Rejected,
    Route,
    Row,
    Views,
    apply,
    compensate,
    deadline,
    event_handler,
    handle,
    on,
    projection,
    query_handler,
    replace,
    start,
)


class BookTrip(Command):
    trip_id: str
    room: str
    city: str = "Kyoto"


class PayTrip(Command):
    trip_id: str


class TripBooked(Event, name="trip.booked"):
    trip_id: str
    room: str
    city: str


class TripPaid(Event, name="trip.paid"):
    trip_id: str


class Trip(Aggregate, category="trip", key="trip_id"):
    status: str = "absent"

    @handle
    def book(self, command: BookTrip) -> Iterator[TripBooked]:
        if self.status != "absent":
            raise Rejected("booked already")
        yield TripBooked(trip_id=command.trip_id, room=command.room, city=command.city)

    @handle
    def pay(self, command: PayTrip) -> Iterator[TripPaid]:
        if self.status == "booked":
            yield TripPaid(trip_id=command.trip_id)

    @apply
    def booked(self, _: TripBooked) -> None:
        self.status = "booked"

    @apply
    def paid(self, _: TripPaid) -> None:
        self.status = "paid"


class HoldRoom(Command):
    room: str
    trip_id: str


class FreeRoom(Command):
    room: str


class RoomHeld(Event, name="room.held"):
    room: str
    trip_id: str


class RoomFreed(Event, name="room.freed"):
    room: str


class Room(Aggregate, category="room", key="room"):
    held_by: str = ""

    @handle
    def hold(self, command: HoldRoom) -> Iterator[RoomHeld]:
        if self.held_by:
            raise Rejected(f"{command.room} is taken")
        yield RoomHeld(room=command.room, trip_id=command.trip_id)

    @handle
    def free(self, command: FreeRoom) -> Iterator[RoomFreed]:
        yield RoomFreed(room=command.room)

    @apply
    def was_held(self, event: RoomHeld) -> None:
        self.held_by = event.trip_id

    @apply
    def was_freed(self, _: RoomFreed) -> None:
        self.held_by = ""


class Booking(Process, category="booking", key="trip_id"):
    room: str = ""

    @start
    def booked(self, event: TripBooked) -> Iterator[HoldRoom | Deadline]:
        self.room = event.room
        yield HoldRoom(room=event.room, trip_id=event.trip_id)
        yield Deadline.set("payment", after=timedelta(days=2))

    @on
    def paid(self, _: TripPaid) -> Iterator[Done]:
        yield Done()

    @deadline("payment")
    def expired(self) -> Iterator[Compensate]:
        yield Compensate("not paid in time")

    @compensate
    def give_back(self, command: HoldRoom) -> FreeRoom:
        return FreeRoom(room=command.room)


class SendVoucher(Command):
    voucher_id: str


class VoucherSent(Event, name="voucher.sent"):
    voucher_id: str


class Voucher(Aggregate, category="voucher", key="voucher_id"):
    is_sent: bool = False

    @handle
    def send(self, command: SendVoucher) -> Iterator[VoucherSent]:
        if not self.is_sent:
            yield VoucherSent(voucher_id=command.voucher_id)

    @apply
    def sent(self, _: VoucherSent) -> None:
        self.is_sent = True


@event_handler
def thank(event: TripPaid) -> Iterator[SendVoucher]:
    yield SendVoucher(voucher_id=event.trip_id)


class TripRow(Row):
    trip_id: str
    city: str
    status: str = "booked"


@projection("trips", key=lambda event: event.trip_id)
def trips(row: TripRow | None, event: TripBooked | TripPaid) -> TripRow | None:
    if isinstance(event, TripPaid):
        return row and replace(row, status="paid")
    if event.city == "Atlantis" and not Path(os.environ.get("PLANT_MENDED", "/nowhere")).exists():
        raise LookupError(f"no such city: {event.city!r}")
    return TripRow(trip_id=event.trip_id, city=event.city)


class FindTrips(Query[list[TripRow]]):
    status: str = "booked"


@query_handler
async def find_trips(query: FindTrips, views: Views) -> list[TripRow]:
    return await views[trips].find(status=query.status)


def make(store: str = "sqlite:///plant.db") -> App:
    return App(
        Trip,
        Room,
        Booking,
        Voucher,
        thank,
        trips,
        find_trips,
        Route("POST", "/trips", BookTrip),
        store=store,
        name="plant",
        bus="memory:plant",
        listen=["payments"],
        partitions=2,
    )
