"""Servers that answer anything: an answer costs bounded memory and time, and is one clear error."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import socket
import struct
import threading
import time
import traceback
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, reduce
from pathlib import Path

import numpy as np
import pytest

from taskembed.encoding._http import VendorClient
from taskembed.encoding.vendors import RequestBody
from taskembed.errors import BadVectorError, ModelUnavailableError, TaskembedError, UsageError
from tests.conftest import Run

pytest.importorskip("openai")

Pieces = Callable[[], Iterable[bytes]]
MIB = 2**20
BLANKS = b" " * MIB
KEY = "sk-a'b\\c&d"


def answered(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "retry-after-ms: 1", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def begun(*headers: str, status: str = "200 OK") -> bytes:
    """Return the beginning of an answer that ends when the connection does."""
    return "\r\n".join([f"HTTP/1.1 {status}", "connection: close", *headers, "", ""]).encode()


class Raw:
    """A server that reads a request and sends whatever it was told to, byte for byte."""

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        self.sent_bytes = 0
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            head, _, body = request.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            while len(body) < length:
                body += connection.recv(65536)
            self.requests.append(head)
            for piece in self.pieces():
                connection.sendall(piece)
                self.sent_bytes += len(piece)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Pieces], Raw]]:
    servers: list[Raw] = []

    def start(pieces: Pieces) -> Raw:
        servers.append(Raw(pieces))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="module", autouse=True)
def _imported() -> Iterator[None]:
    """Send a request before any is timed or measured: what it imports takes seconds, and memory."""
    server = Raw(lambda: [answered(b'{"data": [{"index": 0, "embedding": [1.0]}]}')])
    assert len(VendorClient("own", "m", server.url).send([RequestBody("m", ["a"])])[0]) == 1
    yield
    server.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskembed.encoding._http.RETRIES", 1)
    monkeypatch.setattr("taskembed.encoding._http.TOTAL_SECONDS", 20.0)


def refusal_of(url: str, texts: list[str] | None = None, numbers: int | None = 8) -> TaskembedError:
    with pytest.raises(TaskembedError) as refusal:
        VendorClient("own", "m", url).send([RequestBody("m", texts or ["x"], numbers=numbers)])
    return refusal.value


@cache
def bomb() -> bytes:
    """Return 256 MiB of blanks as a gzip: a MiB of them over and over, which is packed once."""
    packer, count = zlib.compressobj(9, wbits=-15), 256
    piece = packer.compress(BLANKS) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = reduce(lambda crc, _: zlib.crc32(BLANKS, crc), range(count), 0)
    end = struct.pack("<II", checksum, count * MIB)
    return gzip.compress(b"")[:10] + piece * count + packer.flush() + end


def endless(head: bytes, piece: bytes, count: int) -> Pieces:
    def pieces() -> Iterator[bytes]:
        yield head
        for _ in range(count):
            yield piece

    return pieces


def test_the_bomb_is_a_gzip() -> None:
    with gzip.open(io.BytesIO(bomb())) as stream:
        assert stream.read(3 * MIB) == BLANKS * 3
    assert struct.unpack("<I", bomb()[-4:]) == (256 * MIB,)


UNENDING = {  # what comes, and what is said of it
    "blanks": (endless(begun(), BLANKS, 2048), "answered with more than "),
    "chunks": (
        endless(begun("transfer-encoding: chunked"), b"100000\r\n" + BLANKS + b"\r\n", 2048),
        "answered with more than ",
    ),
    "bomb": (lambda: [answered(bomb(), "content-encoding: gzip")], "answered with more than "),
    "deflate": (
        lambda: [answered(zlib.compress(BLANKS * 4, 9), "content-encoding: deflate")],
        "answered with more than ",
    ),
    "bomb in a bomb": (
        lambda: [answered(gzip.compress(bomb()), "content-encoding: gzip, gzip")],
        "answered with an encoding that was not requested: 'gzip, gzip'",
    ),
    "brotli": (
        lambda: [answered(b"x", "content-encoding: br")],
        "answered with an encoding that was not requested: 'br'",
    ),
    "empty blocks of deflate": (
        endless(
            begun("content-encoding: gzip") + gzip.compress(b"")[:10],
            b"\x00\x00\x00\xff\xff" * 200_000,
            2048,
        ),
        "answered with more than ",
    ),
    "what follows a gzip": (
        endless(begun("content-encoding: gzip") + gzip.compress(b"{}"), BLANKS, 2048),
        "answered with more than ",
    ),
    "no gzip": (
        lambda: [answered(b"{}", "content-encoding: gzip")],
        "answered with a body that is not gzip, although its header says so",
    ),
}


@pytest.mark.parametrize("name", UNENDING)
def test_no_answer_takes_more_memory_than_vectors_could(
    name: str, serve: Callable[[Pieces], Raw]
) -> None:
    pieces, said = UNENDING[name]
    server = serve(pieces)
    VendorClient("own", "m", server.url)  # imports are no part of the peak
    import taskembed.encoding._bounded  # noqa: F401

    tracemalloc.start()
    try:
        error = refusal_of(server.url)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(error, ModelUnavailableError)
    assert error.message.startswith(f"127.0.0.1 {said}")
    assert error.hint == "check --api-base: the address of most servers ends in /v1"
    assert len(server.requests) == 1  # it will not be better the second time
    assert server.sent_bytes < 64 * MIB
    assert peak < 64 * MIB


def test_an_answer_that_is_packed_as_it_was_asked_to_is_read(
    serve: Callable[[Pieces], Raw],
) -> None:
    rows = np.random.default_rng(1).standard_normal((32, 384)).tolist()
    body = json.dumps({"data": [{"index": i, "embedding": row} for i, row in enumerate(rows)]})
    assert len(body) > 3 * 2**16  # several pieces
    for packed, encoding in (
        (gzip.compress(body.encode()), "gzip"),
        (zlib.compress(body.encode()), "deflate"),
        (body.encode(), "identity"),
    ):
        server = serve(
            lambda packed=packed, name=encoding: [  # type: ignore[misc]
                answered(packed, f"content-encoding: {name}")
            ]
        )
        asked = RequestBody("m", [str(row) for row in range(32)], numbers=384)
        assert VendorClient("own", "m", server.url).send([asked])[0] == pytest.approx(
            np.float32(rows)
        )
        assert b"accept-encoding: gzip\r\n" in server.requests[0].lower() + b"\r\n"


def drops(head: bytes, piece: bytes, pause: float) -> Pieces:
    def pieces() -> Iterator[bytes]:
        yield head
        for _ in range(1_000):
            yield piece
            time.sleep(pause)

    return pieces


SLOW = {
    "a byte at a time": drops(begun(), b" ", 0.05),
    "a header at a time": drops(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", 0.05),
    "continue, continue": drops(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
    "nothing": drops(b"", b"", 0.05),
    "an error's body": drops(begun(status="400 Bad Request"), b" ", 0.05),
    "try again later": lambda: [begun("retry-after: 50", status="503 no")],
}


LAST = {"a byte at a time": "200", "an error's body": "400", "try again later": "503"}


@pytest.mark.slow
def test_a_server_that_never_comes_to_an_end_is_left(
    serve: Callable[[Pieces], Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are waited for at once."""
    monkeypatch.setattr("taskembed.encoding._http.TOTAL_SECONDS", 1.0)
    monkeypatch.setattr("taskembed.encoding._http.RETRIES", 10)
    urls = [serve(pieces).url for pieces in SLOW.values()]
    began = time.monotonic()
    with ThreadPoolExecutor(len(urls)) as threads:
        errors = list(threads.map(lambda url: refusal_of(url, ["x", "y", "z"]), urls))
    assert time.monotonic() - began < 4
    for name, error in zip(SLOW, errors, strict=True):
        assert isinstance(error, ModelUnavailableError), name
        last = re.fullmatch(
            r"127\.0\.0\.1 did not answer completely within 1 s(; its last status was (\d+))?",
            error.message,
        )
        assert last, name
        assert last[2] == LAST.get(name), name
        assert error.hint == "the same command goes on from what was indexed", name


def test_one_try_ends_before_all_of_them(
    serve: Callable[[Pieces], Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.encoding._http.ANSWER_SECONDS", 0.3)
    server = serve(SLOW["a byte at a time"])
    began = time.monotonic()
    error = refusal_of(server.url)
    assert time.monotonic() - began < 5
    assert error.message.startswith("127.0.0.1 cannot be reached: ")
    assert len(server.requests) == 2


def test_of_what_a_server_says_of_an_error_the_beginning_is_read(
    serve: Callable[[Pieces], Raw],
) -> None:
    for status in ("400 no", "401 no", "404 no", "500 no"):
        server = serve(endless(begun(status=status), b"no. " * 2**18, 2048))
        error = refusal_of(server.url)
        assert error.message.startswith("127.0.0.1 refuses"), error.message
        assert len(error.message) < 400
        assert server.sent_bytes < 64 * MIB


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!DOCTYPE html><html><body>Please sign in</body></html>", ModelUnavailableError),
        (b"", ModelUnavailableError),
        (b"[" * 200_000, ModelUnavailableError),
        (b'{"data": [{"embedding": [1e400]}]}', ModelUnavailableError),
        (b'{"data": [{"embedding": [1' + b"0" * 400 + b"]}]}", ModelUnavailableError),
        (b'{"data": [{"embedding": [NaN]}]}', ModelUnavailableError),
        (b'{"data": [{"embedding": [1e39]}]}', BadVectorError),
        (b'{"data": [{"embedding": [0, 0]}]}', BadVectorError),
    ],
    ids=["html", "nothing", "brackets", "1e400", "10^400", "NaN", "1e39", "zero"],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
def test_a_command_ends_with_one_clear_error(
    body: bytes,
    kind: type[TaskembedError],
    content_type: str,
    serve: Callable[[Pieces], Raw],
    run: Run,
    tmp_path: Path,
) -> None:
    server = serve(lambda: [answered(body, f"content-type: {content_type}")])
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "a fox"}\n')
    words = ("--index", tmp_path / "index", "--api-base", server.url, "--quiet")
    prompts = ("--query-prompt", "", "--document-prompt", "")
    done = run("index", corpus, "--task", "retrieval", "--model", "mine", *prompts, *words)
    assert done.code == int(kind.exit_code)
    assert done.out == ""
    assert len([line for line in done.err.splitlines() if "error: " in line]) == 1
    assert not (tmp_path / "index" / "manifest-00000000.json").exists()


def test_vectors_of_several_sizes_are_refused(serve: Callable[[Pieces], Raw]) -> None:
    sizes = iter([8, 8, 12, 8])

    def pieces() -> list[bytes]:
        row = {"embedding": [1.0] * next(sizes)}
        return [answered(json.dumps({"data": [row]}).encode())]

    wire = VendorClient("own", "m", serve(pieces).url)
    parts = wire.send([RequestBody("m", [text]) for text in "abcd"])
    with pytest.raises(BadVectorError) as refusal:
        wire.joined(parts)
    assert refusal.value.message == "127.0.0.1 returned vectors of several sizes: 8, 12 numbers"


# Addresses.


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:abc/v1", "its port is not a number from 1 to 65535"),
        ("http://127.0.0.1:99999/v1", "its port is not a number from 1 to 65535"),
        ("http://127.0.0.1:-1/v1", "its port is not a number from 1 to 65535"),
        ("http://127.0.0.1:0/v1", "its port is not a number from 1 to 65535"),
        ("http://[::1/v1", "its host is neither a name nor an IP address"),
        ("http://[zz]/v1", "its host is neither a name nor an IP address"),
        (f"http://{'a' * 64}.org", "its host is neither a name nor an IP address"),
        ("http://a..b/v1", "its host is neither a name nor an IP address"),
        ("http://exa mple/v1", "the address of a server cannot have white space, a ? or a #"),
        ("http://host/v1?key=1", "the address of a server cannot have white space, a ? or a #"),
        ("http://host/v1#top", "the address of a server cannot have white space, a ? or a #"),
        ("http://host/\x07", "the address of a server cannot have white space, a ? or a #"),
        ("localhost:8080", "not an http or https address"),
        ("http://", "not an http or https address"),
        ("http://:8080", "not an http or https address"),
    ],
)
def test_an_address_that_is_none_is_a_usage_error(address: str, said: str) -> None:
    with pytest.raises(UsageError) as refusal:
        VendorClient("own", "m", address)
    assert refusal.value.message == f"--api-base {address.rstrip('/')!r}: {said}"


# Keys and passwords are in nothing that is printed.


@pytest.mark.parametrize("status", ["400 no", "401 no", "404 no", "429 no", "500 no", "200 OK"])
@pytest.mark.parametrize("debug", [False, True])
def test_what_a_server_repeats_of_a_key_is_not_printed(
    status: str,
    debug: bool,  # noqa: FBT001  # a case
    serve: Callable[[Pieces], Raw],
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = f"{KEY} {json.dumps(KEY)} {KEY!r}"
    bodies = [said, json.dumps({"error": {"message": said}}), json.dumps({"x": {"y": [said]}})]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "a fox"}\n')
    monkeypatch.setenv("TASKEMBED_API_KEY", KEY)
    if debug:
        monkeypatch.setenv("TASKEMBED_DEBUG", "1")
    prompts = ("--query-prompt", "", "--document-prompt", "")
    for body in bodies:
        server = serve(
            lambda body=body: [  # type: ignore[misc]
                answered(body.encode(), "content-type: application/json", status=status)
            ]
        )
        words = ("--index", tmp_path / "index", "--api-base", server.url)
        done = run("index", corpus, "--task", "retrieval", "--model", "mine", *prompts, *words)
        assert done.code == 69, done.err
        assert KEY.encode() in server.requests[0]
        assert ("Traceback" in done.err) == debug
        for form in (KEY, json.dumps(KEY)[1:-1], repr(KEY)[1:-1]):
            assert form not in done.err + done.out


def test_no_exception_of_ours_carries_what_was_sent(
    serve: Callable[[Pieces], Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_API_KEY", KEY)
    server = serve(lambda: [answered(f"you sent {KEY}".encode(), status="401 no")])
    error = refusal_of(server.url)
    assert KEY not in "".join(traceback.format_exception(error))


PASSWORD = "p:w@ö/ord"  # noqa: S105  # of nobody
WRITTEN = "p%3Aw%40%C3%B6%2Ford"


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_password_in_an_address_is_used_and_never_printed(
    way: str,
    debug: bool,  # noqa: FBT001  # a case
    serve: Callable[[Pieces], Raw],
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if debug:
        monkeypatch.setenv("TASKEMBED_DEBUG", "1")
    corpus, index = tmp_path / "corpus.jsonl", tmp_path / "index"
    corpus.write_text('{"id": "a", "text": "a fox"}\n')
    row = json.dumps({"data": [{"embedding": [1.0, 2.0]}]}).encode()
    prompts = ("--query-prompt", "", "--document-prompt", "")
    make = ["index", corpus, "--task", "retrieval", "--model", "mine", *prompts, "--index", index]

    def address(server: Raw) -> list[str]:
        written = server.url.replace("://", f"://someone:{WRITTEN}@")
        if way == "environment":
            monkeypatch.setenv("TASKEMBED_API_BASE", written)
            return []
        return ["--api-base", written]

    good = serve(lambda: [answered(row)])
    done = run(*make, *address(good))
    assert done.code == 0, done.err
    shown = done.err
    expected = "Basic c29tZW9uZTpwOndAw7Yvb3Jk"  # RFC 7617; by base64(1), of someone:p:w@ö/ord
    assert f"authorization: {expected}".lower().encode() in good.requests[0].lower()
    shown += run("info", "--index", index).out
    for file in index.iterdir():
        shown += file.read_bytes().decode(errors="replace")
    said = f"{PASSWORD} {WRITTEN} someone:{WRITTEN} {expected}"
    for status in ("401 no", "400 no", "200 OK"):
        bad = serve(lambda status=status: [answered(said.encode(), status=status)])  # type: ignore[misc]
        done = run("search", "fox", "--index", index, *address(bad))
        assert done.code == 69
        shown += done.err + done.out
    for server_url in (f"http://someone:{WRITTEN}@127.0.0.1:abc", f"someone:{WRITTEN}@host"):
        done = run("search", "fox", "--index", index, "--api-base", server_url)
        assert done.code == 2
        shown += done.err
    assert run("search", "fox", f"http://someone:{WRITTEN}@host", "--index", index).code == 2
    shown += done.err
    for form in (PASSWORD, WRITTEN, "c29tZW9uZTpwOndAw7Yvb3Jk"):
        assert form not in shown


def test_an_address_as_a_name_is_stored_without_its_password(
    serve: Callable[[Pieces], Raw], run: Run, tmp_path: Path
) -> None:
    row = json.dumps({"data": [{"embedding": [1.0, 2.0]}]}).encode()
    corpus, index = tmp_path / "corpus.jsonl", tmp_path / "index"
    corpus.write_text('{"id": "a", "text": "a fox"}\n')
    server = serve(lambda: [answered(row)])
    words = ("--index", index, "--api-base", server.url, "--query-prompt", "")
    model = ("--model", f"https://someone:{WRITTEN}@example.org/model")
    done = run("index", corpus, "--task", "retrieval", *model, "--document-prompt", "", *words)
    assert done.code == 0, done.err
    assert "model: https://example.org/model\n" in run("info", "--index", index).out
    assert WRITTEN not in "".join(os.fsdecode(file.read_bytes()) for file in index.iterdir())
