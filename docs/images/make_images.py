"""Takes the pictures of the console for the documentation: `python -m docs.images.make_images http://127.0.0.1:8000`.

The shop of `make run` should have been open there for some minutes, on the data of `make demo`. The plant and the
office of the tests are opened here. Names behind the address: only these pictures.
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from daicho.console.door import COOKIE
from tests.console.sites import Office, opened_office, opened_plant

HERE = Path(__file__).parent
PHONE: dict[str, Any] = {"width": 390, "height": 844}
WIDE: dict[str, Any] = {"width": 1280, "height": 720}
TALL: dict[str, Any] = {"width": 1280, "height": 800}
TALLER: dict[str, Any] = {"width": 1280, "height": 900}
WHOLE: dict[str, Any] = {"width": 1280, "height": 0}
"""As high as the page."""
Shot = tuple[str, str, str, str, dict[str, Any]]
BY_TRIP = "by=trip_id"
SHOP: list[Shot] = [
    ("console-overview", "/", "light", "en", WIDE),
    ("console-overview-dark", "/", "dark", "en", WIDE),
    ("console-overview-phone", "/", "dark", "ja", PHONE),
    ("console-overview-ja", "/", "light", "ja", WIDE),
    ("console-look-to-book", "/look-to-book", "light", "en", WIDE),
    ("console-event", "/events/14", "light", "en", WIDE),
    ("console-tail", "/tail", "dark", "en", WIDE),
    ("console-flow", "/flow/order-o-5", "light", "en", WIDE),
    ("console-flow-tree", "/flow/order-o-5?as=tree", "light", "en", WIDE),
    ("console-flow-bars", "/flow/order-o-5?as=bars", "dark", "en", WIDE),
    ("console-travel", "/travel/order-o-3?at=5", "light", "en", WIDE),
    ("console-travel-ja", "/travel/order-o-3?at=5", "dark", "ja", WIDE),
    ("console-commands", "/commands", "light", "en", WIDE),
    ("console-queries", "/queries", "light", "en", WIDE),
]
PLANT: list[Shot] = [
    ("console-components", "/topology?view=model", "light", "en", TALL),
    ("console-parked", "/parked", "light", "en", TALL),
    ("console-process", "/processes/booking", "light", "en", TALLER),
    ("console-process-map", f"/insight?{BY_TRIP}", "dark", "ja", WHOLE),
    ("console-funnel", f"/insight/funnel?{BY_TRIP}&steps=trip.booked,room.held,trip.paid", "light", "en", WHOLE),
    ("console-sql", "/insight/sql", "dark", "ja", WHOLE),
]
OFFICE: list[Shot] = [
    ("console-audit", "/audit?actor=till&tenant=north", "light", "en", TALL),
    ("console-people", "/people?subject=c-2&sure=1", "light", "en", TALL),
    ("console-schemas", "/schemas/customer.registered", "dark", "en", TALL),
]
FORGOTTEN = "/operators?action=personal.forget&outcome=done"
DIAGRAMS = ("console-flow", "console-process", "console-process-map")
"""Those that Mermaid draws, some time after the page has come."""


def main(url: str, only: list[str]) -> None:
    with (
        TemporaryDirectory() as folder,
        opened_plant(Path(folder)) as plant,
        opened_office(Path(folder)) as office,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for where, shots in ((f"{url}/console", SHOP), (plant.url, PLANT), (office.url, OFFICE)):
            for shot in shots:
                if not only or shot[0] in only:
                    take(browser, office, where, shot)
        if not only or {"console-certificate", "console-operators"} & set(only):
            certificate = forget(browser, office)
            take(browser, office, office.url, ("console-certificate", certificate, "light", "en", TALL))
            take(browser, office, office.url, ("console-operators", FORGOTTEN, "dark", "en", TALL))
        browser.close()


def opened(browser: Browser, office: Office, size: dict[str, Any]) -> Page:
    """A page of the office's admin; elsewhere nobody asks who it is."""
    context = browser.new_context(viewport={**size, "height": size["height"] or 800}, locale="en-US")
    context.add_cookies([{"name": COOKIE, "value": office.cookie, "url": office.url}])
    return context.new_page()


def take(browser: Browser, office: Office, where: str, shot: Shot) -> None:
    name, path, theme, language, size = shot
    page = opened(browser, office, size)
    page.goto(f"{where}{path}{'&' if '?' in path else '?'}theme={theme}&lang={language}")
    page.wait_for_selector(".d-main h1")
    if name in DIAGRAMS:
        page.wait_for_selector(".d-mermaid svg, .d-diagram svg")
    if name == "console-sql":
        page.locator("[data-action='sql.ask']").click()
        page.wait_for_selector(".d-chart svg")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1200)
    if size is WHOLE:
        page.set_viewport_size({**size, "height": page.evaluate("document.documentElement.scrollHeight")})
        page.wait_for_timeout(400)
    page.screenshot(path=HERE / f"{name}.png")
    page.context.close()


def forget(browser: Browser, office: Office) -> str:
    """Forgets a person, as an admin does; returns the path of the certificate."""
    page = opened(browser, office, TALL)
    page.goto(f"{office.url}/people?subject=c-1&sure=1")
    page.locator("[data-confirm-subject] input, input[data-confirm-subject]").first.fill("c-1")
    page.locator("[data-action='personal.forget']").click()
    page.locator(".d-dialog [data-reason] input, .d-dialog input[data-reason]").first.fill("she asked")
    page.locator(".d-dialog [data-confirm]").click()
    page.wait_for_url(lambda now: "sure" not in now)
    found = page.locator("a[href*='/people/certificates/']").first.get_attribute("href")
    page.context.close()
    assert found is not None
    return found.partition("/console")[2]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
