"""Takes the pictures of the console for the documentation: `python docs/images/make_images.py http://127.0.0.1:8000`.

The shop of `make run` should have been open for some minutes, on the data of `make demo`.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
PHONE: dict[str, Any] = {"width": 390, "height": 844}
WIDE: dict[str, Any] = {"width": 1280, "height": 720}
SHOTS: list[tuple[str, str, str, str, dict[str, Any]]] = [
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


def main(url: str) -> None:
    chromium = shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, path, theme, language, size in SHOTS:
            page = browser.new_context(viewport=size, locale="en-US").new_page()
            page.goto(f"{url}/console{path}{'&' if '?' in path else '?'}theme={theme}&lang={language}")
            page.wait_for_selector(".d-main h1")
            if path.startswith("/flow/") and "as=" not in path:
                page.wait_for_selector(".d-mermaid svg")
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(1200)
            page.screenshot(path=HERE / f"{name}.png")
            page.context.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
