"""Who a customer is, and what they have bought."""

from datetime import datetime

from daicho import Event, Query, RecordedEvent, Row, Views, projection, query_handler, replace
from examples.shop.customer import Address, CustomerMoved, CustomerRegistered, EmailChanged
from examples.shop.views.sale import Sale, Takings, customer_of, plus

__all__ = [
    "PARTS",
    "BestCustomers",
    "Contact",
    "ContactOf",
    "CustomerHistory",
    "CustomerSales",
    "contacts",
    "customer_history",
]


class Contact(Row):
    customer_id: str
    name: str  # personal
    email: str  # personal
    address: Address  # personal


def customer_id_of(event: CustomerRegistered | CustomerMoved | EmailChanged) -> str:
    return event.customer_id


@projection("contacts", key=customer_id_of)
def contacts(row: Contact | None, event: CustomerRegistered | CustomerMoved | EmailChanged) -> Contact | None:
    match event:
        case CustomerRegistered(customer_id=customer_id, name=name, email=email, address=address):
            return Contact(customer_id=customer_id, name=name, email=email, address=address)
        case CustomerMoved(address=address):
            return row and replace(row, address=address)
        case EmailChanged(email=email):
            return row and replace(row, email=email)


class CustomerSales(Takings):
    customer_id: str
    first_at: datetime
    last_at: datetime


@projection("customer_history", key=customer_of)
def customer_history(
    row: CustomerSales | None, sale: Sale, customer_id: str, recorded: RecordedEvent[Event]
) -> CustomerSales | None:
    at = recorded.occurred_at
    row = row or CustomerSales(customer_id=customer_id, first_at=at, last_at=at)
    return plus(replace(row, first_at=min(row.first_at, at), last_at=max(row.last_at, at)), sale)


class ContactOf(Query[Contact | None]):
    customer_id: str


class CustomerHistory(Query[CustomerSales | None]):
    customer_id: str


class BestCustomers(Query[list[CustomerSales]]):
    """Those with the most lines first."""

    limit: int = 20


@query_handler
async def find_contact(query: ContactOf, views: Views) -> Contact | None:
    return await views[contacts].get(query.customer_id)


@query_handler
async def find_customer_history(query: CustomerHistory, views: Views) -> CustomerSales | None:
    return await views[customer_history].get(query.customer_id)


@query_handler
async def find_best_customers(query: BestCustomers, views: Views) -> list[CustomerSales]:
    return await views[customer_history].find(order_by="lines", descending=True, limit=query.limit)


PARTS = (contacts, customer_history, find_contact, find_customer_history, find_best_customers)
