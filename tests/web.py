"""A server of files over HTTP on loopback, which answers as a test says."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass(frozen=True)
class Answer:
    """How one request is answered; what is None is as it should be."""

    status: int | None = None
    location: str | None = None  # of a redirection
    length: int | None = None  # the header, whatever is sent
    sent: int | None = None  # bytes that are sent before the connection breaks
    endless: bool = False


@dataclass
class Web:
    """Files by their paths, and the answers to the next requests."""

    files: dict[str, bytes] = field(default_factory=dict)
    answers: deque[Answer] = field(default_factory=deque)
    etags: bool = True
    parts: bool = True
    lengths: bool = True
    address: str = ""
    asked: list[str] = field(default_factory=list)  # method, path and range of each request
    authorizations: list[str | None] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # it would hold back each answer for 0.04 s
    web: Web

    def do_GET(self) -> None:
        web = self.web
        wanted = self.headers["Range"] if web.parts else None
        web.asked.append(f"{self.command} {self.path} {wanted or ''}".strip())
        web.authorizations.append(self.headers["Authorization"])
        answer = web.answers.popleft() if web.answers else Answer()
        data = web.files.get(self.path.partition("?")[0])
        if answer.status or data is None:
            self._empty(answer.status or 404, answer.location)
        elif wanted and int(wanted[6:].split("-")[0]) >= len(data):
            self._empty(416)
        else:
            self._send(data, wanted, answer)

    do_HEAD = do_GET  # noqa: N815  # the name that the library looks for

    def _empty(self, status: int, location: str | None = None) -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, data: bytes, wanted: str | None, answer: Answer) -> None:
        start, stop = 0, len(data)
        if wanted:
            first, last = wanted[6:].split("-")
            start, stop = int(first), min(int(last or len(data)) + 1, len(data))
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        if self.web.etags:
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        if self.web.lengths:
            self.send_header("Content-Length", str(answer.length or stop - start))
        self.close_connection = answer.sent is not None or answer.endless or not self.web.lengths
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            self.wfile.write(data[start : stop if answer.sent is None else start + answer.sent])
            while answer.endless:
                self.wfile.write(b"x" * 2**16)
        except OSError:  # the reader has seen enough
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    """Serve no files yet."""
    web = Web()
    handler = type("Handler", (_Handler,), {"web": web})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        web.address = f"http://127.0.0.1:{server.server_port}"
        yield web
        server.shutdown()
