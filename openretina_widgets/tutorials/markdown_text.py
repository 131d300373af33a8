"""Markdown of a lesson as HTML for a widget: safe, with formulas, and its pictures inside."""

from __future__ import annotations

import base64
import functools
import html
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import ipywidgets as ipw
import mistune
import nh3

__all__ = ["MarkdownText", "markdown_html"]

_LARGEST_PICTURE = 5 << 20  # bytes; each travels inside the text
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")
_TAGS = nh3.ALLOWED_TAGS | {"div", "span", "input", "img", "details", "summary"}
_ATTRIBUTES: dict[str, set[str]] = {
    **{tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()},
    "*": {"class", "align"},
    "details": {"open"},
    "a": {"href", "title", "target"},
    "img": {"src", "alt", "title", "width", "height"},
    "input": {"type", "checked", "disabled"},
}
_SCHEMES = {"http", "https", "mailto", "data"}


class MarkdownText(ipw.HTMLMath):
    """Markdown with formulas, drawn like a cell of the notebook.

    Parameters
    ----------
    text
        Markdown.
    folder
        Of the notebook, for its pictures; None for no folder.
    attachments
        Pictures that were pasted into the cell.
    kind
        A CSS class more.
    """

    def __init__(
        self,
        text: str = "",
        *,
        folder: Path | None = None,
        attachments: Mapping[str, Mapping[str, str]] | None = None,
        kind: str = "",
    ) -> None:
        self._kind = kind
        shown = self._page(markdown_html(text, folder=folder, attachments=attachments))
        super().__init__(shown, layout=ipw.Layout(width="auto", margin="0"))
        self.add_class("orw-lesson-text")

    def show(self, text: str, kind: str | None = None) -> None:
        """Show another text."""
        self._kind = self._kind if kind is None else kind
        self.value = self._page(markdown_html(text)) if text else ""

    def _page(self, inside: str) -> str:
        return f'<div class="jp-RenderedHTMLCommon orw-lesson-page {self._kind}">{inside}</div>'


def markdown_html(
    text: str,
    *,
    folder: Path | None = None,
    attachments: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    r"""Return Markdown as HTML that runs nothing and loads nothing from elsewhere.

    Formulas between dollar signs are left as ``\(...\)`` and ``$$...$$`` for the page's MathJax.
    A picture of the notebook's folder, or pasted into the cell, becomes part of the text; of any
    other there is a link.

    Parameters
    ----------
    text
        Markdown, with what HTML it holds.
    folder
        Where relative paths of pictures begin; pictures outside of it are not taken.
    attachments
        Name to MIME type to base64, as in a notebook's cell.
    """
    written: str = _markdown()(text)
    place = functools.partial(_picture, folder=folder, attachments=attachments or {})
    written = re.sub(r"<img\b[^>]*>", place, written)
    return nh3.clean(
        written,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer",
        attribute_filter=_kept,
    )


@functools.cache
def _markdown() -> Any:
    return mistune.create_markdown(
        renderer=mistune.HTMLRenderer(escape=False, allow_harmful_protocols=True),  # see nh3
        plugins=["math", "table", "strikethrough", "task_lists", "url", "footnotes"],
    )


def _kept(tag: str, name: str, value: str) -> str | None:
    """Keep an attribute, of data only pictures."""
    if value.lstrip().lower().startswith("data:") and not (tag == "img" and name == "src"):
        return None
    return value


def _picture(
    found: re.Match[str], folder: Path | None, attachments: Mapping[str, Mapping[str, str]]
) -> str:
    """Return an ``<img>`` with its picture inside, or a link where it lies elsewhere."""
    image = found[0]
    source = re.search(r'\bsrc\s*=\s*(?:"([^"]*)"|\'([^\']*)\')', image)
    if source is None:
        return ""
    url = html.unescape(source[1] or source[2] or "").strip()
    alternative = re.search(r'\balt\s*=\s*"([^"]*)"', image)
    words = alternative[1] if alternative and alternative[1] else html.escape(url[:200])
    if url.startswith("data:image/"):
        return image
    data = _attached(url, attachments) if url.startswith("attachment:") else _beside(url, folder)
    if data:
        return image.replace(source[0], f'src="{data}"')
    if urlsplit(url).scheme in ("http", "https"):
        return f'<a href="{html.escape(url)}" target="_blank">Picture: {words}</a>'
    return f"<em>The picture {words} is missing.</em>"


def _attached(url: str, attachments: Mapping[str, Mapping[str, str]]) -> str:
    for kind, data in attachments.get(unquote(url.removeprefix("attachment:")), {}).items():
        if kind in _PICTURES:
            return f"data:{kind};base64,{''.join(str(data).split())}"
    return ""


def _beside(url: str, folder: Path | None) -> str:
    if folder is None or urlsplit(url).scheme or url.startswith(("/", "\\")):
        return ""
    path = (folder / unquote(urlsplit(url).path)).resolve()
    kind = mimetypes.guess_type(path.name)[0]
    if kind not in _PICTURES or not path.is_relative_to(folder.resolve()):
        return ""
    try:
        if path.stat().st_size > _LARGEST_PICTURE:
            return ""
        return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    except OSError:
        return ""
