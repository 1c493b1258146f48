"""A primary and its standby, to be parted so that a tail is lost for sure; and an App for them."""

from collections.abc import Iterator

import psycopg

from daicho import Aggregate, Command, Event, Query, Row, Views, apply, event_handler, handle, projection, query_handler
from tests.services import postgres as clusters
from tests.services.guard import happens
from tests.services.running import Host


class Pair:
    """A primary and its standby, and a URL of both."""

    def __init__(self, host: Host) -> None:
        self.primary = clusters.postgres(host)
        self.standby = clusters.replica(self.primary)

    @property
    def url(self) -> str:
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return f"postgresql://postgres@{hosts}/postgres?reconnect_within=60"

    def cut(self) -> None:
        """Nothing of what is written from now on comes to the standby."""
        self.standby.catches_up()
        with psycopg.connect(self.standby.url, autocommit=True) as connection:
            connection.execute("alter system set primary_conninfo = ''")
            connection.execute("select pg_reload_conf()")
        with psycopg.connect(self.primary.url, autocommit=True) as connection:
            gone = "select 1 where not exists (select from pg_stat_replication)"
            assert happens(lambda: connection.execute(gone).fetchone() is not None, 60)

    def fail_over(self) -> None:
        self.primary.kill()
        self.standby.promote()

    def end(self) -> None:
        self.standby.kill()
        self.primary.kill()


class Pay(Command):
    account: str
    amount: int


class Note(Command):
    account: str


class Paid(Event, name="account.paid"):
    account: str
    amount: int


class Noted(Event, name="note.noted"):
    account: str


class Account(Aggregate, category="account", key="account"):
    total: int = 0

    @handle
    def pay(self, command: Pay) -> Iterator[Paid]:
        yield Paid(account=command.account, amount=command.amount)

    @apply
    def paid(self, event: Paid) -> None:
        self.total += event.amount


class Notes(Aggregate, category="note", key="account"):
    @handle
    def note(self, command: Note) -> Iterator[Noted]:
        yield Noted(account=command.account)

    @apply
    def noted(self, _: Noted) -> None: ...


@event_handler
def note_payment(event: Paid) -> Iterator[Note]:
    yield Note(account=event.account)


class Total(Row):
    account: str
    total: int = 0


@projection("totals", key=lambda event: event.account)
def totals(row: Total | None, event: Paid) -> Total:
    return Total(account=event.account, total=(row.total if row else 0) + event.amount)


@projection("here", key=lambda event: event.account)
def here(row: Total | None, event: Paid) -> Total:
    return Total(account=event.account, total=(row.total if row else 0) + event.amount)


class Totals(Query[dict[str, int]]): ...


class Here(Query[dict[str, int]]): ...


@query_handler
async def ask_totals(_: Totals, views: Views) -> dict[str, int]:
    return {row.account: row.total for row in await views[totals].find()}


@query_handler
async def ask_here(_: Here, views: Views) -> dict[str, int]:
    return {row.account: row.total for row in await views[here].find()}


PARTS = (Account, Notes, note_payment, totals, here, ask_totals, ask_here)
