"""A server that speaks as much of the Hugging Face hub's API as fetching a file needs.

As on the hub, a large file lies on another host (`127.0.0.1` answers to the API, `localhost` holds
the files), and the hub says version, hash and size in its redirect to there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

DATASET = "open-retina/open-retina"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
API = re.compile(rf"/datasets/{DATASET}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


def asked_for(address: str) -> str:
    asked = API.fullmatch(address.replace("renamed/it", DATASET))
    return asked["path"] if asked else ""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    host: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass
class HubServer:
    """What the hub has and how it misbehaves; `requests` is what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)  # other bytes than are announced
    small: bool = False  # files come from the API itself, under git's hash
    etag: str | None = None  # of any other kind
    without_ranges: bool = False
    break_after: list[int] = field(default_factory=list)  # bytes of the next answers
    refuse_with: list[int] = field(default_factory=list)  # status of the next answers with a file
    renamed: bool = False  # the API leads to itself under another name first
    is_hub: bool = True  # else a login page answers to everything
    chunk: int = 1 << 16
    delay: float = 0.0  # seconds between chunks
    requests: list[Request] = field(default_factory=list)
    endpoint: str = ""
    files_at: str = ""

    def of(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]

    @property
    def gets(self) -> list[Request]:
        """Requests for bytes, each counted once, where the bytes are."""
        return [r for r in self.of("GET") if self.small or r.path.startswith("/files/")]

    def etag_of(self, content: bytes) -> str:
        if self.etag is not None:
            return self.etag
        if self.small:
            return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return sha256(content)


def handler_of(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            headers = {key.lower(): value for key, value in self.headers.items()}
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(Request(self.command, path, headers["host"], headers))
            if not hub.is_hub:
                self.say(200, {"Content-Type": "text/html", "ETag": '"page"'}, b"<h1>Log in</h1>")
            elif path.startswith("/files/"):
                self.send_file(path.removeprefix("/files/"), {})
            elif path.startswith(f"/api/datasets/{DATASET}"):
                self.tell_api(path)
            elif hub.renamed and DATASET in path:
                self.say(307, {"Location": self.path.replace(DATASET, "renamed/it")})
            elif (asked := API.fullmatch(path.replace("renamed/it", DATASET))) and asked[
                "path"
            ] in hub.files:
                self.resolve(asked["path"])
            else:
                self.say(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})

        def resolve(self, path: str) -> None:
            content = hub.files[path]
            etag = f'"{hub.etag_of(content)}"'
            if hub.small:
                self.send_file(path, {"X-Repo-Commit": COMMIT, "ETag": etag})
                return
            headers = {
                "X-Repo-Commit": COMMIT,
                "X-Linked-Etag": etag,
                "X-Linked-Size": str(len(content)),
                "ETag": '"of the pointer"',
                "Location": f"{hub.files_at}/files/{path}",
            }
            self.say(302, headers, b"Found. Redirecting")

        def send_file(self, path: str, headers: dict[str, str]) -> None:
            content = hub.sent.get(path, hub.files[path])
            if self.command == "GET" and hub.refuse_with:
                self.say(hub.refuse_with.pop(0), {})
                return
            start, status = 0, 200
            given = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if given and not hub.without_ranges:
                start, status = int(given[1]), 206
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.say(status, headers, content[start:])

        def say(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            is_file = status in (200, 206) and hub.is_hub
            end = hub.break_after.pop(0) if is_file and hub.break_after else len(body)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for start in range(0, end, hub.chunk):
                    self.wfile.write(body[start : min(start + hub.chunk, end)])
                    time.sleep(hub.delay)
            if end < len(body):
                self.close_connection = True

        def tell_api(self, path: str) -> None:
            """List the files, for a client that asks what there is before it asks for a file."""
            listed: object = [
                {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                for name, content in hub.files.items()
            ]
            if "/tree/" not in path:
                names = [{"rfilename": name} for name in hub.files]
                listed = {"id": DATASET, "sha": COMMIT, "siblings": names, "private": False}
            self.say(200, {"Content-Type": "application/json"}, json.dumps(listed).encode())

    return Handler


@contextlib.contextmanager
def serving(hub: HubServer):
    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False  # an answer may still be on its way to nobody

        def handle_error(self, request: object, client_address: object) -> None:
            """Be quiet about clients that go away, as a killed or cancelled one does."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), handler_of(hub))
    port = server.server_address[1]
    hub.endpoint, hub.files_at = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
