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
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

import nbformat
import numpy as np
import psutil

from tests.kernels import jupyter_environment, require_kernel

if TYPE_CHECKING:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Locator,
        LocatorAssertions,
        Page,
        ViewportSize,
    )

START = 120.0  # s, for anything that starts: a cold server on two busy cores takes 20 s
SCREENSHOTS = Path(__file__).parent / "screenshots"
VIEWPORT: ViewportSize = {"width": 1400, "height": 1000}  # pixels
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

# Nothing pops up, nothing is saved behind a test's back, every cell is in the document.
QUIET: dict[str, Mapping[str, Any]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}

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


class Unavailable(Exception):
    """A part that the browser tests need is not installed; the message says which."""


class CellError(Exception):
    """A cell, or code that was evaluated, raised in the kernel; the message is the traceback."""


class Memory(NamedTuple):
    """Resident memory in bytes."""

    server: int
    kernel: int


class LabServer:
    """A JupyterLab server with configuration, kernels and files of its own.

    Parameters
    ----------
    folder
        Where all its files go: configuration, notebooks (`root`) and the log (`log`).
    settings
        User settings besides `QUIET`: plugin -> values, e.g.
        ``{"apputils-extension/kernels-settings": {"commsOverSubshells": "disabled"}}``.
    environment
        Environment variables besides this process's own, e.g. ``{"OMP_NUM_THREADS": "1"}``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if importlib.util.find_spec("jupyterlab") is None:
            raise Unavailable("JupyterLab is not installed")
        self.root = folder / "root"
        self.log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = folder / "settings"
        self.root.mkdir(parents=True)
        inherited = {name: text for name, text in os.environ.items() if name[:7] != "JUPYTER"}
        self._environment = {**inherited, **(environment or {}), **jupyter_environment(folder)}
        for plugin, values in {**QUIET, **(settings or {})}.items():
            _write_json(self._settings / "@jupyterlab" / f"{plugin}.jupyterlab-settings", values)
        # The debugger talks to every kernel, and logs an error when one ends in mid-sentence.
        _write_json(
            Path(self._environment["JUPYTER_CONFIG_DIR"]) / "labconfig" / "page_config.json",
            {"disabledExtensions": {"@jupyterlab/debugger-extension": True}},
        )
        self._workspaces = folder / "workspaces"

    def start(self) -> None:
        """Start the server; `url` waits until it answers."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                    *("--ip=127.0.0.1", f"--port={_free_port()}"),
                    *("--IdentityProvider.token=", "--ServerApp.password="),
                    "--ServerApp.disable_check_xsrf=True",
                    f"--ServerApp.root_dir={self.root}",
                    "--LabApp.extension_manager=readonly",
                    "--LabApp.expose_app_in_browser=True",
                    f"--LabApp.user_settings_dir={self._settings}",
                    f"--LabApp.workspaces_dir={self._workspaces}",
                ],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C ends the tests, which then end the server
            )

    @cached_property
    def url(self) -> str:
        """Address of the server, e.g. ``http://127.0.0.1:8888``, once it answers."""
        # The server notes its address when it listens; the port is another one than we asked
        # for if somebody took that in the meantime.
        runtime = Path(self._environment["JUPYTER_RUNTIME_DIR"])
        deadline = time.monotonic() + START
        while True:
            for note in runtime.glob("jpserver-*.json"):
                try:
                    url = json.loads(note.read_text())["url"].rstrip("/")
                    _request(f"{url}/api/status")
                except (OSError, json.JSONDecodeError):
                    continue  # half written, or not yet listening
                return url
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"JupyterLab did not start.\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"JupyterLab is silent after {START:.0f} s.\n{self.log_tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server and every process it started."""
        if self._process is None:
            return
        try:
            server = psutil.Process(self._process.pid)
            children = server.children(recursive=True)
        except psutil.NoSuchProcess:
            children = []
        self._process.terminate()  # it shuts its kernels down
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _, alive = psutil.wait_procs(children, timeout=5)
        for child in alive:
            child.kill()
        psutil.wait_procs(alive, timeout=5)
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def shut_down_kernels(self) -> None:
        """End every kernel that still runs."""
        for kernel in _request(f"{self.url}/api/kernels"):
            try:
                _request(f"{self.url}/api/kernels/{kernel['id']}", method="DELETE")
            except urllib.error.HTTPError as error:
                error.close()
                if error.code != 404:  # 404: it has just ended
                    raise

    def start_kernel(self, name: str = "python3") -> str:
        """Start a kernel without a notebook and return its id."""
        return _request(f"{self.url}/api/kernels", method="POST", data={"name": name})["id"]

    @property
    def memory(self) -> int:
        """Resident memory of the server in bytes."""
        if self._process is None:
            raise RuntimeError("the server does not run")
        return psutil.Process(self._process.pid).memory_info().rss

    def log_tail(self, lines: int = 60) -> str:
        """The last lines of the server's log."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


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


# A bqplot figure that is drawn before its place on the page has a size subtracts its margins from
# zero; it draws itself again as soon as it is seen (`relayoutImpl` in bqplot's Figure).
BQPLOT_HIDDEN = r"<rect> attribute \w+: A negative value is not valid.*/extensions/bqplot/"


class Lab:
    """JupyterLab's page with one notebook, as a user sees it.

    Cells are counted from 0. Times are in seconds.
    """

    def __init__(self, server: LabServer, browser: Browser) -> None:
        self.server = server
        self.console_errors: list[str] = []
        self.outside_requests: list[str] = []
        self._allowed: list[str] = []
        self._browser = browser
        self._context: BrowserContext | None = None
        self._path = ""
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
            raise CellError(_plain(errors))

    def run_all(self, *, timeout: float = 120.0) -> None:
        """Run every cell, until the kernel has finished the last.

        Raises
        ------
        CellError
            If a cell raises.
        """
        if errors := self._call("runAll", self._path, timeout=timeout):
            raise CellError(_plain(errors))

    def outputs(self, index: int) -> str:
        """Text of a cell's outputs: streams, plain text of results, tracebacks."""
        return _plain(self._call("outputs", self._path, index))

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
            raise CellError(_plain(error))
        return text.rstrip("\n")

    def wait_until(self, code: str, *, timeout: float = 60.0) -> None:
        """Wait until the expression `code` is true in the kernel."""
        test = f"print(bool({code}))"
        self.wait_for(lambda: self.evaluate_in_kernel(test) == "True", what=code, timeout=timeout)

    def wait_for(
        self, condition: Callable[[], bool], *, what: str = "the condition", timeout: float = 60.0
    ) -> None:
        """Wait until `condition()` is true here, while the page goes on."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} is still false after {timeout:g} s")
            self.page.wait_for_timeout(50)

    def restart_kernel(self) -> None:
        """Restart the kernel and wait until it is ready to run."""
        self._call("restart", self._path, timeout=START)

    def memory(self) -> Memory:
        """Resident memory of server and kernel in bytes."""
        kernel = int(self.evaluate_in_kernel("import os; print(os.getpid())"))
        return Memory(self.server.memory, psutil.Process(kernel).memory_info().rss)

    # --- the page

    @property
    def page(self) -> Page:
        """Playwright's page; JupyterLab is loaded in it when it is first needed."""
        if self._context is None:
            self._context = self._browser.new_context(viewport=VIEWPORT)
            self._context.set_default_timeout(30_000)
            self._context.add_init_script(IN_PAGE)
            page = self._context.new_page()
            self._listen(page)
            self._load(page)
        return self._context.pages[0]

    def reload(self, *, save: bool = True) -> None:
        """Load the page again; the notebook is saved first, its widgets live in the kernel."""
        if save:
            self._call("save", self._path)
        self._load(self.page)
        self._call("open", self._path, timeout=START)

    def click(self, target: Locator) -> float:
        """Click, and return when the browser got the click: epoch seconds, as `time.time()`."""
        target.click()
        return self._call("clicked") / 1000

    def set_theme(self, theme: Literal["light", "dark"]) -> None:
        """Switch JupyterLab to the "light" or the "dark" theme."""
        self._call("setTheme", THEMES[theme])

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

    def forget(self) -> None:
        """Forget the errors and requests that were seen, and what was allowed."""
        for seen in (self.console_errors, self.outside_requests, self._allowed):
            seen.clear()

    def close(self) -> None:
        """Close the page; the next use opens a new one."""
        context, self._context = self._context, None
        if context is not None:
            context.close()

    # --- private

    def _open(self, notebook: nbformat.NotebookNode, kernel: str, name: str = "notebook") -> None:
        require_kernel(kernel)
        self._count += 1
        self._path = f"{name}-{self._count}.ipynb"
        notebook.metadata.kernelspec = {"name": kernel, "display_name": kernel}
        nbformat.write(notebook, self.server.root / self._path)
        self._call("open", self._path, timeout=START)

    def _call(self, function: str, *arguments: Any, timeout: float = 30.0) -> Any:
        """Call a function of `IN_PAGE`; page.evaluate itself would wait for ever."""
        return self.page.evaluate(
            "([name, args, ms]) => inPage.within(ms, name, inPage[name](...args))",
            [function, arguments, timeout * 1000],
        )

    def _load(self, page: Page) -> None:
        page.goto(f"{self.server.url}/lab?reset", timeout=START * 1000)
        page.wait_for_function("window.jupyterapp", timeout=START * 1000)
        page.evaluate("ms => inPage.within(ms, 'JupyterLab', inPage.started())", START * 1000)

    def _listen(self, page: Page) -> None:
        def request(url: str) -> None:
            address = urlsplit(url)
            inside = ("127.0.0.1", "localhost")
            if address.scheme in ("http", "https", "ws", "wss") and address.hostname not in inside:
                self.outside_requests.append(url)

        def console(message: ConsoleMessage) -> None:
            if message.type == "error":
                text = _plain(f"{message.text} {message.location['url']}")
                self.console_errors.append(text.rstrip())

        page.on("request", lambda sent: request(sent.url))
        page.on("websocket", lambda socket: request(socket.url))
        page.on("console", console)
        page.on("pageerror", lambda error: self.console_errors.append(error.stack or str(error)))
        page.on("crash", lambda _: self.console_errors.append("the page crashed"))
        page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?"


# What runs in the page, with the objects JupyterLab itself uses. "Idle" in the toolbar shows before
# a session is ready, and a cell that is run then silently does nothing.
IN_PAGE = r"""
window.inPage = (() => {
  const listened = new WeakSet();
  let ending = false;
  let click = 0;
  // The moment the browser got the click, not the moment the page found time for it.
  window.addEventListener('click', event => {
    click = Date.now() - (performance.now() - event.timeStamp);
  }, {capture: true, passive: true});

  const dialog = () => document.querySelector('.jp-Dialog')?.innerText ?? '';

  const frame = () => new Promise(done => requestAnimationFrame(done));

  // JupyterLab covers the page while it starts and while it loads a theme.
  const uncovered = async () => {
    while (document.getElementById('jupyterlab-splash')) await frame();
  };

  const within = (ms, what, promise) => {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => {
        const shown = dialog() && `; a dialog is open: ${dialog()}`;
        reject(new Error(`${what}: not done within ${ms / 1000} s${shown}`));
      }, ms);
    });
    return Promise.race([Promise.resolve(promise), late]).finally(() => clearTimeout(timer));
  };

  const notebooks = () => [...jupyterapp.shell.widgets('main')].filter(w => w.sessionContext);

  const find = path => {
    const panel = notebooks().find(w => w.context.path === path);
    if (!panel) throw new Error(`no notebook is open under ${path || 'any name'}`);
    return panel;
  };

  const cellOf = (path, index) => {
    const cells = find(path).content.widgets;
    if (!cells[index]) throw new Error(`cell ${index}: the notebook has ${cells.length}`);
    return cells[index];
  };

  const errorsOf = cell => (cell.model.outputs?.toJSON() ?? [])
    .filter(output => output.output_type === 'error')
    .map(output => output.traceback.join('\n') || `${output.ename}: ${output.evalue}`).join('\n');

  // An exception in a widget's callback is shown nowhere: say it in the page's console. That the
  // kernel has no such comm is no fault: JupyterLab asks for its widgets before there are any. Nor
  // is what a kernel says while it ends.
  const listen = kernel => {
    if (listened.has(kernel)) return;
    listened.add(kernel);
    kernel.anyMessage.connect((_, {msg, direction}) => {
      const {header, content, parent_header: parent} = msg;
      if (ending || direction !== 'recv' || !/^comm_/.test(parent?.msg_type ?? '')) return;
      if (header.msg_type === 'error') {
        console.error(`callback in the kernel: ${content.traceback.join('\n')}`);
      } else if (header.msg_type === 'stream' && content.name === 'stderr'
          && !content.text.startsWith('No such comm')) {
        console.error(`callback in the kernel: ${content.text}`);
      }
    });
  };

  const ready = async ({context, sessionContext}) => {
    await context.ready;
    await sessionContext.ready;
    const kernel = sessionContext.session.kernel;
    await kernel.info;
    while (kernel.connectionStatus !== 'connected') {
      await new Promise(done => {
        const changed = () => { kernel.connectionStatusChanged.disconnect(changed); done(); };
        kernel.connectionStatusChanged.connect(changed);
      });
    }
    listen(kernel);
  };

  const evaluate = async (path, code) => {
    const kernel = find(path).sessionContext.session.kernel;
    const future = kernel.requestExecute(
      {code, store_history: false, stop_on_error: false, allow_stdin: false});
    let text = '';
    let error = '';
    future.onIOPub = ({header, content}) => {
      if (header.msg_type === 'stream' && content.name === 'stdout') text += content.text;
      else if (header.msg_type === 'execute_result') text += content.data['text/plain'];
      else if (header.msg_type === 'error') error = content.traceback.join('\n');
    };
    const reply = await future.done;
    if (reply.content.status !== 'ok' && !error) error = `the kernel ${reply.content.status}ed`;
    return [text, error];
  };

  const execute = async (cells, command) => {
    for (const cell of cells) cell.model.clearExecution();
    await jupyterapp.commands.execute(command);
    for (const cell of cells) {
      const errors = errorsOf(cell);
      if (errors) return errors;
      if (cell.model.executionCount === null && cell.model.sharedModel.source.trim()) {
        throw new Error(`the cell did not run: ${cell.model.sharedModel.source}`);
      }
    }
    return '';
  };

  return {
    within,

    async started() {
      await jupyterapp.restored;
      jupyterapp.shell.collapseLeft();
      await uncovered();
    },

    async open(path) {
      const panel = await jupyterapp.commands.execute(
        'docmanager:open', {path, factory: 'Notebook'});
      await ready(panel);
    },

    async save(path) {
      await find(path).context.save();
    },

    async restart(path) {
      const panel = find(path);
      ending = true;
      await panel.sessionContext.restartKernel().finally(() => { ending = false; });
      await ready(panel);
      await evaluate(path, '');
    },

    async run(path, index, wait) {
      const panel = find(path);
      const cell = cellOf(path, index);
      jupyterapp.shell.activateById(panel.id);
      panel.content.deselectAll();
      panel.content.activeCellIndex = index;
      const done = execute([cell], 'notebook:run-cell');
      if (wait) return done;
      done.catch(() => {});  // it may be cut short by a restart, or by the end of the test
      while (cell.model.executionState !== 'running' && cell.model.executionCount === null) {
        await frame();
      }
      return '';
    },

    async runAll(path) {
      const panel = find(path);
      jupyterapp.shell.activateById(panel.id);
      const cells = panel.content.widgets.filter(cell => cell.model.type === 'code');
      return execute(cells, 'notebook:run-all-cells');
    },

    outputs(path, index) {
      const text = value => Array.isArray(value) ? value.join('') : value ?? '';
      const cell = cellOf(path, index);
      return cell.model.outputs.toJSON().map(output => {
        if (output.output_type === 'stream') return text(output.text);
        if (output.output_type === 'error') return output.traceback.join('\n');
        return text(output.data['text/plain']);
      }).join('\n');
    },

    evaluate,

    clicked: () => click,

    async setTheme(name) {
      await jupyterapp.commands.execute('apputils:change-theme', {theme: name});
      while (document.body.dataset.jpThemeName !== name) await frame();
      await uncovered();
    },

    pixels(canvas) {
      // A copy is read: reading the canvas itself would change how the browser keeps it.
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
      copy.drawImage(canvas, 0, 0);
      const {data, height, width} = copy.getImageData(0, 0, canvas.width, canvas.height);
      let binary = '';
      for (let start = 0; start < data.length; start += 32768) {
        binary += String.fromCharCode(...data.subarray(start, start + 32768));
      }
      return [height, width, btoa(binary)];
    },

    async clear() {
      ending = true;
      for (const panel of notebooks()) {
        await panel.sessionContext.shutdown();
        panel.context.model.dirty = false;  // nobody is asked whether to save
        panel.dispose();
      }
      ending = false;
      return dialog();
    },
  };
})();
"""


def _request(url: str, *, method: str = "GET", data: Any = None) -> Any:
    """Ask the server's REST interface, past any proxy."""
    request = urllib.request.Request(
        url, method=method, data=None if data is None else json.dumps(data).encode()
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        body = answer.read()
    return json.loads(body) if body else None


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _plain(text: str) -> str:
    """Remove the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
