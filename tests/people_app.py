"""Customers and what they order, with personal data of both kinds: what a stream is about, and what a field names."""

import os
from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from daicho import Aggregate, App, Command, Event, Personal, Rejected, Row, State, apply, handle, projection, upcast

Email = Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254), Personal]


class Address(State):
    street: str
    floor: int | None


class Register(Command):
    customer_id: str
    name: str
    email: str
    address: Address | None = None


class Buy(Command):
    order_id: str
    customer_id: str
    gift_for: str | None = None
    note: str = "none"


class CustomerRegistered(Event, name="customer.registered", version=2):
    customer_id: str
    name: Annotated[str, Personal]
    email: Email
    address: Annotated[Address | None, Personal] = None


class Bought(Event, name="order.bought", tags=("customer_id",)):
    order_id: str
    customer_id: str
    note: Annotated[str, Personal(subject="customer_id", forgotten="-")]
    gift_for: str | None = None
    greeting: Annotated[str | None, Personal(subject="gift_for")] = None


@upcast("customer.registered", 1)
def with_email(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "email": "unknown@example.org"}


class Customer(Aggregate, category="customer", key="customer_id"):
    name: str = ""
    email: str = ""
    changes: int = 0

    @handle
    def register(self, command: Register) -> Iterator[CustomerRegistered]:
        if command.name == "nobody":
            raise Rejected("everybody has a name")
        yield CustomerRegistered(
            customer_id=command.customer_id, name=command.name, email=command.email, address=command.address
        )

    @apply
    def registered(self, event: CustomerRegistered) -> None:
        self.name, self.email, self.changes = event.name, event.email, self.changes + 1


class Order(Aggregate, category="order", key="order_id"):
    note: str = ""

    @handle
    def buy(self, command: Buy) -> Iterator[Bought]:
        yield Bought(
            order_id=command.order_id,
            customer_id=command.customer_id,
            note=command.note,
            gift_for=command.gift_for,
            greeting=None if command.gift_for is None else f"From {command.customer_id}",
        )

    @apply
    def bought(self, event: Bought) -> None:
        self.note = event.note


class SendParcel(Command):
    parcel_id: str
    grams: int


class ParcelSent(Event, name="parcel.sent"):
    parcel_id: str
    grams: int


class Parcel(Aggregate, category="parcel", key="parcel_id"):
    """Only in the office; nobody reads its events."""

    @handle
    def send(self, command: SendParcel) -> Iterator[ParcelSent]:
        yield ParcelSent(parcel_id=command.parcel_id, grams=command.grams)

    @apply
    def sent(self, _: ParcelSent) -> None: ...


class Contact(Row):
    customer_id: str
    name: str
    email: str


class Purchase(Row):
    order_id: str
    note: str


def customer_id_of(event: CustomerRegistered) -> str:
    return event.customer_id


def order_id_of(event: Bought) -> str:
    return event.order_id


@projection("contacts", key=customer_id_of)
def contacts(row: Contact | None, event: CustomerRegistered) -> Contact:
    return Contact(customer_id=event.customer_id, name=event.name, email=event.email)


@projection("purchases", key=order_id_of, inline=True)
def purchases(row: Purchase | None, event: Bought) -> Purchase:
    if event.note == "poison":
        raise ValueError("not this one")
    return Purchase(order_id=event.order_id, note=event.note)


@projection("notes", key=order_id_of)
def notes(row: Purchase | None, event: Bought) -> Purchase:
    if event.note == "choke":
        raise ValueError("cannot swallow")
    return Purchase(order_id=event.order_id, note=event.note)


PARTS = (Customer, Order, contacts, purchases, notes, with_email)


def office() -> App:
    """For a process of its own, whose environment says where keys are."""
    return App(*PARTS, Parcel, store="memory:", personal=os.environ["PEOPLE_KEYS"], name="people")


def people(store: str = "memory:", keys: Any = "memory:", **options: Any) -> App:
    return App(*PARTS, store=store, personal=keys, **options)
