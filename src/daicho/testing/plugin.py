"""The pytest plugin: runs `async def` tests of Daicho projects, and nobody else's.

A coroutine test runs here if it is marked `daicho` (the contract classes are), or if the project sets the ini option
`daicho_async = true`; never if it is marked for another async plugin. It runs in the loop of the fixture
`daicho_loop`, so that plain fixtures can open things in the same loop.

Loaded at every start of pytest, so it imports nothing of Daicho.
"""

import asyncio
import inspect
from collections.abc import Iterator

import pytest

__all__ = ["daicho_loop"]

pytest.register_assert_rewrite("daicho.testing.contracts")

_OTHERS = ("anyio", "asyncio", "trio")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("daicho_async", "run all coroutine tests with asyncio, without another plugin", "bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "daicho: a coroutine test that Daicho's plugin runs with asyncio")


@pytest.fixture
def daicho_loop() -> Iterator[asyncio.Runner]:
    """The event loop of this test. A fixture that asks for it can `run` coroutines before and after the test."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj) or not _is_ours(pyfuncitem):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}  # pyright: ignore[reportPrivateUsage]
    runner = pyfuncitem.funcargs.get("daicho_loop")
    if isinstance(runner, asyncio.Runner):
        runner.run(pyfuncitem.obj(**arguments))
    else:
        asyncio.run(pyfuncitem.obj(**arguments))
    return True


def _is_ours(item: pytest.Function) -> bool:
    if item.get_closest_marker("daicho"):
        return True
    return bool(item.config.getini("daicho_async")) and not any(map(item.get_closest_marker, _OTHERS))
