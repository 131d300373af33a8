"""Drive a real JupyterLab in Chromium.

A test takes the fixture `lab` (a `Lab`, see `conftest.py`), and `kernel_name` as well where the
kernel's version matters; it then runs once on ipykernel 7 and once on ipykernel 6::

    def test_button_changes_label(lab: Lab, kernel_name: str) -> None:
        lab.new_notebook(["import ipywidgets", "..."], kernel=kernel_name)
        lab.run_all()                                       # raises CellError if a cell fails
        button = lab.output_area(1).get_by_role("button", name="Optimise")
        clicked = lab.click(button)                         # epoch seconds, as time.time()
        expect(lab.output_area(1)).to_contain_text("done")  # Playwright waits for the condition
        assert float(lab.evaluate_in_kernel("when")) - clicked < 0.03
        lab.reload()                                        # the widgets come back from the kernel

- Wait for what is seen (`expect(locator)`, `lab.wait_until(code)`), never for a time.
- At the end of a test the fixture asserts that the page logged no error, that no callback failed
  in the kernel and that no request left the machine. `lab.allow_error(pattern)` allows one.
- The Lab is shared by the tests: every test opens a notebook of its own, with a kernel of its own.
- Playwright keeps an event loop running in this thread: no `async def` test beside these.

`LabServer`, `launch_chromium` and `Lab` are plain context managers: benchmarks use them too.
`Notebook` is the same for Notebook 7, `App` a notebook as Voilà shows it, and what every page has
is in `watched_page.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import nbformat
import psutil

from tests.browser.servers import START, LabServer, NotebookServer, Unavailable, VoilaServer
from tests.browser.watched_page import (
    SCREENSHOTS,
    VIEWPORT,
    WatchedPage,
    expect,
    launch_chromium,
    plain_text,
)
from tests.kernels import require_kernel

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

__all__ = [
    "SCREENSHOTS",
    "App",
    "CellError",
    "Lab",
    "LabServer",
    "Memory",
    "Notebook",
    "Unavailable",
    "expect",
    "launch_chromium",
]

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


class CellError(Exception):
    """A cell, or code that was evaluated, raised in the kernel; the message is the traceback."""


class Memory(NamedTuple):
    """Resident memory in bytes."""

    server: int
    kernel: int


class Lab(WatchedPage):
    """JupyterLab's page with one notebook, as a user sees it.

    Cells are counted from 0. Times are in seconds.
    """

    def __init__(self, server: LabServer | NotebookServer, browser: Browser) -> None:
        super().__init__(server, browser)
        self._path = ""
        self._count = 0

    # --- the notebook

    def new_notebook(self, cells: Sequence[str], *, kernel: str = "python3") -> None:
        """Open a new notebook with these code cells and wait until it is ready to run."""
        v4 = nbformat.v4
        self._open(v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells]), kernel)

    def open(self, notebook: str | Path, *, kernel: str = "python3") -> None:
        """Open a copy of the notebook file and wait until it is ready to run."""
        self._open(nbformat.read(notebook, as_version=4), kernel, name=Path(notebook).stem)

    def run_cell(
        self, index: int, *, timeout: float = 60.0, wait: bool = True, allow_error: bool = False
    ) -> None:
        """Run one cell, until the kernel has finished it; with ``wait=False`` only send it.

        Raises
        ------
        CellError
            If the cell raises and `allow_error` is not set.
        """
        errors = self._call("run", self._path, index, wait, timeout=timeout)
        if errors and not allow_error:
            raise CellError(plain_text(errors))

    def run_all(self, *, timeout: float = 120.0) -> None:
        """Run every cell, until the kernel has finished the last.

        Raises
        ------
        CellError
            If a cell raises.
        """
        if errors := self._call("runAll", self._path, timeout=timeout):
            raise CellError(plain_text(errors))

    def outputs(self, index: int) -> str:
        """Text of a cell's outputs: streams, plain text of results, tracebacks."""
        return plain_text(self._call("outputs", self._path, index))

    def cell(self, index: int) -> Locator:
        """Locate the cell: source and output."""
        return self.page.locator(".jp-NotebookPanel:visible .jp-Notebook .jp-Cell").nth(index)

    def output_area(self, index: int) -> Locator:
        """Locate what the cell shows: text, pictures and widgets."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    # --- the kernel

    def evaluate_in_kernel(self, code: str, *, timeout: float = 60.0) -> str:
        """Run code in the notebook's kernel, beside the cells; what it prints or its value.

        A thread or task in the kernel goes on meanwhile; a cell that still runs is waited for.

        Raises
        ------
        CellError
            If the code raises.
        """
        text, error = self._call("evaluate", self._path, code, timeout=timeout)
        if error:
            raise CellError(plain_text(error))
        return text.rstrip("\n")

    def wait_until(self, code: str, *, timeout: float = 60.0) -> None:
        """Wait until the expression `code` is true in the kernel."""
        test = f"print(bool({code}))"
        self.wait_for(lambda: self.evaluate_in_kernel(test) == "True", what=code, timeout=timeout)

    def restart_kernel(self) -> None:
        """Restart the kernel and wait until it is ready to run."""
        self._call("restart", self._path, timeout=START)

    def memory(self) -> Memory:
        """Resident memory of server and kernel in bytes."""
        kernel = int(self.evaluate_in_kernel("import os; print(os.getpid())"))
        return Memory(self.server.memory, psutil.Process(kernel).memory_info().rss)

    # --- the page

    def reload(self, *, save: bool = True) -> None:
        """Load the page again; the notebook is saved first, its widgets live in the kernel."""
        if save:
            self._call("save", self._path)
        self._load(self.page)
        self._show()

    def set_theme(self, theme: Literal["light", "dark"]) -> None:
        """Switch JupyterLab to the "light" or the "dark" theme."""
        self._call("setTheme", THEMES[theme])

    # --- between tests

    def clear(self) -> None:
        """Close the notebooks and end their kernels; the page stays for the next test."""
        if self._context is None:
            return
        try:
            dialog = self._call("clear", timeout=START)
            self.page.set_viewport_size(VIEWPORT)  # a test may have changed it
            if self.page.evaluate("document.body.dataset.jpThemeName") != THEMES["light"]:
                self.set_theme("light")
        except BaseException:
            self.close()  # the next test gets a new page
            raise
        if dialog:
            self.close()
        self.server.shut_down_kernels()

    # --- private

    def _open(self, notebook: nbformat.NotebookNode, kernel: str, name: str = "notebook") -> None:
        require_kernel(kernel)
        self._count += 1
        self._path = f"{name}-{self._count}.ipynb"
        notebook.metadata.kernelspec = {"name": kernel, "display_name": kernel}
        nbformat.write(notebook, self.server.root / self._path)
        self._show()

    def _show(self) -> None:
        self._call("open", self._path, timeout=START)

    def _load(self, page: Page) -> None:
        self._goto(page, "lab?reset")

    def _goto(self, page: Page, path: str) -> None:
        page.goto(f"{self.server.url}/{path}", timeout=START * 1000)
        page.wait_for_function("window.jupyterapp", timeout=START * 1000)
        page.evaluate("ms => inPage.within(ms, 'the page', inPage.started())", START * 1000)


class Notebook(Lab):
    """The page of Notebook 7: one notebook, and another page for the next."""

    def reload(self, *, save: bool = True) -> None:
        """Load the page again; the notebook is saved first, its widgets live in the kernel."""
        if save:
            self._call("save", self._path)
        self._show()

    def clear(self) -> None:
        """Leave the notebook and end its kernel."""
        self.close()
        self.server.shut_down_kernels()

    def _load(self, page: Page) -> None:
        self._goto(page, "tree")

    def _show(self) -> None:
        self._goto(self.page, f"notebooks/{self._path}")
        self._call("opened", self._path, timeout=START)


class App(WatchedPage):
    """The page of a notebook that Voilà shows as an app; no request leaves the machine."""

    def __init__(self, server: VoilaServer | NotebookServer, browser: Browser) -> None:
        super().__init__(server, browser, offline=True)

    def show(self, code: str, *, theme: str = "light", template: str = "lab") -> Locator:
        """Serve a notebook of one cell; locate what it shows."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "python3"}
        name = f"app-{len(list(self.server.root.iterdir()))}.ipynb"
        nbformat.write(notebook, self.server.root / name)
        query = f"theme={theme}&template={template}"
        url = f"{self.server.url}/voila/render/{name}?{query}"
        self.page.goto(url, timeout=START * 1000)
        return self.shown

    @property
    def shown(self) -> Locator:
        """What the notebook shows, once a widget is there."""
        shown = self.page.locator("#rendered_cells")
        expect(shown.locator(".orw-panel, .orw-lesson").first).to_be_visible()
        return shown
