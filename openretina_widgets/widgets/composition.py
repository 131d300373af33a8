"""What the composed widgets share: the kernel's main loop, and a clean end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ipywidgets as ipw

from openretina_widgets.widgets.transport import MainLoop


def _tree(root: ipw.Widget) -> Iterator[ipw.Widget]:
    seen: set[int] = set()
    waiting: list[Any] = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, ipw.Widget):
            if id(value) not in seen:
                seen.add(id(value))
                waiting += [getattr(value, name) for name in value.keys]
                yield value
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()


def close_all(root: ipw.Widget, but: ipw.Widget | None = None) -> None:
    """Close a widget and everything that it holds, except `but`."""
    for widget in list(_tree(root)):
        if widget is not but and widget.comm is not None:  # a part may have closed its own
            widget.close()


def beside_or_above(groups: list[ipw.Widget]) -> ipw.GridBox:
    """Return controls that stand in one column beside the pictures.

    Where the page is too narrow for that they stand above, the groups next to each other. What is
    beside them grows by ``flex="1000 1 …"``, and takes all the room of the line.
    """
    return ipw.GridBox(
        groups,
        layout=ipw.Layout(
            flex="1 1 350px",
            min_width="300px",
            margin="0 12px 0 0",
            grid_template_columns="repeat(auto-fit, minmax(300px, 1fr))",
            grid_gap="0 20px",
            align_content="flex-start",
        ),
    )


def button(description: str, icon: str, tooltip: str, *, width: str, style: str = "") -> ipw.Button:
    """Return a button with an icon beside its name."""
    return ipw.Button(
        description=description,
        icon=icon,
        tooltip=tooltip,
        button_style=style,
        layout=ipw.Layout(width=width),
    )


class Composition(ipw.VBox):
    """A widget composed of others. Closing it closes all of them."""

    def __init__(self, children: tuple[ipw.Widget, ...] = (), **settings: Any) -> None:
        self._main_loop = MainLoop()
        super().__init__(children, **settings)
        self.add_class("orw-panel")

    def close(self) -> None:
        """Close the widget and everything it holds: children, layouts, styles, scales, marks."""
        close_all(self, but=self)
        super().close()
