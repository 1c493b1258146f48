"""Chromium in a thread of its own: Playwright keeps a loop running in its thread, and other tests want theirs."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Queue
from typing import Any, TypeVar

from playwright.sync_api import Browser, Page, sync_playwright

from tests.services.find import program

__all__ = ["PATIENCE", "Browsing", "cut"]

T = TypeVar("T")
_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--font-render-hinting=none"),
)
PATIENCE = 60_000
"""Milliseconds: a machine may be slow, and a test that waits for something that comes is not slower for it."""


def cut(page: Page) -> list[str]:
    """The heads of the tables that are wider than their box, so that columns must be scrolled to."""
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('.d-tablewrap')].filter(e => e.scrollWidth > e.clientWidth)"
        ".map(e => `${e.querySelector('tr')?.innerText}: ${e.scrollWidth} in ${e.clientWidth}`)"
    )
    return found


class Browsing:
    """One browser; raises Unavailable without one. Everything that touches it runs in its thread, by `call`."""

    def __init__(self) -> None:
        found = str(program("chromium", package="chromium"))
        self._work: Queue[tuple[Callable[[], Any], Future[Any]] | None] = Queue()
        self._ready: Future[Browser] = Future()
        self._thread = threading.Thread(target=self._run, args=(found,), name="browser")
        self._thread.start()
        self.browser = self._ready.result()

    def call(self, function: Callable[[], T]) -> T:
        if threading.current_thread() is self._thread:
            return function()
        future: Future[T] = Future()
        self._work.put((function, future))
        return future.result()

    def page(self, **options: Any) -> Page:
        """A page of its own context: no cookies of others."""

        def make() -> Page:
            options.setdefault("viewport", {"width": 1280, "height": 800})
            options.setdefault("locale", "en-US")
            page = self.browser.new_context(**options).new_page()
            page.set_default_timeout(PATIENCE)
            return page

        return self.call(make)

    def close(self) -> None:
        self._work.put(None)
        self._thread.join()

    def _run(self, executable: str) -> None:
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=executable, args=list(_ARGUMENTS))
                self._ready.set_result(browser)
                while (work := self._work.get()) is not None:
                    function, future = work
                    try:
                        future.set_result(function())
                    except BaseException as error:
                        future.set_exception(error)
                browser.close()
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)
