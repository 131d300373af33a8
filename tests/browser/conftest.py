"""Fixtures of the browser tests: one Chromium and one JupyterLab for all of them."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.browser.lab import Lab, LabServer, Unavailable, launch_chromium
from tests.browser.watched_page import WatchedPage
from tests.kernels import require_kernel

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FAILED = pytest.StashKey[bool]()


def unavailable(reason: str) -> NoReturn:
    """Skip where a part is missing; in CI nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


# Scope "package": Playwright keeps an event loop running in this thread, which would stop the
# asynchronous tests elsewhere. It ends with the last browser test.


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The browser of all browser tests."""
    try:
        with launch_chromium() as browser:
            yield browser
    except Unavailable as error:
        unavailable(str(error))


@pytest.fixture(scope="package")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """The JupyterLab server of all browser tests; it may still be starting."""
    try:
        server = LabServer(tmp_path_factory.mktemp("lab"))
    except Unavailable as error:
        unavailable(str(error))
    with server:
        yield server


@pytest.fixture(scope="package")
def shared_lab(lab_server: LabServer, chromium: Browser) -> Iterator[Lab]:
    """The page of all tests in JupyterLab; tests take `lab`."""
    with Lab(lab_server, chromium) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """JupyterLab without a notebook; in the end it must have nothing to complain about."""
    shared_lab.forget()
    yield shared_lab
    if request.node.stash.get(FAILED, False):
        shared_lab.close()
        shared_lab.server.shut_down_kernels()
        return
    shared_lab.clear()
    complaints = shared_lab.complaints()
    assert not complaints, "\n".join(complaints)


@pytest.fixture(params=["python3", "ipykernel6"])
def kernel_name(request: pytest.FixtureRequest) -> str:
    """Name of a kernel: the current ipykernel (7), then version 6."""
    require_kernel(request.param)
    return request.param


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what was on the page, in its console and in the server's log."""
    report = yield
    if report.when == "call" and report.failed:
        item.stash[FAILED] = True
        for page in getattr(item, "funcargs", {}).values():
            if isinstance(page, WatchedPage):
                report.sections.append((page.server.NAME, page.describe(item.name)))
    return report
