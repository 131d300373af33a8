"""Real kernels of several ipykernel versions, kept apart from the user's own Jupyter.

``python3`` is the environment's own ipykernel; the others lie in ``.kernels/``, where `make` puts
them without a second copy of their large dependencies.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

KERNELS = Path(__file__).resolve().parents[1] / ".kernels"
VERSIONS = {
    "python3": "7.",
    "ipykernel6": "6.",
    "ipykernel71": "7.1.",
}  # what a version begins with
PATIENCE = 60.0  # s, for an answer of a kernel on a loaded machine


def require_kernel(name: str) -> None:
    """Skip the test if a kernel is not installed; with ``CI=true`` fail."""
    if name == "python3" or (KERNELS / name / "ipykernel").is_dir():
        return
    reason = f"kernel {name!r} is not installed: run `make .kernels/{name}`"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def jupyter_environment(folder: Path) -> dict[str, str]:
    """Write the kernel specs into a folder; return the variables that point Jupyter there."""
    specs = folder / "jupyter" / "kernels"
    for name in VERSIONS:
        (specs / name).mkdir(parents=True, exist_ok=True)
        spec = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": name,
            "language": "python",
            "metadata": {"debugger": True},
        }
        if name != "python3":
            spec["env"] = {"PYTHONPATH": str(KERNELS / name)}
        (specs / name / "kernel.json").write_text(json.dumps(spec))
    variables = {"JUPYTER_PATH": str(folder / "jupyter"), "JUPYTER_PLATFORM_DIRS": "1"}
    for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        (folder / variable.lower()).mkdir(exist_ok=True)
        variables[variable] = str(folder / variable.lower())
    return variables


@dataclass
class Reply:
    """What came of a cell."""

    text: str = ""  # printed to stdout
    errors: str = ""  # printed to stderr
    error: str = ""  # name of the exception
    content: dict[str, Any] = field(default_factory=dict)  # of the execute_reply
    seconds: float = 0.0


class Kernel:
    """A running kernel and its client."""

    def __init__(self, name: str, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.name = name
        self.manager = manager
        self.client = client

    def send(self, code: str) -> str:
        """Have a cell run; return the identity of its message."""
        return self.client.execute(code, allow_stdin=False)

    def reply(self, message: str, timeout: float = PATIENCE) -> Reply:
        """Wait for a cell that was sent."""
        reply = Reply()
        began = time.perf_counter()
        while True:
            content = self.client.get_iopub_msg(timeout=timeout)
            if content["parent_header"].get("msg_id") != message:
                continue
            kind, content = content["msg_type"], content["content"]
            if kind == "stream" and content["name"] == "stdout":
                reply.text += content["text"]
            elif kind == "stream":
                reply.errors += content["text"]
            elif kind == "error":
                reply.error = content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                break
        while True:
            answer = self.client.get_shell_msg(timeout=timeout)
            if answer["parent_header"].get("msg_id") == message:
                reply.content = answer["content"]
                break
        reply.seconds = time.perf_counter() - began
        return reply

    def run(self, code: str) -> str:
        """Run a cell that has to go well; return what it printed."""
        reply = self.reply(self.send(code))
        assert (reply.error, reply.errors) == ("", ""), reply.content.get("traceback", reply.errors)
        return reply.text.strip()

    def until(self, condition: str) -> None:
        """Ask cell after cell until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while self.run(f"print(bool({condition}))") != "True":
            assert time.monotonic() < deadline, f"waited in vain for {condition}"
            time.sleep(0.005)

    def comm(self, kind: str, content: Mapping[str, Any], subshell: str | None = None) -> None:
        """Send a comm message, as a front end does when a widget is clicked."""
        message = self.client.session.msg(kind, dict(content))
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)

    @functools.cached_property
    def subshell(self) -> str | None:
        """A subshell, such as JupyterLab opens for comms, where the kernel supports them."""
        info = self.client.kernel_info(reply=True, timeout=PATIENCE)["content"]
        if "kernel subshells" not in info.get("supported_features", ()):
            return None
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        while True:
            answer = self.client.get_control_msg(timeout=PATIENCE)
            if answer["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return answer["content"]["subshell_id"]


@contextlib.contextmanager
def running_kernel(
    name: str, folder: Path, *, environment: Mapping[str, str] | None = None
) -> Iterator[Kernel]:
    """Start a kernel that keeps its files in a folder; its stderr goes to ``stderr.txt`` there.

    `environment` holds variables besides this process's own.
    """
    require_kernel(name)
    variables = jupyter_environment(folder)
    manager = KernelManager(
        kernel_name=name,
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(folder / "jupyter" / "kernels")]),
        connection_file=str(folder / "connection.json"),
    )
    with (folder / "stderr.txt").open("w") as errors:
        variables = {**os.environ, **(environment or {}), **variables}
        manager.start_kernel(env=variables, cwd=str(folder), stderr=errors)
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=PATIENCE)
            kernel = Kernel(name, manager, client)
            version = kernel.run("import ipykernel; print(ipykernel.__version__)")
            assert version.startswith(VERSIONS[name]), f"kernel {name!r} runs ipykernel {version}"
            yield kernel
        finally:
            client.stop_channels()
            if manager.has_kernel:
                manager.shutdown_kernel(now=True)
            manager.cleanup_resources()
