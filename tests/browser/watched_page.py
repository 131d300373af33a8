"""A page of the browser that is watched: its errors, and what leaves the machine."""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import numpy as np

from tests.browser.servers import JupyterServer, Unavailable

if TYPE_CHECKING:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Locator,
        LocatorAssertions,
        Page,
        Route,
        ViewportSize,
    )

SCREENSHOTS = Path(__file__).parent / "screenshots"
VIEWPORT: ViewportSize = {"width": 1400, "height": 1000}  # pixels

# A bqplot figure that is drawn before its place on the page has a size subtracts its margins from
# zero; it draws itself again as soon as it is seen (`relayoutImpl` in bqplot's Figure).
BQPLOT_HIDDEN = r"<rect> attribute \w+: A negative value is not valid.*/extensions/bqplot/"

IN_PAGE = (Path(__file__).parent / "in_page.js").read_text()

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--no-proxy-server",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def find_chromium() -> str:
    """Path of the Chromium to use: ``$CHROMIUM``, the system's, or Playwright's own ("")."""
    if path := os.environ.get("CHROMIUM"):
        return path
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), "")


@contextmanager
def launch_chromium() -> Iterator[Browser]:
    """Launch a headless Chromium, and close it in the end.

    Raises
    ------
    Unavailable
        If Playwright or Chromium is missing or does not start.
    """
    if importlib.util.find_spec("playwright") is None:
        raise Unavailable("Playwright is not installed")
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=find_chromium() or None, args=CHROMIUM_ARGUMENTS
            )
        except Error as error:
            reason = str(error).partition("\n╔")[0]  # without the framed advice
            raise Unavailable(f"Chromium does not start: {reason}") from None
        try:
            yield browser
        finally:
            browser.close()


def expect(target: Locator) -> LocatorAssertions:
    """Playwright's `expect`, with the patience that a busy machine asks for."""
    from playwright.sync_api import expect as expect_within_5_s

    expect_within_5_s.set_options(timeout=30_000)
    return expect_within_5_s(target)


class WatchedPage:
    """A page on a server of its own, as a user sees it.

    Times are in seconds.

    Parameters
    ----------
    server, browser
        What it is shown by.
    offline
        Whether requests that leave the machine are refused, as where there is no network. They
        are noted either way.
    """

    def __init__(self, server: JupyterServer, browser: Browser, *, offline: bool = False) -> None:
        self.server = server
        self.console_errors: list[str] = []
        self.outside_requests: list[str] = []
        self._allowed: list[str] = []
        self._browser = browser
        self._offline = offline
        self._context: BrowserContext | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def page(self) -> Page:
        """Playwright's page; what it shows first is loaded when it is needed."""
        if self._context is None:
            self._context = self._browser.new_context(viewport=VIEWPORT)
            self._context.set_default_timeout(30_000)
            self._context.add_init_script(IN_PAGE)
            page = self._context.new_page()
            if self._offline:
                page.route("**/*", self._refuse)
            self._listen(page)
            self._load(page)
        return self._context.pages[0]

    def wait_for(
        self, condition: Callable[[], bool], *, what: str = "the condition", timeout: float = 60.0
    ) -> None:
        """Wait until `condition()` is true here, while the page goes on."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} is still false after {timeout:g} s")
            self.page.wait_for_timeout(50)

    def click(self, target: Locator) -> float:
        """Click, and return when the browser got the click: epoch seconds, as `time.time()`."""
        target.click()
        return self._call("clicked") / 1000

    def screenshot(self, name: str, target: Locator | None = None) -> Path:
        """Keep a picture of the page, or of `target`, as a file to look at."""
        path = SCREENSHOTS / f"{name}.png"
        (target or self.page).screenshot(path=path)
        return path

    def canvas_pixels(self, canvas: Locator) -> np.ndarray:
        """What a canvas shows: (height, width, RGBA), uint8."""
        height, width, data = canvas.evaluate("canvas => inPage.pixels(canvas)")
        pixels = np.frombuffer(base64.b64decode(data), dtype=np.uint8)
        return pixels.reshape(height, width, 4)

    def allow_error(self, pattern: str) -> None:
        """Allow errors that match the regular expression, until the end of the test."""
        self._allowed.append(pattern)

    def complaints(self) -> list[str]:
        """Errors that were not allowed, and requests that left the machine."""
        errors = [
            error
            for error in self.console_errors
            if not any(re.search(pattern, error) for pattern in (BQPLOT_HIDDEN, *self._allowed))
        ]
        return errors + [f"request left the machine: {url}" for url in self.outside_requests]

    def describe(self, name: str) -> str:
        """Tell what the page and the server said, and keep a picture as ``failed-<name>.png``."""
        from playwright.sync_api import Error

        said = ["In the console:", *self.console_errors, *self.outside_requests]
        said += [f"In {self.server.log}:", self.server.log_tail()]
        if self._context is not None:
            try:
                picture = self.screenshot(f"failed-{re.sub(r'[^A-Za-z0-9]+', '-', name)}")
            except Error as error:
                said.append(f"No picture: {error}")
            else:
                said.append(f"Picture: {picture}")
        return "\n".join(said)

    def forget(self) -> None:
        """Forget the errors and requests that were seen, and what was allowed."""
        for seen in (self.console_errors, self.outside_requests, self._allowed):
            seen.clear()

    def close(self) -> None:
        """Close the page; the next use opens a new one."""
        context, self._context = self._context, None
        if context is not None:
            context.close()

    def _load(self, page: Page) -> None:
        """Load what the page shows first; nothing here."""

    def _refuse(self, route: Route) -> None:
        if _leaves(route.request.url):
            route.abort("internetdisconnected")
        else:
            route.fallback()

    def _call(self, function: str, *arguments: Any, timeout: float = 30.0) -> Any:
        """Call a function of `IN_PAGE`; page.evaluate itself would wait for ever."""
        return self.page.evaluate(
            "([name, args, ms]) => inPage.within(ms, name, inPage[name](...args))",
            [function, arguments, timeout * 1000],
        )

    def _listen(self, page: Page) -> None:
        def request(url: str) -> None:
            if _leaves(url):
                self.outside_requests.append(url)

        def console(message: ConsoleMessage) -> None:
            if message.type == "error":
                text = plain_text(f"{message.text} {message.location['url']}")
                self.console_errors.append(text.rstrip())

        page.on("request", lambda sent: request(sent.url))
        page.on("websocket", lambda socket: request(socket.url))
        page.on("console", console)
        page.on("pageerror", lambda error: self.console_errors.append(error.stack or str(error)))
        page.on("crash", lambda _: self.console_errors.append("the page crashed"))
        page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?"


def _leaves(url: str) -> bool:
    """Return whether a request for it leaves the machine."""
    address = urlsplit(url)
    inside = ("127.0.0.1", "localhost")
    return address.scheme in ("http", "https", "ws", "wss") and address.hostname not in inside


def plain_text(text: str) -> str:
    """Remove the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
