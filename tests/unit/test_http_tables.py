"""Crud tables over HTTP: rows that are listed, got, put and deleted."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest

from daicho import App, Crud, Row, Tenancy, WiringError
from daicho.http import create
from daicho.http.principal import Principal, set_principal


class Genre(Row):
    code: str
    label: str
    shelf: int
    fee: Decimal = Decimal(1)


def genres(**options: Any) -> Crud[Genre]:
    return Crud(Genre, key="code", name="genres", path="/genres", **options)


class Shelf(Row):
    shelf_id: str


@pytest.mark.parametrize(
    ("path", "says"),
    [("/livez", "of Daicho's own"), ("/genres", "is routed twice"), ("/genres/top", "hide the row 'top'")],
)
def test_a_path_that_hides_another_is_refused(path: str, says: str) -> None:
    with pytest.raises(WiringError, match=says):
        create(App(genres(), Crud(Shelf, path=path), store="memory:"))


@asynccontextmanager
async def served(table: Crud[Genre], scopes: frozenset[str] | None = None) -> AsyncGenerator[httpx.AsyncClient]:
    app = App(table, store="memory:")
    inner: Any = create(app)

    async def known(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scopes is not None:
            set_principal(scope, Principal(actor="ann", scopes=scopes))
        await inner(scope, receive, send)

    async with app, httpx.AsyncClient(transport=httpx.ASGITransport(known), base_url="http://x") as client:
        yield client


async def test_a_row_is_put_got_listed_replaced_and_deleted() -> None:
    async with served(genres()) as client:
        assert (await client.get("/genres/n")).status_code == 404
        put = await client.put("/genres/n", json={"label": "Novel", "shelf": 3})
        assert (put.status_code, put.json()) == (200, {"code": "n", "label": "Novel", "shelf": 3, "fee": "1"})
        await client.put("/genres/a", json={"label": "Art", "shelf": 4, "fee": "2.50"})
        got = await client.get("/genres/n")
        assert got.json()["label"] == "Novel"
        known = await client.get("/genres/n", headers={"If-None-Match": got.headers["etag"]})
        assert known.status_code == 304
        assert [row["code"] for row in (await client.get("/genres")).json()] == ["a", "n"]
        assert [row["code"] for row in (await client.get("/genres?limit=1")).json()] == ["a"]
        assert [row["code"] for row in (await client.get("/genres?shelf=3")).json()] == ["n"]
        await client.put("/genres/n", json={"label": "Novels", "shelf": 3})
        assert (await client.get("/genres/n")).json()["label"] == "Novels"
        for _ in range(2):  # deleting again changes nothing
            assert (await client.delete("/genres/n")).status_code == 204
        assert (await client.get("/genres/n")).status_code == 404
        assert (await client.get("/genres/a")).json()["fee"] == "2.50"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/genres/n", {"label": "Novel"}, 422),
        ("PUT", "/genres/n", {"label": 1, "shelf": 1}, 422),
        ("PUT", "/genres/n", {"label": "x", "shelf": 1, "more": 1}, 422),
        ("PUT", "/genres/n", {"code": "m", "label": "x", "shelf": 1}, 422),
        ("PUT", "/genres/n", {"label": "x", "shelf": 1, "fee": "NaN"}, 422),
        ("POST", "/genres/n", {}, 405),
        ("GET", "/genres?colour=red", None, 422),
        ("GET", "/genres?shelf=top", None, 422),
        ("GET", "/genres?limit=0", None, 422),
        ("GET", "/genres?limit=many", None, 422),
    ],
)
async def test_what_is_no_row_is_refused(method: str, path: str, body: Any, status: int) -> None:
    async with served(genres()) as client:
        answer = await client.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        assert (await client.get("/genres")).json() == []


@pytest.mark.parametrize(
    ("scopes", "may_read", "may_write"),
    [(frozenset[str](), 403, 403), (frozenset({"g:read"}), 404, 403), (frozenset({"g:read", "g:write"}), 404, 200)],
)
async def test_scopes_are_asked_for(scopes: frozenset[str], may_read: int, may_write: int) -> None:
    async with served(genres(read=["g:read"], write=["g:write"]), scopes) as client:
        assert (await client.get("/genres/n")).status_code == may_read
        assert (await client.put("/genres/n", json={"label": "Novel", "shelf": 1})).status_code == may_write
        assert (await client.delete("/genres/x")).status_code == (204 if may_write == 200 else 403)
    async with served(genres(read=["g:read"], write=["g:write"])) as client:
        assert (await client.get("/genres")).status_code == 401


def test_tables_without_a_path_and_those_of_tenants_are_not_to_be_had() -> None:
    document = create(App(Crud(Genre, key="code"), store="memory:"))
    assert not [route for route in document.routes if "genre" in getattr(route, "path", "")]
    with pytest.raises(WiringError, match="tenants"):
        create(App(Crud(TenantRow, path="/rows"), store="memory:", tenancy=Tenancy()))
    with pytest.raises(WiringError, match="no path"):
        Crud(Genre, path="genres")


class TenantRow(Row):
    code: str
    tenant: str | None = None


async def test_the_document_tells_of_them() -> None:
    async with served(genres(write=["g:write"])) as client:
        document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]["/genres"]) == {"get"}
    one = document["paths"]["/genres/{key}"]
    assert set(one) == {"get", "put", "delete"}
    assert one["put"]["security"] == [{"bearer": ["g:write"]}, {"key": ["g:write"]}]
    assert "security" not in one["get"]
    body = one["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"label", "shelf", "fee"}
