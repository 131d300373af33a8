"""Servers of notebooks, each with a configuration, kernels and files of its own.

`LabServer` is JupyterLab, `NotebookServer` Notebook 7, `VoilaServer` Voilà. They are plain context
managers that start at once; `url` waits until the server answers::

    with LabServer(folder) as server:
        server.url                  # http://127.0.0.1:8888
        server.root                 # its notebooks
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import psutil

from tests.kernels import jupyter_environment

START = 120.0  # s, for anything that starts: a cold server on two busy cores takes 20 s

# Nothing pops up, nothing is saved behind a test's back, every cell is in the document.
QUIET: dict[str, Mapping[str, Any]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


_ALONE = (
    *("--no-browser", "--allow-root", "--ip=127.0.0.1"),
    *("--IdentityProvider.token=", "--ServerApp.password=", "--ServerApp.disable_check_xsrf=True"),
)


class Unavailable(Exception):
    """A part that the browser tests need is not installed; the message says which."""


class JupyterServer:
    """A server in a process of its own.

    Parameters
    ----------
    folder
        Where all its files go: configuration, notebooks (`root`) and the log (`log`).
    settings
        User settings besides `QUIET`: plugin -> values, e.g.
        ``{"apputils-extension/kernels-settings": {"commsOverSubshells": "disabled"}}``.
    environment
        Environment variables besides this process's own, e.g. ``{"OMP_NUM_THREADS": "1"}``.

    Raises
    ------
    Unavailable
        If its package is not installed.
    """

    NAME: ClassVar[str]
    PACKAGE: ClassVar[str]

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if importlib.util.find_spec(self.PACKAGE) is None:
            raise Unavailable(f"{self.NAME} is not installed")
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

    def command(self) -> list[str]:
        """Return what Python runs: a module and its arguments."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the server; `url` waits until it answers."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self.command()],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C ends the tests, which then end the server
            )

    @cached_property
    def url(self) -> str:
        """Address of the server, e.g. ``http://127.0.0.1:8888``, once it answers."""
        deadline = time.monotonic() + START
        while True:
            for url in self._noted():
                try:
                    _request(f"{url}/api/status")
                except urllib.error.HTTPError as error:
                    error.close()  # Voilà has no such page, but it answers
                except OSError:
                    continue  # not yet listening
                return url
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"{self.NAME} did not start.\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.NAME} is silent after {START:.0f} s.\n{self.log_tail()}")
            time.sleep(0.05)

    def _noted(self) -> list[str]:
        """Return where the server says that it listens; nothing while it starts."""
        # The port is another one than we asked for if somebody took that in the meantime.
        addresses = []
        for note in Path(self._environment["JUPYTER_RUNTIME_DIR"]).glob("jpserver-*.json"):
            with contextlib.suppress(OSError, json.JSONDecodeError):  # half written
                addresses.append(json.loads(note.read_text())["url"].rstrip("/"))
        return addresses

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


class LabServer(JupyterServer):
    """A JupyterLab server."""

    NAME, PACKAGE = "JupyterLab", "jupyterlab"

    def command(self) -> list[str]:
        """Return what Python runs."""
        return [
            *("jupyterlab", *_ALONE, f"--port={_free_port()}", f"--ServerApp.root_dir={self.root}"),
            "--LabApp.extension_manager=readonly",
            "--LabApp.expose_app_in_browser=True",
            f"--LabApp.user_settings_dir={self._settings}",
            f"--LabApp.workspaces_dir={self._workspaces}",
        ]


class NotebookServer(JupyterServer):
    """A Notebook 7 server. Voilà, where it is installed, is a part of it: ``/voila/render``."""

    NAME, PACKAGE = "Notebook 7", "notebook"

    def command(self) -> list[str]:
        """Return what Python runs."""
        return [
            *("notebook", *_ALONE, f"--port={_free_port()}", f"--ServerApp.root_dir={self.root}"),
            "--JupyterNotebookApp.expose_app_in_browser=True",
            f"--JupyterNotebookApp.user_settings_dir={self._settings}",
            f"--JupyterNotebookApp.workspaces_dir={self._workspaces}",
        ]


class VoilaServer(JupyterServer):
    """A Voilà server for the notebooks in `root`: ``/voila/render/name.ipynb``.

    Parameters
    ----------
    folder, environment
        As of `JupyterServer`.
    options
        Of Voilà, e.g. ``("--theme=dark",)``.
    """

    NAME, PACKAGE = "Voilà", "voila"

    def __init__(
        self,
        folder: Path,
        *,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, environment=environment)
        self._options = options

    def command(self) -> list[str]:
        """Return what Python runs."""
        return [
            *("voila", str(self.root), "--no-browser", "--Voila.ip=127.0.0.1"),
            *(f"--port={_free_port()}", *self._options),
        ]

    def _noted(self) -> list[str]:
        # Voilà says where it listens in its log alone.
        return re.findall(r"running at:\s+(http://\S+?)/?\s", f"{self.log_tail()}\n")


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
