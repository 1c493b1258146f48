"""A customer, told by given / when / then; and where personal data must not go."""

import msgspec
import pytest

from daicho.testing import given
from examples.shop.customer import (
    Address,
    ChangeAddress,
    ChangeEmail,
    Customer,
    CustomerMoved,
    CustomerRegistered,
    EmailChanged,
    RegisterCustomer,
)

KYOTO = Address(street="1 Teramachi", city="Kyoto", postcode="604-8091", country="Japan")
LEEDS = Address(street="2 Albion St", city="Leeds", postcode="LS1 5ER", country="United Kingdom")

registered = CustomerRegistered(customer_id="c-1", name="Aya Sato", email="aya@example.org", address=KYOTO)
register = RegisterCustomer(customer_id="c-1", name="Aya Sato", email="aya@example.org", address=KYOTO)


def test_registers_once() -> None:
    given(Customer).when(register).then(registered)
    given(Customer, registered).when(register).then_rejected("customer c-1 is registered already")


def test_moves() -> None:
    move = ChangeAddress(customer_id="c-1", address=LEEDS)
    moved = CustomerMoved(customer_id="c-1", address=LEEDS)
    given(Customer, registered).when(move).then(moved)
    given(Customer, registered, moved).when(move).then_nothing()
    given(Customer).when(move).then_rejected("there is no customer c-1")


def test_changes_the_email_address() -> None:
    change = ChangeEmail(customer_id="c-1", email="sato@example.org")
    changed = EmailChanged(customer_id="c-1", email="sato@example.org")
    given(Customer, registered).when(change).then(changed)
    given(Customer, registered, changed).when(change).then_nothing()
    given(Customer).when(change).then_rejected("there is no customer c-1")


def test_an_email_address_has_the_shape_of_one() -> None:
    body = msgspec.json.encode(ChangeEmail(customer_id="c-1", email="nowhere"))
    with pytest.raises(msgspec.ValidationError, match="email"):
        msgspec.json.decode(body, type=ChangeEmail)


def test_no_personal_data_in_tags_or_stream_names() -> None:
    assert Customer.key == "customer_id"
    for event in (CustomerRegistered, CustomerMoved, EmailChanged):
        assert not event.__tag_fields__
