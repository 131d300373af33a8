"""Asks the Hugging Face hub for a file of a dataset repository, and for what it says of it.

The client is that of `huggingface_hub`, with its proxies, certificates and offline switch. Its own
`get_hf_file_metadata` is not used: that tells the hub which packages and programs run here. Sent
are the address, our name and version, and no token.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from openretina_widgets.errors import Unreachable

__all__ = ["Hub", "Remote", "client_error", "next_address"]

_CONNECT_WITHIN = 5.0  # seconds; a classroom without a network should not have to wait
_REDIRECTS = 5


@dataclass(frozen=True)
class Remote:
    """What the hub says of a file.

    Attributes
    ----------
    commit
        The version that the rest is about.
    etag
        sha256 of a large file, git's hash of a small one; another server may have its own.
    size
        Bytes.
    """

    commit: str
    etag: str
    size: int


@dataclass(frozen=True)
class Hub:
    """A dataset repository on a hub.

    Attributes
    ----------
    endpoint
        Address of the hub, such as ``"https://huggingface.co"``.
    repository
        Such as ``"open-retina/open-retina"``.
    agent
        Name and version of who asks.
    """

    endpoint: str
    repository: str
    agent: str

    def address(self, path: str, revision: str = "main") -> str:
        """Return where a file of the repository is to be had."""
        return f"{self.endpoint}/datasets/{self.repository}/resolve/{revision}/{path}"

    def look_up(self, path: str) -> Remote:
        """Ask for version, hash and size of a file.

        Raises
        ------
        Unreachable
            If there is no way to the hub, it has no such file, or what answers is no hub.
        """
        answer = self._head(self.address(path))
        found = answer.headers
        # A large file lies elsewhere: the hub says what it is in its redirect to there.
        etag = found.get("x-linked-etag") or found.get("etag") or ""
        size = found.get("x-linked-size") or found.get("content-length") or ""
        commit = found.get("x-repo-commit") or ""
        if not (etag and re.fullmatch("[0-9]{1,15}", size) and re.fullmatch("[0-9a-f]+", commit)):
            raise Unreachable(
                f"what answers at {self.endpoint} is no Hugging Face hub "
                "(a login page of the network?)"
            )
        return Remote(commit, etag.removeprefix("W/").strip('"'), int(size))

    def _head(self, url: str) -> Any:
        from huggingface_hub import get_session
        from huggingface_hub.errors import OfflineModeIsEnabled

        try:
            for _ in range(_REDIRECTS):
                answer = get_session().request(
                    "HEAD", url, headers=self._headers(), timeout=_timeout(), follow_redirects=False
                )
                if not answer.has_redirect_location:
                    if answer.status_code != 200:
                        raise self.refusal(answer)
                    return answer
                if "x-linked-etag" in answer.headers:
                    return answer
                url = next_address(url, answer.headers["location"])
        except OfflineModeIsEnabled as error:
            raise Unreachable("HF_HUB_OFFLINE is set") from error
        except client_error() as error:
            said = str(error) or type(error).__name__
            raise Unreachable(f"{self.endpoint} cannot be reached ({said})") from error
        raise Unreachable(f"{self.endpoint} leads from one address to another without end")

    @contextlib.contextmanager
    def get(self, path: str, revision: str, start: int) -> Iterator[Any]:
        """Ask for a file from a byte on; the answer is open within the context."""
        from huggingface_hub import get_session

        headers = self._headers() | ({"range": f"bytes={start}-"} if start else {})
        with get_session().stream(
            "GET",
            self.address(path, revision),
            headers=headers,
            timeout=_timeout(),
            follow_redirects=True,
        ) as answer:
            yield answer

    def refusal(self, answer: Any) -> Unreachable:
        """Return the error for an answer without a file."""
        if answer.status_code == 404:
            return Unreachable(f"{self.endpoint} does not have it any more (404)")
        said = f"{answer.status_code} {answer.reason_phrase}".strip()
        return Unreachable(f"{self.endpoint} refuses it ({said})")

    def _headers(self) -> dict[str, str]:
        # Not compressed: bytes are counted, and a range is one of the file.
        return {"user-agent": self.agent, "accept-encoding": "identity"}


def next_address(url: str, location: str) -> str:
    """Return where a redirect leads; from an encrypted address only to another."""
    target = urljoin(url, location)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise Unreachable(f"{url} leads to {target}, which is not encrypted")
    return target


def client_error() -> type[Exception]:
    """Return what the HTTP client raises; which client it is, the hub's version decides."""
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__[0]


def _timeout() -> tuple[float, float, float, float]:
    """Return seconds to connect, to read, to write, and to wait for a connection."""
    from huggingface_hub import constants

    answer = float(constants.HF_HUB_DOWNLOAD_TIMEOUT)  # the user's, where it is set
    return (min(_CONNECT_WITHIN, answer), answer, answer, answer)
