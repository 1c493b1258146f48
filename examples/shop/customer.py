"""A customer and their personal data.

The id is of our own making: names and addresses never get into stream names or tags, which nothing can erase.
"""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from daicho import Aggregate, Command, Event, Rejected, State, apply, handle
from examples.shop.values import Country, Id

__all__ = [
    "Address",
    "ChangeAddress",
    "ChangeEmail",
    "Customer",
    "CustomerMoved",
    "CustomerRegistered",
    "EmailChanged",
    "RegisterCustomer",
]


Name = Annotated[str, Meta(min_length=1, max_length=200)]  # personal
Email = Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]  # personal


class Address(State):
    street: str  # personal
    city: str  # personal
    postcode: str  # personal
    country: Country


class RegisterCustomer(Command):
    customer_id: Id
    name: Name
    email: Email
    address: Address


class ChangeAddress(Command):
    customer_id: Id
    address: Address


class ChangeEmail(Command):
    customer_id: Id
    email: Email


class CustomerRegistered(Event, name="customer.registered", version=1):
    customer_id: Id
    name: Name
    email: Email
    address: Address


class CustomerMoved(Event, name="customer.moved", version=1):
    customer_id: Id
    address: Address


class EmailChanged(Event, name="customer.email_changed", version=1):
    customer_id: Id
    email: Email


class Customer(Aggregate, category="customer", key="customer_id"):
    name: str = ""
    email: str = ""
    address: Address | None = None

    @handle
    def register(self, command: RegisterCustomer) -> Iterator[CustomerRegistered]:
        if self.address is not None:
            raise Rejected(f"customer {command.customer_id} is registered already")
        yield CustomerRegistered(
            customer_id=command.customer_id, name=command.name, email=command.email, address=command.address
        )

    @handle
    def change_address(self, command: ChangeAddress) -> Iterator[CustomerMoved]:
        self._must_exist(command.customer_id)
        if command.address != self.address:
            yield CustomerMoved(customer_id=command.customer_id, address=command.address)

    @handle
    def change_email(self, command: ChangeEmail) -> Iterator[EmailChanged]:
        self._must_exist(command.customer_id)
        if command.email != self.email:
            yield EmailChanged(customer_id=command.customer_id, email=command.email)

    def _must_exist(self, customer_id: str) -> None:
        if self.address is None:
            raise Rejected(f"there is no customer {customer_id}")

    @apply
    def registered(self, event: CustomerRegistered) -> None:
        self.name, self.email, self.address = event.name, event.email, event.address

    @apply
    def moved(self, event: CustomerMoved) -> None:
        self.address = event.address

    @apply
    def email_changed(self, event: EmailChanged) -> None:
        self.email = event.email
