"""The kernel's side of an upload: pieces, in order, bounded, and nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comm
import pytest

from openretina_widgets.widgets.file_upload import FileUpload

pytestmark = pytest.mark.usefixtures("nothing_left")


class Page(comm.base_comm.BaseComm):
    """The page's end of the wire: says what a browser would, and keeps what it hears."""

    def __init__(self, upload: FileUpload) -> None:
        self.heard: list[dict[str, Any]] = []
        upload.comm.close()
        super().__init__(comm_id=upload.comm.comm_id)
        upload.comm = self

    def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
        if msg_type == "comm_msg" and data.get("method") == "custom":
            self.heard.append(data["content"])

    def say(self, *buffers: bytes, **content: Any) -> dict[str, Any]:
        """Send a message; the last answer so far."""
        data = {"method": "custom", "content": content}
        self.handle_msg({"content": {"data": data}, "buffers": list(map(memoryview, buffers))})
        return self.heard[-1] if self.heard else {}

    def send_file(self, data: bytes, *, name: str = "model.ckpt", piece: int = 10) -> None:
        answer = self.say(event="begin", id="u", name=name, size=len(data))
        while answer["event"] == "next":
            offset = answer["offset"]
            answer = self.say(data[offset : offset + piece], event="piece", id="u", offset=offset)


@pytest.fixture
def upload() -> Iterator[FileUpload]:
    upload = FileUpload()
    yield upload
    folder = upload._folder
    upload.close()
    assert folder is None or not Path(folder).exists()


@pytest.fixture
def page(upload: FileUpload) -> Page:
    return Page(upload)


def files_of(upload: FileUpload) -> list[str]:
    return [name for _, _, names in os.walk(upload._folder or "/nowhere") for name in names]


@pytest.mark.parametrize("size", [0, 1, 10, 95])
def test_a_file_arrives_as_it_was(upload: FileUpload, page: Page, size: int) -> None:
    seen: list[bytes] = []
    upload.observe(lambda change: seen.append(change["new"].read_bytes()), "path")
    data = os.urandom(size)
    page.send_file(data)
    assert seen == [data]
    assert upload.path is not None
    assert upload.path.name == "model.ckpt"
    assert page.heard[-1] == {"event": "end", "id": "u", "error": ""}
    assert [m["offset"] for m in page.heard[:-1]] == list(range(0, size, 10))


def test_the_next_file_takes_the_place_of_the_last(upload: FileUpload, page: Page) -> None:
    page.send_file(b"first")
    page.send_file(b"second", name="other.ckpt")
    assert upload.path is not None
    assert upload.path.read_bytes() == b"second"
    assert files_of(upload) == ["other.ckpt"]


def test_what_was_given_up_leaves_nothing_and_the_file_before_stays(
    upload: FileUpload, page: Page
) -> None:
    page.send_file(b"first")
    before = upload.path
    page.say(event="begin", id="v", name="big.ckpt", size=100)
    page.say(b"x" * 10, event="piece", id="v", offset=0)
    page.say(event="cancel", id="v")
    heard = len(page.heard)
    page.say(b"x" * 10, event="piece", id="v", offset=10)  # was on its way
    assert len(page.heard) == heard
    assert upload.path == before
    assert files_of(upload) == ["model.ckpt"]


def test_too_large_a_file_is_refused_before_it_is_sent(page: Page) -> None:
    answer = page.say(event="begin", id="u", name="big.ckpt", size=200 * 10**6 + 1)
    assert answer["event"] == "end"
    assert "the file has 200.0 MB; at most 200 MB are taken" in answer["error"]
    assert "by its path" in answer["error"]


def test_a_full_disk_is_said(page: Page, upload: FileUpload) -> None:
    upload.largest = 2**62
    answer = page.say(event="begin", id="u", name="big.ckpt", size=2**61)
    assert "are free in" in answer["error"]


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([(0, b"x" * 5), (7, b"x")], "a piece is missing: expected byte 5, got 7"),
        ([(0, b"x" * 21)], "changed while it was read"),
        ([(0, b"")], "changed while it was read"),
        ([("0", b"x")], "a piece is missing"),
    ],
)
def test_pieces_that_do_not_fit_end_the_upload(
    upload: FileUpload, page: Page, pieces: list[tuple[Any, bytes]], words: str
) -> None:
    page.say(event="begin", id="u", name="a.ckpt", size=20)
    for offset, data in pieces:
        answer = page.say(data, event="piece", id="u", offset=offset)
    assert answer["event"] == "end"
    assert words in answer["error"]
    assert upload.path is None
    assert files_of(upload) == []


@pytest.mark.parametrize("name", ["../../etc/evil.ckpt", "..\\evil.ckpt", "/evil.ckpt"])
def test_a_name_cannot_climb(upload: FileUpload, page: Page, name: str) -> None:
    page.send_file(b"data", name=name)
    assert upload.path is not None
    assert upload.path.name == "evil.ckpt"
    assert Path(upload._folder or "") in upload.path.parents


@pytest.mark.parametrize("name", [None, 3, "", "..", "/", "\0"])
def test_a_name_that_is_none_gets_one(upload: FileUpload, page: Page, name: Any) -> None:
    page.say(event="begin", id="u", name=name, size=0)
    assert upload.path is not None
    assert upload.path.name == "upload"


@pytest.mark.parametrize("content", [{}, {"event": "piece"}, {"event": "piece", "id": 3}])
def test_odd_messages_change_nothing(upload: FileUpload, page: Page, content: Any) -> None:
    page.say(**content)
    assert page.heard == []
    assert upload.path is None
