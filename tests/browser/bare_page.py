"""The bare page: a real Python widget and its own module in Chromium, with nothing in between.

JupyterLab takes 8 to 20 seconds to show a first widget; this takes two. The page holds a small
stand-in for the host of an anywidget: a model with get, set, save_changes, on, off and send, and
one element a view. It is bridged to the traits and messages of the real widget, binary included.

    with BareChromium() as chromium, chromium.page(theme="dark") as page:
        player = plain(StimulusPlayer, stimulus)
        view = page.show(player)              # a CSS selector; once more: a second view
        page.press("Space")
        page.pixels(f"{view} canvas")         # (height, width, RGBA)
        page.pump()                           # hands what the page sent to the widget

What Python sends arrives at once. What the page sends waits until `BarePage.pump`, so a test
decides when an acknowledgement comes back. Playwright runs in a thread of its own, because it keeps
an event loop running in its thread. At the end of a page its complaints fail the test.
"""

from __future__ import annotations

import base64
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

import comm.base_comm
import numpy as np
from ipywidgets.widgets.widget import _remove_buffers

from tests.browser.lab import SCREENSHOTS, launch_chromium

T = TypeVar("T")
ADDRESS = "http://bare.test/"
PATIENCE = 60.0  # s

_HTML = """<!doctype html><meta charset="utf-8"><title>bare page</title><style>%s</style>
<style>body { margin: 0; padding: 16px; background: var(--jp-layout-color0); }</style>
<script type="module">
class Model {
  constructor(id, state) {
    Object.assign(this, { id, state, listeners: [], changed: new Set() });
  }
  get(name) { return this.state[name]; }
  set(name, value) {
    if (this.state[name] === value) return;
    this.state[name] = value;
    this.changed.add(name);
    this.emit(`change:${name}`);
  }
  save_changes() {
    const state = Object.fromEntries([...this.changed].map((name) => [name, this.state[name]]));
    this.changed.clear();
    bare.outbox.push({ model: this.id, data: { method: "update", state } });
  }
  on(name, callback) { this.listeners.push([name, callback]); }
  off(name, callback) {
    this.listeners = this.listeners.filter(([n, c]) => n !== name || c !== callback);
  }
  send(content) { bare.outbox.push({ model: this.id, data: { method: "custom", content } }); }
  emit(name, ...values) {
    for (const [n, callback] of [...this.listeners]) if (n === name) callback(...values);
  }
}

// As from a real socket, a buffer is a view somewhere inside a larger one.
function viewOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length + 13).fill(77);
  for (let i = 0; i < text.length; i++) bytes[i + 8] = text.charCodeAt(i);
  return new DataView(bytes.buffer, 8, text.length);
}
function putBack(state, paths, buffers) {
  paths.forEach((path, i) => {
    const last = path[path.length - 1];
    path.slice(0, -1).reduce((node, key) => node[key], state)[last] = viewOf(buffers[i]);
  });
  return state;
}

const bare = (window.bare = { models: {}, views: {}, outbox: [], frames: new Set(), global: 0 });
bare.add = async (id, esm, css, state, paths, buffers) => {
  const url = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  const exported = (await import(url)).default;
  URL.revokeObjectURL(url);
  const style = document.createElement("style");
  style.textContent = css;
  document.head.append(style);
  const model = (bare.models[id] = new Model(id, putBack(state, paths, buffers)));
  model.widget = typeof exported === "function" ? await exported() : exported;
  model.stop = new AbortController();
  model.cleanup = await model.widget.initialize?.({ model, signal: model.stop.signal });
};
bare.show = async (id, view) => {
  const model = bare.models[id];
  const el = document.createElement("div");
  el.id = view;
  document.body.append(el);
  const stop = new AbortController();
  const cleanup = await model.widget.render({ model, el, signal: stop.signal });
  bare.views[view] = { id, el, stop, cleanup };
};
bare.hide = async (view) => {
  const { el, stop, cleanup } = bare.views[view];
  delete bare.views[view];
  stop.abort();
  await cleanup?.();
  el.remove();
};
bare.receive = async (id, type, data, buffers) => {
  const model = bare.models[id];
  if (type === "comm_close") {
    const views = Object.keys(bare.views).filter((view) => bare.views[view].id === id);
    for (const view of views) await bare.hide(view);
    model.stop.abort();
    await model.cleanup?.();
    delete bare.models[id];
  } else if (data.method === "update") {
    const state = putBack(data.state, data.buffer_paths, buffers);
    Object.assign(model.state, state);
    for (const name of Object.keys(state)) model.emit(`change:${name}`);
    model.emit("change");
  } else if (data.method === "custom") {
    model.emit("msg:custom", data.content, buffers.map(viewOf));
  }
};

const [request, cancel] = [requestAnimationFrame.bind(window), cancelAnimationFrame.bind(window)];
window.requestAnimationFrame = (callback) => {
  const id = request((now) => { bare.frames.delete(id); callback(now); });
  bare.frames.add(id);
  return id;
};
window.cancelAnimationFrame = (id) => { bare.frames.delete(id); cancel(id); };
for (const target of [window, document, document.body]) {
  const add = target.addEventListener.bind(target);
  target.addEventListener = (...values) => { bare.global++; add(...values); };
}
</script>"""


def _theme(name: str) -> str:
    """The variables of a JupyterLab theme, from the theme itself."""
    path = (
        Path(sys.prefix) / f"share/jupyter/lab/themes/@jupyterlab/theme-{name}-extension/index.css"
    )
    return path.read_text() if path.exists() else ""


def plain(make: Callable[..., T], *values: Any, **named: Any) -> T:
    """Make a widget where no event loop runs, as in plain Python: it sends in its handlers.

    Another test may keep Playwright's loop running in this thread; nothing would drive it here.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(make, *values, **named).result()


class BareChromium:
    """A browser in a thread of its own; `BarePage`s are opened in it.

    Raises
    ------
    Unavailable
        On entering, if Playwright or Chromium is missing.
    """

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bare-chromium")
        self._launched = launch_chromium()
        self.browser = self.call(self._launched.__enter__)
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._launched.__exit__, None, None, None)
        self._thread.shutdown()

    def call(self, function: Callable[..., Any], *values: Any, **named: Any) -> Any:
        """Run a function of Playwright in its thread."""
        return self._thread.submit(function, *values, **named).result(timeout=PATIENCE)

    @contextlib.contextmanager
    def page(
        self, *, theme: str = "light", width: int = 1000, height: int = 640
    ) -> Iterator[BarePage]:
        """A fresh page, closed at the end; fails the test if the page complained."""
        page = BarePage(self, theme=theme, width=width, height=height)
        try:
            yield page
            page.pump()
        finally:
            page.close()
        assert page.complaints == []


class BarePage:
    """A page that shows widgets; see the module."""

    def __init__(self, chromium: BareChromium, *, theme: str, width: int, height: int) -> None:
        self.complaints: list[str] = []
        self._chromium, self._theme = chromium, theme
        self._comms: dict[str, _PageComm] = {}
        self._views = 0
        size = {"width": width, "height": height}
        self._page = chromium.call(chromium.browser.new_page, viewport=size)
        chromium.call(self._open)

    def _open(self) -> None:
        html = _HTML % _theme(self._theme)
        self._page.route(
            "**/*",
            lambda route: (
                route.fulfill(body=html, content_type="text/html")
                if route.request.url == ADDRESS
                else route.abort()  # a widget fetches nothing
            ),
        )
        self._page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self._page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type == "error" else None,
        )
        self._page.goto(ADDRESS)

    def show(self, widget: Any) -> str:
        """Draw a view of a widget at the end of the page; a CSS selector of its element."""
        if widget.comm.comm_id not in self._comms:
            self._connect(widget)
        self._views += 1
        view = f"view{self._views}"
        self.evaluate("([id, view]) => bare.show(id, view)", [widget.comm.comm_id, view])
        return f"#{view}"

    def hide(self, view: str) -> None:
        """Remove a view, as a host does."""
        self.evaluate("view => bare.hide(view)", view.removeprefix("#"))

    def reload(self) -> None:
        """Load the page anew: nothing is shown, and the widgets were not told."""
        self._comms.clear()
        self._chromium.call(self._page.reload)

    def _connect(self, widget: Any) -> None:
        widget.comm.close()
        channel = _PageComm(comm_id=widget.comm.comm_id, page=self, widget=widget)
        widget.comm = self._comms[channel.comm_id] = channel
        state, paths, buffers = _remove_buffers(widget.get_state())
        state = {name: value for name, value in state.items() if name != "layout"}
        texts = [str(widget._esm), str(getattr(widget, "_css", ""))]
        self.evaluate(
            "values => bare.add(...values)",
            [channel.comm_id, *texts, state, paths, _packed(buffers)],
        )

    def pump(self) -> list[dict[str, Any]]:
        """Hand what the page has sent to the widgets; the messages."""
        messages: list[dict[str, Any]] = self.evaluate("() => bare.outbox.splice(0)")
        for message in messages:
            channel = self._comms.get(message["model"])
            if channel is not None and channel.widget.comm is not None:
                channel.handle_msg({"content": {"data": message["data"]}, "buffers": []})
        return [message["data"] for message in messages]

    def pump_until(self, condition: Callable[[], bool], *, timeout: float = 10.0) -> None:
        """Keep handing messages over until something is so."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            self.pump()
            time.sleep(0.01)

    def evaluate(self, script: str, value: Any = None) -> Any:
        """Run JavaScript in the page."""
        return self._chromium.call(self._page.evaluate, script, value)

    def wait_for(self, script: str, value: Any = None, *, timeout: float = 10.0) -> None:
        """Wait until an expression of the page is true."""
        milliseconds = 1000 * timeout
        self._chromium.call(self._page.wait_for_function, script, arg=value, timeout=milliseconds)

    def settle(self) -> None:
        """Let the page draw: two animation frames."""
        self.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def press(self, key: str) -> None:
        """Press a key."""
        self._chromium.call(self._page.keyboard.press, key)
        self.settle()

    def click(self, selector: str, **named: Any) -> None:
        """Click on an element."""
        self._chromium.call(self._page.click, selector, **named)
        self.settle()

    def fill(self, selector: str, value: str) -> None:
        """Set an input, as a user does."""
        self._chromium.call(self._page.fill, selector, value)
        self.settle()

    def select(self, selector: str, value: str) -> None:
        """Choose an option."""
        self._chromium.call(self._page.select_option, selector, value)
        self.settle()

    def emulate(self, **media: str) -> None:
        """Change what the page believes of its user, as ``reduced_motion="reduce"``."""
        self._chromium.call(self._page.emulate_media, **media)

    def visible(self, selector: str) -> bool:
        """Whether an element is seen."""
        return bool(self._chromium.call(self._page.is_visible, selector))

    def text(self, selector: str) -> str:
        """Text of an element."""
        return str(self.evaluate("s => document.querySelector(s).textContent", selector))

    def attribute(self, selector: str, name: str) -> str | None:
        """An attribute of an element."""
        return self.evaluate(
            "([s, n]) => document.querySelector(s).getAttribute(n)", [selector, name]
        )

    def pixels(self, selector: str, index: int = 0) -> np.ndarray:
        """Pixels of the n-th canvas that matches: (height, width, RGBA) uint8."""
        width, height, data = self.evaluate(
            """([selector, index]) => {
                const canvas = document.querySelectorAll(selector)[index];
                const { width, height } = canvas;
                const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
                const text = Array.from(data, (byte) => String.fromCharCode(byte)).join("");
                return [width, height, btoa(text)];
            }""",
            [selector, index],
        )
        return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)

    def screenshot(self, name: str, selector: str = "body") -> None:
        """Keep a picture of an element, to look at."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.settle()
        locator = self._page.locator(selector)
        self._chromium.call(locator.screenshot, path=SCREENSHOTS / f"{name}.png")

    def close(self) -> None:
        """Close the page."""
        self._comms.clear()
        self._chromium.call(self._page.close)


class _PageComm(comm.base_comm.BaseComm):
    """The comm of a widget that is shown in a bare page."""

    def __init__(self, *, comm_id: str, page: BarePage, widget: Any) -> None:
        self.page, self.widget = page, widget
        super().__init__(comm_id=comm_id)

    def publish_msg(
        self,
        msg_type: str,
        data: Any = None,
        metadata: Any = None,
        buffers: Any = None,
        **keys: Any,
    ) -> None:
        if msg_type != "comm_open" and self.comm_id in self.page._comms:
            self.page.evaluate(
                "values => bare.receive(...values)",
                [self.comm_id, msg_type, data or {}, _packed(buffers or [])],
            )


def _packed(buffers: list[Any]) -> list[str]:
    return [base64.b64encode(buffer).decode() for buffer in buffers]
