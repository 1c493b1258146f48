"""The client says the same words as the App, and gets the same answers and errors."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from daicho import (
    ABSENT,
    App,
    Command,
    ConcurrencyError,
    InvalidMessage,
    KeyReused,
    NotAuthenticated,
    NotAuthorised,
    Rejected,
    ServerFailed,
    ServerUnreachable,
    UnknownMessage,
)
from daicho.client import Client, SyncClient
from daicho.http import Principal
from daicho.http.security import Security
from daicho.server import application
from examples.quickstart import CreateOrder, FindOrders, OrderCreated
from tests.letters_app import AllLetters, LetterOf, LetterRow, LetterWritten, MoveLetter, WriteLetter, office
from tests.services.running import free_port
from tests.serving import served


class Known:
    """Takes names for credentials."""

    scheme = "Bearer"

    def takes(self, credential: str) -> bool:
        return True

    async def authenticate(self, credential: str) -> Principal:
        if credential == "forged":
            raise NotAuthenticated("the token was not accepted")
        scopes = frozenset({"letters:write", "letters:read"} if credential != "eve" else ())
        return Principal(actor=credential, scopes=scopes)


class Shaky(httpx.AsyncBaseTransport):
    """Loses the first answers: the server has done its work, and nobody hears of it."""

    def __init__(self, inner: httpx.AsyncBaseTransport, lost: int) -> None:
        self.inner, self.lost = inner, lost

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self.inner.handle_async_request(request)
        if self.lost:
            self.lost -= 1
            raise httpx.ReadError("gone")
        return answer


@asynccontextmanager
async def client(app: App, *, token: str = "ann", lost: int = 0, tries: int = 5) -> AsyncGenerator[Client]:
    async with app:
        served_: Any = application(app, security=Security(authenticators=[Known()]))
        transport = Shaky(httpx.ASGITransport(served_), lost)
        async with Client("http://x", token=token, events=[LetterWritten], tries=tries, transport=transport) as found:
            yield found


WRITE = WriteLetter(letter_id="l1", box="in", sender="ann")


async def test_a_command_gives_the_receipt_that_the_app_gives() -> None:
    app = office(tenancy=False)
    async with client(app) as shop:
        receipt = await shop.send(WRITE, key="once")
        assert receipt.events == (LetterWritten(letter_id="l1", box="in", sender="ann"),)
        assert (receipt.stream, receipt.version, int(receipt.position)) == ("letter-l1", 1, 1)
        again = await shop.send(WRITE, key="once")
        assert again.duplicate
        assert (again.command_id, again.events) == (receipt.command_id, receipt.events)
        assert await app.storage.head() == 1


async def test_a_question_after_a_command_sees_it_without_being_told_to() -> None:
    async with client(office(tenancy=False)) as shop:
        for number in range(20):
            await shop.send(WriteLetter(letter_id=f"l{number}", box="in"))
            rows = await shop.ask(AllLetters())
            assert len(rows) == number + 1
        assert await shop.ask(LetterOf(letter_id="l3")) == LetterRow(letter_id="l3", box="in")
        assert await shop.ask(LetterOf(letter_id="nothing")) is None


async def test_an_answer_that_got_lost_is_asked_for_again_and_the_command_counts_once() -> None:
    app = office(tenancy=False)
    async with client(app, lost=3) as shop:
        receipt = await shop.send(WRITE)
        assert receipt.duplicate
        assert await app.storage.head() == 1


async def test_when_nobody_answers_the_client_says_so() -> None:
    async with client(office(tenancy=False), lost=10, tries=2) as shop:
        with pytest.raises(ServerUnreachable):
            await shop.send(WRITE)


class Unheard(Command):
    name: str


async def test_errors_are_those_of_the_app() -> None:
    app = office(tenancy=False)
    async with client(app) as shop:
        await shop.send(WRITE, key="once")
        with pytest.raises(Rejected, match="written already"):
            await shop.send(WRITE)
        with pytest.raises(ConcurrencyError) as conflict:
            await shop.send(MoveLetter(letter_id="l1", box="out"), expected=7)
        assert conflict.value.actual == 1
        with pytest.raises(ConcurrencyError):
            await shop.send(WRITE, expected=ABSENT)
        await shop.send(MoveLetter(letter_id="l1", box="out"), expected=1)
        with pytest.raises(KeyReused):
            await shop.send(WriteLetter(letter_id="l2", box="in"), key="once")
        with pytest.raises(UnknownMessage):
            await shop.send(Unheard(name="x"))
        with pytest.raises(InvalidMessage):
            await shop.send(WriteLetter(letter_id=3, box="in"))  # type: ignore[arg-type]
        assert await shop.status("01a223a0-bfc8-7806-93cd-12ac837a0b88") is None


@pytest.mark.parametrize(("token", "error"), [("forged", NotAuthenticated), ("eve", NotAuthorised)])
async def test_who_may_not_is_told(token: str, error: type[Exception]) -> None:
    async with client(office(tenancy=False), token=token) as shop:
        with pytest.raises(error):
            await shop.send(WRITE)


async def test_a_posted_command_is_handled_soon_and_its_outcome_can_be_asked() -> None:
    app = office(tenancy=False)
    async with client(app) as shop:
        command_id = await shop.post(WRITE, key="later")
        assert await shop.post(WRITE, key="later") == command_id
        await app.settle()
        outcome = await shop.status(command_id)
        assert outcome is not None
        assert outcome.state == "done"
        refused = await shop.post(WRITE)
        await app.settle()
        found = await shop.status(refused)
        assert found is not None
        assert (found.state, found.reason) == ("rejected", "written already")


async def test_what_is_no_server_of_ours_is_not_believed() -> None:
    async def other(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="<html>Welcome to the hotel's network")

    async with Client("http://x", transport=httpx.MockTransport(other)) as shop:
        with pytest.raises(ServerFailed):
            await shop.send(WRITE)
        with pytest.raises(ServerFailed):
            await shop.ask(AllLetters())
        with pytest.raises(ServerFailed):
            await anext(shop.watch(AllLetters()))


@pytest.mark.slow
async def test_a_live_answer_goes_on_when_the_server_was_replaced(tmp_path: Path) -> None:
    port, store = str(free_port()), ("--store", f"sqlite:///{tmp_path / 'shop.db'}")
    query = FindOrders(status="rejected")
    async with Client(f"http://127.0.0.1:{port}", tries=100, read_own_writes=False) as shop:
        with served("--port", port, *store) as server:
            async with aclosing(shop.watch(query)) as answers:
                assert await anext(answers) == []
                await shop.send(CreateOrder(order_id="o-1", sku="pen", quantity=1))
                assert [row.order_id for row in await anext(answers)] == ["o-1"]
                coming = asyncio.ensure_future(anext(answers))
                assert await asyncio.to_thread(server.terminate) == 0  # the stream ended, or this would take its time
                with served("--port", port, *store):
                    await shop.send(CreateOrder(order_id="o-2", sku="pen", quantity=1))
                    while {row.order_id for row in await coming} != {"o-1", "o-2"}:
                        coming = asyncio.ensure_future(anext(answers))


@pytest.mark.slow
def test_synchronous_code_says_the_same(tmp_path: Path) -> None:
    with (
        served("--store", f"sqlite:///{tmp_path / 'shop.db'}") as server,
        SyncClient(server.url, events=[OrderCreated]) as shop,
    ):
        receipt = shop.send(CreateOrder(order_id="o-1", sku="pen", quantity=1))
        assert receipt.events == (OrderCreated(order_id="o-1", sku="pen", quantity=1),)
        outcome = shop.status(shop.post(CreateOrder(order_id="o-2", sku="pen", quantity=1)))
        assert outcome is not None
        answers = shop.watch(FindOrders(status="rejected"))
        while {row.order_id for row in next(answers)} != {"o-1", "o-2"}:
            pass
        answers.close()
        with pytest.raises(Rejected):
            shop.send(CreateOrder(order_id="o-1", sku="pen", quantity=1))
