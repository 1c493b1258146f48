"""The door: who comes in, with which credential, to what, and how much of it."""

import base64
import json
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from daicho import ConfigurationError, NotAuthenticated, NotFound, Overloaded, UnsafeServer
from daicho.http import Principal
from daicho.http.security import Security
from daicho.http.security.admission import Admission, Pulse
from daicho.http.security.jwt import Jwks, Jwt
from daicho.http.security.keys import ApiKeys, KeyFile
from daicho.http.security.permission import mask
from daicho.http.security.rates import Rate
from daicho.server import ServerSettings
from tests.calling import calling, code
from tests.letters_app import LetterWritten, WriteLetter, office

ISSUER, AUDIENCE = "https://issuer.example", "office"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
PRIVATE = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)


def published(**keys: rsa.RSAPrivateKey) -> str:
    found = []
    for kid, key in keys.items():
        told = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        found.append({**told, "kid": kid, "use": "sig", "alg": "RS256"})
    return json.dumps({"keys": found})


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(published(one=PRIVATE))
    return path


@pytest.fixture
def tokens(jwks: Path) -> Jwt:
    return Jwt(issuer=ISSUER, audience=AUDIENCE, keys=Jwks(str(jwks)))


def token(key: Any = PRIVATE, *, kid: str = "one", algorithm: str = "RS256", without: str = "", **claims: Any) -> str:
    now = int(time.time())
    told = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now + 300, "scope": "letters:write", **claims}
    told.pop(without, None)
    return jwt.encode(told, key, algorithm=algorithm, headers={"kid": kid})


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


LETTER = {"letter_id": "l1", "box": "in", "sender": "ann@example.org"}

# -- tokens -----------------------------------------------------------------------------------------------------------


async def test_a_good_token_says_who_asks_with_which_scopes_for_which_tenant(tokens: Jwt) -> None:
    found = await tokens.authenticate(token(tenant="red", scope="a:b c:d"))
    assert found == Principal(actor="ann", tenant="red", scopes=frozenset({"a:b", "c:d"}))
    found = await tokens.authenticate(token(scp=["e:f"], scope=""))
    assert found == Principal(actor="ann", scopes=frozenset({"e:f"}))


def _unsigned() -> str:
    _, body, _ = token().split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"one"}').decode().rstrip("=")
    return f"{none}.{body}."


def _confused() -> str:
    """Signed by HMAC with the published key as its secret."""
    secret = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').decode().rstrip("=")
    body = token().split(".")[1]
    import hashlib
    import hmac

    signature = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _altered() -> str:
    head, body, signature = token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "eve"}).encode()).decode().rstrip("=")
    return f"{head}.{changed}.{signature}"


FORGED: dict[str, Callable[[], str]] = {
    "unsigned": _unsigned,
    "signed with the public key as a secret": _confused,
    "altered": _altered,
    "signed by another key of that name": lambda: token(OTHER),
    "signed by a key that nobody published": lambda: token(OTHER, kid="two"),
    "signed in another way": lambda: token("x" * 64, algorithm="HS512"),
    "expired": lambda: token(exp=int(time.time()) - 3600),
    "not valid yet": lambda: token(nbf=int(time.time()) + 3600),
    "for somebody else": lambda: token(aud="bank"),
    "from somebody else": lambda: token(iss="https://evil.example"),
    "without an end": lambda: token(without="exp"),
    "without an audience": lambda: token(without="aud"),
    "without a subject": lambda: token(without="sub"),
    "of a tenant that is no name": lambda: token(tenant=["red"]),
    "no token": lambda: "a.b.c",
    "empty parts": lambda: "..",
}


@pytest.mark.parametrize("forged", FORGED)
async def test_a_token_that_is_not_good_is_refused_and_does_nothing(forged: str, tokens: Jwt) -> None:
    app = office()
    async with calling(app, Security(authenticators=[tokens])) as client:
        answer = await client.post("/letters", json=LETTER, headers=bearer(FORGED[forged]()))
        assert code(answer) == (401, "D721")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert await app.storage.head() == 0


async def test_keys_may_be_exchanged_while_the_server_runs(jwks: Path) -> None:
    clock = [0.0]
    tokens = Jwt(issuer=ISSUER, audience=AUDIENCE, keys=Jwks(str(jwks), now=lambda: clock[0]))
    await tokens.authenticate(token())
    jwks.write_text(published(two=OTHER))  # noqa: ASYNC240
    clock[0] = 5
    with pytest.raises(NotAuthenticated):  # too soon to look again
        await tokens.authenticate(token(OTHER, kid="two"))
    clock[0] = 11
    await tokens.authenticate(token(OTHER, kid="two"))
    with pytest.raises(NotAuthenticated):
        await tokens.authenticate(token(kid="one"))


async def test_an_issuer_that_is_away_locks_nobody_out(jwks: Path) -> None:
    clock = [0.0]
    tokens = Jwt(issuer=ISSUER, audience=AUDIENCE, keys=Jwks(str(jwks), now=lambda: clock[0]))
    await tokens.authenticate(token())
    jwks.unlink()  # noqa: ASYNC240
    clock[0] = 10_000
    assert (await tokens.authenticate(token())).actor == "ann"


@pytest.mark.parametrize("algorithms", [["HS256"], ["none"], ["RS256", "HS256"]])
def test_a_public_key_is_never_taken_for_a_secret(algorithms: list[str], jwks: Path) -> None:
    with pytest.raises(ConfigurationError, match="not to be trusted"):
        Jwt(issuer=ISSUER, audience=AUDIENCE, keys=Jwks(str(jwks)), algorithms=algorithms)


def test_what_would_let_anybody_in_is_refused(jwks: Path) -> None:
    with pytest.raises(ConfigurationError, match="bytes"):
        Jwt(issuer=ISSUER, audience=AUDIENCE, secret="short")
    with pytest.raises(ConfigurationError, match="cannot be taken"):
        Jwks("http://issuer.example/keys")


async def test_a_secret_may_be_shared(jwks: Path) -> None:
    secret = "s" * 40
    tokens = Jwt(issuer=ISSUER, audience=AUDIENCE, secret=secret)
    assert (await tokens.authenticate(token(secret, algorithm="HS256"))).actor == "ann"
    with pytest.raises(NotAuthenticated):
        await tokens.authenticate(token("t" * 40, algorithm="HS256"))


# -- keys -------------------------------------------------------------------------------------------------------------


async def test_a_key_says_who_asks_and_is_kept_as_a_hash(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    key, kept = file.create("robot", now=NOW, tenant="red", scopes=("letters:write",))
    keys = ApiKeys(file, now=lambda: NOW)
    assert await keys.authenticate(key) == Principal(actor="robot", tenant="red", scopes=frozenset({"letters:write"}))
    text = file.path.read_text()
    assert key not in text
    assert key.split("_", 2)[2] not in text
    assert kept.prefix in text
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
        lambda key: key + "A",
        lambda key: key.replace("dk_", "dk_x", 1),
        lambda key: "dk_",
        lambda key: "dk_aaaaaaaa_" + key.split("_", 2)[2],
    ],
)
async def test_a_key_that_is_not_quite_right_is_refused(spoil: Callable[[str], str], tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    key, _ = file.create("robot", now=NOW)
    with pytest.raises(NotAuthenticated, match="not accepted"):
        await ApiKeys(file, now=lambda: NOW).authenticate(spoil(key))


async def test_a_key_ends_when_it_is_to_and_when_it_is_revoked_at_once(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    now = [NOW]
    keys = ApiKeys(file, now=lambda: now[0])
    key, _ = file.create("robot", now=NOW, expires_at=NOW + timedelta(days=1))
    await keys.authenticate(key)
    now[0] += timedelta(days=1)
    with pytest.raises(NotAuthenticated, match="expired"):
        await keys.authenticate(key)
    other, kept = file.create("robot", now=NOW)
    await keys.authenticate(other)
    file.revoke(kept.prefix, NOW)
    with pytest.raises(NotAuthenticated, match="revoked"):
        await keys.authenticate(other)
    with pytest.raises(NotFound):
        file.revoke("nothing", NOW)


def test_a_file_of_keys_that_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("[{}]")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ApiKeys(KeyFile(tmp_path / "keys.json"))


# -- the door ---------------------------------------------------------------------------------------------------------


class Known:
    """Takes names for credentials."""

    scheme = "Bearer"

    def __init__(self, **principals: Principal) -> None:
        self.principals = principals

    def takes(self, credential: str) -> bool:
        return True

    async def authenticate(self, credential: str) -> Principal:
        if credential not in self.principals:
            raise NotAuthenticated("nobody")
        return self.principals[credential]


def who(actor: str, tenant: str | None = None, *scopes: str) -> Principal:
    return Principal(actor=actor, tenant=tenant, scopes=frozenset(scopes))


STAFF = Known(
    ann=who("ann", "red", "letters:write", "letters:read"),
    bob=who("bob", "blue", "letters:write", "letters:read"),
    eve=who("eve", "red"),
    ops=who("ops", None, "metrics:read"),
)
SECURITY = Security(authenticators=[STAFF])


async def test_the_actor_and_the_tenant_are_the_credentials_whatever_the_caller_says() -> None:
    app = office()
    async with calling(app, SECURITY) as client:
        headers = {**bearer("ann"), "X-Tenant": "blue", "X-Actor": "bob"}
        assert (await client.post("/letters", json=LETTER, headers=headers)).status_code == 201
        (event,) = [event async for event in app.events()]
        assert (event.actor, event.tenant) == ("ann", "red")


async def test_nobody_comes_in_without_a_credential_but_probes() -> None:
    app = office()
    async with calling(app, SECURITY) as client:
        for path in ("/letters/l1", "/queries/AllLetters", "/openapi.json", "/metrics", "/nowhere"):
            assert code(await client.get(path)) == (401, "D721"), path
        assert code(await client.post("/letters", json=LETTER)) == (401, "D721")
        for path in ("/livez", "/readyz", "/startupz"):
            assert (await client.get(path)).status_code == 200, path


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer ann", "X-API-Key": "bob"},
        {"Authorization": "Basic YW5uOmFubg=="},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nobody"},
        {"X-API-Key": ""},
    ],
)
async def test_a_credential_that_is_not_plain_is_refused(headers: dict[str, str]) -> None:
    async with calling(office(), SECURITY) as client:
        assert code(await client.get("/letters/l1", headers=headers)) == (401, "D721")
        assert code(await client.get("/livez", headers=headers)) == (401, "D721")


async def test_a_scope_that_is_missing_is_named_before_anything_is_read() -> None:
    app = office()
    async with calling(app, SECURITY) as client:
        answer = await client.post("/commands/WriteLetter", content=b"not json", headers=bearer("eve"))
        assert code(answer) == (403, "D114")
        assert "letters:write" in answer.json()["why"]
        assert code(await client.get("/queries/AllLetters", headers=bearer("eve"))) == (403, "D114")
        assert await app.storage.head() == 0


async def test_what_requires_a_scope_asks_a_caller_without_a_credential_for_one() -> None:
    async with calling(office(), Security()) as client:
        assert code(await client.post("/letters", json=LETTER)) == (401, "D721")


async def test_the_letters_of_another_tenant_do_not_exist() -> None:
    app = office()
    async with calling(app, SECURITY) as client:
        created = await client.post("/letters", json=LETTER, headers=bearer("ann"))
        position = {"Min-Position": created.headers["daicho-position"]}

        async def seen(name: str) -> Any:
            return await client.get("/letters/l1", headers={**bearer(name), **position})

        assert (await seen("ann")).json()["box"] == "in"
        assert code(await seen("bob")) == (404, "D705")
        assert (await client.get("/queries/AllLetters", headers=bearer("bob"))).json() == []
        moved = await client.post("/commands/MoveLetter", json={"letter_id": "l1", "box": "x"}, headers=bearer("bob"))
        assert code(moved) == (404, "D500")
        assert await app.storage.head() == 1


async def test_figures_are_for_those_who_may_read_them() -> None:
    async with calling(office(), SECURITY) as client:
        for path in ("/metrics", "/look-to-book", "/readyz?verbose"):
            assert code(await client.get(path, headers=bearer("ann"))) == (403, "D114"), path
            assert (await client.get(path, headers=bearer("ops"))).status_code == 200, path
    async with calling(office(), Security(), address="10.0.0.7") as client:
        assert code(await client.get("/metrics")) == (403, "D114")
    async with calling(office(), Security()) as client:
        assert (await client.get("/metrics")).status_code == 200


def test_of_an_event_personal_fields_and_tags_are_hidden_and_all_of_an_unknown_one() -> None:
    data = {"letter_id": "l1", "box": "in", "sender": "ann@example.org"}
    tags = ("box:in", "sender:ann@example.org")
    assert mask(data, tags, LetterWritten) == ({**data, "sender": "***"}, ("box:in",))
    assert mask(data, tags, None) == ({"letter_id": "***", "box": "***", "sender": "***"}, ())


async def test_feeds_show_personal_fields_to_those_who_may_see_them() -> None:
    police = Known(
        red=who("red", "red", "events:read"),
        pii=who("pii", "red", "events:read", "pii:read"),
        blue=who("blue", "blue", "events:read", "pii:read"),
    )
    app = office()
    async with calling(app, Security(authenticators=[police])) as client:
        await app.send(WriteLetter(letter_id="l1", box="in", sender="ann@example.org"), tenant="red")

        async def seen(name: str, path: str) -> list[str]:
            answer = await client.get(path, headers=bearer(name))
            assert "private" in answer.headers["cache-control"] or "no-" in answer.headers["cache-control"]
            return [event["data"]["sender"] for event in answer.json()["events"]]

        for path in ("/events", "/read"):
            assert await seen("red", path) == ["***"]
            assert await seen("pii", path) == ["ann@example.org"]
            assert await seen("blue", path) == []


# -- how much ---------------------------------------------------------------------------------------------------------


async def test_whoever_asks_too_much_is_told_when_there_is_room_again() -> None:
    security = Security(authenticators=[STAFF], per_credential=Rate(0.5, 2))
    async with calling(office(), security) as client:
        first = await client.get("/letters/l1", headers=bearer("ann"))
        assert first.headers["ratelimit-policy"] == '"credential";q=2;w=4'
        assert first.headers["ratelimit"].startswith('"credential";r=1;')
        await client.get("/letters/l1", headers=bearer("ann"))
        refused = await client.get("/letters/l1", headers=bearer("ann"))
        assert code(refused) == (429, "D722")
        assert refused.headers["retry-after"] in ("1", "2")
        assert refused.json()["retryable"] is True
        assert (await client.get("/letters/l1", headers=bearer("bob"))).status_code == 404, "no letter, but room"
        assert (await client.get("/livez")).status_code == 200


async def test_an_address_that_tries_credentials_is_stopped_before_they_are_looked_at() -> None:
    security = Security(authenticators=[STAFF], per_address=Rate(0.1, 3))
    async with calling(office(), security) as client:
        statuses = [(await client.get("/letters/l1", headers=bearer(f"guess{n}"))).status_code for n in range(5)]
        assert statuses == [401, 401, 401, 429, 429]


@pytest.mark.parametrize(
    ("text", "rate"),
    [("50/s", Rate(50, 100)), ("60/m:7", Rate(1, 7)), ("3600/h", Rate(1, 2)), ("5", Rate(5, 10))],
)
def test_a_rate_is_written_as_people_say_it(text: str, rate: Rate) -> None:
    assert Rate.of(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "5/y", "0/s", "5/s:0", "-1/s", "5/s:x"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Rate.of(text)


async def test_reads_are_turned_away_before_writes() -> None:
    late = [0.0]

    async def inner(scope: Any, receive: Any, send: Any) -> None: ...

    door = Admission(inner, most=10, latest=0.2, lateness=lambda: late[0])

    async def let_in(method: str) -> bool:
        try:
            await door({"type": "http", "method": method, "path": "/x"}, None, None)  # type: ignore[arg-type]
        except Overloaded:
            return False
        return True

    async def who_is_let_in() -> list[bool]:
        return [await let_in(method) for method in ("GET", "QUERY", "POST")]

    assert await who_is_let_in() == [True, True, True]
    late[0] = 0.3
    assert await who_is_let_in() == [False, False, True]
    late[0] = 0.7
    assert await who_is_let_in() == [False, False, False]
    late[0] = 0.0
    door.under_way = 8
    assert await who_is_let_in() == [False, False, True]
    door.under_way = 10
    assert await who_is_let_in() == [False, False, False]
    assert door.refused == {"read": 8, "write": 2}


async def test_the_pulse_notices_a_loop_that_is_held_up() -> None:
    pulse = Pulse()
    assert pulse.late() == 0.0
    time.sleep(0.15)  # noqa: ASYNC251 - this is what is measured
    assert pulse.late() > 0.08


async def test_answers_say_what_browsers_may_do_with_them() -> None:
    async with calling(office(), Security()) as client:
        answer = await client.get("/letters/l1")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
    async with calling(office(), Security(origins=["https://shop.example"])) as client:
        for origin, allowed in (("https://shop.example", "https://shop.example"), ("https://evil.example", None)):
            answer = await client.get("/letters/l1", headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed
    with pytest.raises(ConfigurationError, match="name the origins"):
        Security(authenticators=[STAFF], origins=["*"])


# -- the runner's settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "shop.example"])
def test_a_server_that_asks_nobody_listens_to_this_machine_alone(host: str) -> None:
    with pytest.raises(UnsafeServer):
        ServerSettings.of({"host": host})
    ServerSettings.of({"host": host, "insecure": "true"})
    ServerSettings.of({"host": host, "keys": "keys.json"})
    ServerSettings.of({"host": host, "uds": "/run/shop.sock"})


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_on_this_machine_it_may(host: str) -> None:
    assert ServerSettings.of({"host": host, "port": "0", "workers": "2"}).workers == 2


@pytest.mark.parametrize(
    "given",
    [
        {"jwt_issuer": ISSUER},
        {"jwt_audience": AUDIENCE},
        {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE},
        {"role": "boss"},
        {"port": "70000"},
        {"port": "many"},
        {"workers": "0"},
        {"rate": "fast"},
        {"drain_within": "-1"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        ServerSettings.of(given)
