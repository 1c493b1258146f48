"""Look-to-Book from access logs. Lines are as the servers write them; what they must count to is known beforehand."""

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daicho import BadAnswers, NothingMeasured
from daicho.advisor.access_logs import Request, parse, read_logs
from daicho.advisor.paths import Paths, rule_of
from daicho.advisor.usage import MOST_ENTITIES, answers_of
from examples.shop.app import shop

NGINX = '203.0.113.9 - alice [10/Oct/2026:13:55:36 -0700] "GET /orders/o-1?x=1 HTTP/1.1" 200 2326 "-" "Mozilla/5.0"'
APACHE = '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "POST /apache HTTP/1.0" 201 2326'
# the line of HAProxy's own configuration manual, section 8.2.3, as syslog writes it
HAPROXY = (
    "Feb  6 12:14:14 localhost haproxy[14389]: 10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 "
    '10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} "GET /index.html HTTP/1.1"'
)


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (NGINX, Request("GET", "/orders/o-1?x=1", 200, 1791665736.0)),
        (APACHE, Request("POST", "/apache", 201, 971211336.0)),
        (HAPROXY, Request("GET", "/index.html", 200, 1233922454.655)),
        (HAPROXY.replace("2750", "+2750").replace("10.0.1.2", "::ffff:10.0.1.2"), None),
        (
            '{"method":"GET","path":"/a","status":200,"time":"2026-01-01T00:00:00Z"}',
            Request("GET", "/a", 200, 1767225600),
        ),
        ('{"request":"PUT /a HTTP/2.0","status":"204","ts":1767225600.5}', Request("PUT", "/a", 204, 1767225600.5)),
        (
            '{"request":{"method":"GET","uri":"/b"},"status":304,"ts":1767225600500}',
            Request("GET", "/b", 304, 1767225600.5),
        ),
        ('{"request_method":"get","request_uri":"/c","status":200}', Request("GET", "/c", 200, None)),
        (
            r'::1 - - [10/Oct/2026:13:55:36 +0000] "GET /a\"b HTTP/1.1" 200 1 "-" "-"',
            Request("GET", r"/a\"b", 200, 1791640536),
        ),
    ],
)
def test_a_line_of_each_format_is_understood(line: str, request_: Request | None) -> None:
    if request_ is None:
        assert parse(line) == parse(HAPROXY)
    else:
        assert parse(line) == request_


@pytest.mark.parametrize(
    "line",
    [
        '1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "-" 408 0 "-" "-"',
        '1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "\\x16\\x03\\x01" 400 157 "-" "-"',
        HAPROXY.replace('"GET /index.html HTTP/1.1"', '"<BADREQ>"').replace(" 200 ", " 400 "),
        HAPROXY.replace(" 200 2750", " -1 0").replace('"GET /index.html HTTP/1.1"', '"<BADREQ>"'),
        '{"request":"","status":400}',
    ],
)
def test_a_connection_on_which_nothing_was_asked_is_refused_and_not_unreadable(line: str) -> None:
    found = parse(line)
    assert found is not None
    assert not 200 <= found.status < 400


HOSTILE = [
    "",
    "GET / HTTP/1.1",
    "\x00\x01\x02",
    "{",
    "{}",
    "[]",
    "null",
    '{"method":[],"path":{},"status":"x"}',
    '{"method":"GET","path":"/a","status":1e400}',
    '{"method":"GET","path":"/a","status":true,"time":{"a":1}}',
    "[" * 60_000,
    "{" * 60_000,
    '{"a":' * 20_000,
    "a:1 [" * 12_000,
    "1:1 [aaaaaaaaaaaaaa] b c 1/1/1/1/1 200 1 " * 1_500,
    "a b " + " [" * 30_000,
    'a b c [10/Oct/2026:13:55:36 +0000] "' + '\\"' * 30_000,
    'a b c [99/Foo/2026:99:99:99 +9999] "GET / HTTP/1.1" 200 ',
    '1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "GET http://[::1/x HTTP/1.1" 200 1',
    '1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "GET /\x1b[31mred HTTP/1.1" 200 1',
    '1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "GET /%00%0a%1b[2J/x HTTP/1.1" 200 1',
    '1.2.3.4 - - [10/Oct/2026:13:55:36 +0000] "CONNECT evil:443 HTTP/1.1" 200 1',
]


def test_whatever_is_in_a_log_is_counted_or_left_out_and_holds_nothing_up(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    long = "x" * 300_000
    log.write_bytes("\n".join([*HOSTILE, long, NGINX]).encode() + b"\n\xff\xfe\x80 not utf-8\n" + os_random())
    usage = read_logs([log], Paths())  # with a pattern that goes back and forth, this would take hours
    assert usage.reads["orders"] == 1
    assert all(name.replace("-", "").replace("_", "").replace(".", "").isalnum() for name in usage.entities)


def os_random() -> bytes:
    return random.Random(7).randbytes(200_000)


def test_made_up_addresses_fill_neither_memory_nor_page(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text("".join(NGINX.replace("/orders/", f"/e{n}/") + "\n" for n in range(MOST_ENTITIES + 300)))
    usage = read_logs([log], Paths())
    assert len(usage.entities) == MOST_ENTITIES + 1
    assert usage.reads["other"] == 300


# -- known counts -----------------------------------------------------------------------------------------------------


def common(method: str, path: str, status: int, at: datetime) -> str:
    return f'10.0.0.1 - - [{at:%d/%b/%Y:%H:%M:%S +0000}] "{method} {path} HTTP/1.1" {status} 12 "-" "k6"'


def haproxy(method: str, path: str, status: int, at: datetime) -> str:
    return (
        f"{at:%b %d %H:%M:%S} lb haproxy[9]: 10.0.0.1:4711 [{at:%d/%b/%Y:%H:%M:%S}.{at.microsecond // 1000:03}] front "
        f'back/query-1 0/0/0/1/1 {status} 99 - - ---- 1/1/0/0/0 0/0 "{method} {path} HTTP/1.1"'
    )


def as_json(method: str, path: str, status: int, at: datetime) -> str:
    return json.dumps({"time": at.isoformat(), "method": method, "path": path, "status": status})


@pytest.mark.parametrize("write", [common, haproxy, as_json], ids=["common", "haproxy", "json"])
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
def test_a_log_with_known_counts_is_counted_to_them(
    write: Callable[[str, str, int, datetime], str], zipped: bool, tmp_path: Path
) -> None:
    """An independent counter goes along while the log is written."""
    chance = random.Random(11)
    counted: Counter[tuple[str, str]] = Counter()
    refused = 0
    lines: list[str] = []
    begin = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)
    products: set[str] = set()
    for n in range(3000):
        at = begin + timedelta(seconds=n * 0.2)  # ten minutes
        status = chance.choice([200, 200, 200, 200, 304, 404, 500])
        entity, kind, method, path = chance.choice(
            [("products", "read", "GET", f"/products/{chance.randrange(50)}")] * 8
            + [("orders", "read", "GET", "/api/v1/orders?page=2"), ("orders", "write", "POST", "/api/v1/orders")]
            + [("orders", "write", "DELETE", "/orders/7"), ("", "", "OPTIONS", "/orders"), ("", "", "GET", "/x.css")]
        )
        lines.append(write(method, path, status, at))
        if status >= 400:
            refused += 1
        elif entity:
            counted[entity, kind] += 1
            if entity == "products":
                products.add(path)
    log = tmp_path / ("access.log.gz" if zipped else "access.log")
    data = "\n".join(lines).encode()
    log.write_bytes(gzip.compress(data) if zipped else data)
    usage = read_logs([log], Paths())
    assert usage.reads == {"products": counted["products", "read"], "orders": counted["orders", "read"]}
    assert usage.writes == {"products": 0, "orders": counted["orders", "write"]}
    assert (usage.refused, usage.unreadable) == (refused, 0)
    assert usage.keys["products"] == len(products)
    assert usage.seconds == pytest.approx(599.8, abs=1)
    answers = answers_of([usage])["orders"]
    assert answers.reads_per_write == pytest.approx(counted["orders", "read"] / counted["orders", "write"])
    assert answers.reads == pytest.approx(counted["orders", "read"] / 10, rel=0.01)


def test_the_busiest_minute_is_known(tmp_path: Path) -> None:
    begin = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)
    times = [begin + timedelta(minutes=m, seconds=s) for m in range(10) for s in range(60 if m == 4 else 10)]
    log = tmp_path / "access.log"
    log.write_text("\n".join(common("GET", "/a", 200, at) for at in [*times, begin + timedelta(minutes=10)]))
    usage = read_logs([log], Paths())
    assert usage.peak == pytest.approx(60 / (151 / 10), rel=0.01)


def test_several_files_are_counted_as_one(tmp_path: Path) -> None:
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_text(NGINX + "\n")
    assert read_logs([tmp_path / "a.log", tmp_path / "b.log"], Paths()).reads == {"orders": 2}


def test_a_log_of_nothing_and_a_file_that_is_none_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty.log").write_text("this is\nno log\n")
    (tmp_path / "broken.gz").write_bytes(gzip.compress(NGINX.encode() * 100)[:50])
    with pytest.raises(NothingMeasured, match="2 lines cannot be understood"):
        read_logs([tmp_path / "empty.log"], Paths())
    for name in ("broken.gz", "missing.log"):
        with pytest.raises(BadAnswers, match=name):
            read_logs([tmp_path / name], Paths())


# -- paths ------------------------------------------------------------------------------------------------------------


def test_the_routes_of_an_app_say_what_a_path_is_about() -> None:
    paths = Paths(app=shop("memory:"))
    assert [
        (found[0], found[1]) if (found := paths.of(method, path)) else None
        for method, path in [
            ("POST", "/orders"),
            ("GET", "/orders/o-1"),
            ("HEAD", "/orders"),
            ("POST", "/stock/pen/deliveries"),
            ("GET", "/stock/pen"),
            ("GET", "/sales/days"),
            ("POST", "/commands/CreateOrder"),
            ("GET", "/queries/FindOrders"),
            ("GET", "/livez"),
            ("OPTIONS", "/orders"),
        ]
    ] == [
        ("order", "write"),
        ("order", "read"),
        ("order", "read"),
        ("inventory", "write"),
        ("inventory", "read"),
        ("sales", "read"),
        ("order", "write"),
        ("order", "read"),
        None,
        None,
    ]


def test_rules_go_before_routes() -> None:
    rules = ["POST /search=product:read", "/orders/**=purchase", "/internal/**=-", "GET /a/{id}/b=ab", "/c/*/d=cd"]
    paths = Paths(map(rule_of, rules), shop("memory:"))
    assert paths.of("POST", "/search?q=pen") == ("product", "read", "/search")
    assert paths.of("POST", "/search/more") == ("search", "write", "/search/more")
    assert paths.of("GET", "/orders") == ("purchase", "read", "/orders")
    assert paths.of("GET", "https://shop.example/orders/1/lines") == ("purchase", "read", "/orders/1/lines")
    assert paths.of("GET", "/internal/x") is None
    assert paths.of("GET", "/a/1/b/") == ("ab", "read", "/a/1/b/")
    assert paths.of("PATCH", "/c/1/d") == ("cd", "write", "/c/1/d")


@pytest.mark.parametrize("rule", ["", "orders=order", "/orders", "/orders=a b", "GET POST /x=y", "/x=y:maybe"])
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(BadAnswers, match=r"rule|no name"):
        rule_of(rule)
