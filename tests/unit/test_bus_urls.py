"""URLs of buses on NATS and Redis: what they say, and what is refused, without the password."""

from typing import Any

import pytest

from daicho.adapters.buses.nats import parse_url as nats
from daicho.adapters.buses.redis import parse_url as redis
from daicho.core.errors import BadUrl
from daicho.wiring.urls import open_bus


def test_a_url_says_everything_about_nats() -> None:
    there = nats("tls://ann:p%40ss@one.example,two.example:4333?prefix=shop&replicas=3&ca=/ca.pem&answer_within=0.5")
    assert there.servers == ("tls://one.example:4222", "tls://two.example:4333")
    assert (there.user, there.password, there.token, there.ca) == ("ann", "p@ss", None, "/ca.pem")
    assert (there.prefix, there.replicas, there.answer_within, there.keep_messages) == ("shop", 3, 0.5, 0)
    assert there.url.startswith("tls://ann:***@one.example,two.example:4333?prefix=shop")
    assert (nats("nats://s3cret@[::1]:99").token, nats("nats://s3cret@[::1]:99").servers) == (
        "s3cret",
        ("nats://[::1]:99",),
    )
    assert nats("nats://s3cret@host").url == "nats://***@host"
    assert nats("nats://").servers == ("nats://localhost:4222",)


def test_a_url_says_everything_about_redis() -> None:
    there = redis("rediss://ann:p%40ss@db.example:7000/3?prefix=shop&keep_messages=1000&ssl_ca_certs=/ca.pem")
    assert (there.host, there.port, there.database, there.tls) == ("db.example", 7000, 3, True)
    assert (there.username, there.password, there.prefix, there.keep_messages) == ("ann", "p@ss", "shop", 1000)
    assert there.url == "rediss://ann:***@db.example:7000/3?prefix=shop&keep_messages=1000&ssl_ca_certs=/ca.pem"
    assert (redis("redis://").host, redis("redis://").port, redis("redis://").largest) == ("localhost", 6379, 2**20)


@pytest.mark.parametrize("parse", [nats, redis])
@pytest.mark.parametrize(
    "url",
    [
        "http://ann:opensesame@localhost",
        "SCHEME://ann:opensesame@localhost:70000",
        "SCHEME://ann:opensesame@localhost:0x10",
        "SCHEME://ann:opensesame@localhost/some/where",
        "SCHEME://ann:opensesame@localhost?prefix={x}",
        "SCHEME://ann:opensesame@localhost?prefix=",
        "SCHEME://ann:opensesame@localhost?answer_within=0",
        "SCHEME://ann:opensesame@localhost?answer_within=nan",
        "SCHEME://ann:opensesame@localhost?keep_messages=1.5",
        "SCHEME://ann:opensesame@localhost?keep_messages=1&keep_messages=2",
        "SCHEME://ann:opensesame@localhost?colour=red",
    ],
)
def test_a_url_that_cannot_be_understood_is_refused_without_the_password(parse: Any, url: str) -> None:
    with pytest.raises(BadUrl) as raised:
        parse(url.replace("SCHEME", "nats" if parse is nats else "redis"))
    assert "opensesame" not in str(raised.value)
    assert raised.value.do


@pytest.mark.parametrize(
    "url",
    ["nats://a b", "nats://host?ca=/x", "tls://host?cert=/x", "nats://host?replicas=9", "redis://host?ssl_keyfile=/x"],
)
def test_what_does_not_fit_together_is_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        (nats if url[0] in "nt" else redis)(url)


def test_an_unknown_bus_is_refused_with_those_that_are_known() -> None:
    for url in ("pigeon://ann:opensesame@host", "pigeon", ""):
        with pytest.raises(BadUrl, match="nats:") as raised:
            open_bus(url)
        assert "opensesame" not in str(raised.value)
