"""Object stores behind one interface: a real S3 server on loopback, and plain servers over HTTP."""

from __future__ import annotations

import io
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from taskembed import objects
from taskembed.errors import (
    AccessDeniedError,
    BadInputError,
    MissingLibraryError,
    NotFoundError,
    ServerUnavailableError,
    StoppedError,
    TaskembedError,
    UsageError,
)
from taskembed.object_errors import ChangedError, refusal
from taskembed.object_reader import open_object
from taskembed.objects import Store, is_address, open_store, shown
from tests.stores import Bucket, environment

slow = pytest.mark.slow  # the S3 server takes two seconds to start
MIB = 2**20


@pytest.fixture
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a request that fails only once more."""
    monkeypatch.setattr(objects, "RETRIES", 1)
    monkeypatch.setattr(objects, "CONNECT_SECONDS", 1)


def test_addresses_are_told_from_paths() -> None:
    addresses = ["s3://b/x", "gs://b", "az://c/x", "https://h/x", "http://h/x", "S3://b/x"]
    assert [one for one in addresses if not is_address(one)] == []
    paths = ["corpus.jsonl", "/s3/x", "s3:/b", "-", "file:///x", "milvus://h"]
    assert [one for one in paths if is_address(one)] == []


def test_an_address_is_shown_without_what_gives_access() -> None:
    assert shown("https://me:pw@host/a?X-Amz-Signature=1f&x=2") == "https://***@host/a?***"
    assert shown("https://host/a b?sv=1&sig=abc%2F") == "https://host/a b?***"
    assert shown("s3://bucket/a") == "s3://bucket/a"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3:///x", "s3:///x: it names no bucket"),
        ("s3://key:secret@b/x", "s3://***@b/x: a password does not belong in it"),
        ("ftp://b/x", "ftp://b/x: it is not an address of objects"),
        ("https://", "https://: it is not an address"),
    ],
)
def test_what_is_no_address_is_refused(address: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(address)
    assert caught.value.message == message


def test_the_library_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(MissingLibraryError) as caught:
        open_store("s3://b/x")
    assert "[objects]" in str(caught.value.hint)


@pytest.mark.usefixtures("_once")
def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(ServerUnavailableError) as caught:
        open_store("s3://b/x").get(at_most=9)
    assert caught.value.message == "s3://b/x: the server cannot be reached"
    assert caught.value.exit_code == 69
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(UsageError, match="the address of the server is not https") as refused:
        open_store("s3://b/x").get(at_most=9)
    assert refused.value.hint == "for a server without TLS, set AWS_ALLOW_HTTP=true"


class LibraryError(Exception):
    """As the library raises: a class by its name, and a text."""


@pytest.mark.parametrize(
    ("text", "expected", "reason"),
    [
        ("PUT http://169.254.169.254/latest", AccessDeniedError, "no credentials"),
        ("Account must be specified", AccessDeniedError, "no credentials"),
        ("status code: 403 <Code>AccessDenied</Code>", AccessDeniedError, "does not permit"),
        ("status code: 404 <Code>NoSuchBucket</Code>", NotFoundError, "no such bucket"),
        ("status code: 301", UsageError, "another region"),
        ("status code: 405 Method Not Allowed", UsageError, "cannot do this"),
        ("status code: 503 <Code>SlowDown</Code>", ServerUnavailableError, r"503 \(SlowDown\)"),
        ("kind: Timeout", ServerUnavailableError, "in time"),
        ("?sig=secret", ServerUnavailableError, "the transfer failed"),
    ],
)
def test_what_the_library_says_becomes_an_error_of_ours(
    text: str, expected: type[TaskembedError], reason: str
) -> None:
    error = refusal(LibraryError(text), "az://c/x", "az")
    assert isinstance(error, expected)
    assert re.search(reason, error.reason)
    assert "secret" not in f"{error.message}{error.hint}"


@slow
def test_objects_are_written_listed_and_read(bucket: Bucket) -> None:
    store = open_store(f"{bucket.address}/some folder")
    store.put("a.txt", b"one")
    store.put("deep/é #1?%20.txt", b"two!")
    store.put("empty", b"")
    bucket.write("elsewhere", b"")
    assert [(one.name, one.size) for one in store.listed()] == [
        *(("a.txt", 3), ("deep/é #1?%20.txt", 4), ("empty", 0)),
    ]
    assert [one.name for one in store.listed("deep")] == ["deep/é #1?%20.txt"]
    assert bucket.read("some folder/a.txt") == b"one"
    data, found = store.get("a.txt", at_most=3)
    assert (data, found) == (b"one", store.about("a.txt"))
    assert open_store(f"{bucket.address}/some folder/a.txt").get(at_most=9)[0] == b"one"
    with pytest.raises(BadInputError, match=r"a\.txt: it has 3 bytes, more than 2"):
        store.get("a.txt", at_most=2)
    assert (store.stream("empty").read(), open_object(store, "empty").read()) == (b"", b"")
    store.remove(["a.txt", "a.txt", "never"])
    assert "some folder/a.txt" not in bucket.keys


@slow
def test_a_large_object_is_sent_and_read_in_parts(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 4 * 1024 * 19  # 19 MiB
    store = open_store(bucket.address)
    store.upload("big", (data[start : start + MIB] for start in range(0, len(data), MIB)))
    assert store.about("big").etag.endswith('-3"')  # type: ignore[union-attr]  # of S3
    with store.stream("big") as stream:
        assert stream.read() == data
    with open_object(store, "big") as file:
        file.seek(-10, io.SEEK_END)
        assert (file.read(), file.tell()) == (data[-10:], len(data))
        file.seek(9 * MIB)
        assert file.read(300) == data[:300]


@slow
def test_an_upload_that_fails_leaves_no_object(bucket: Bucket) -> None:
    def parts() -> Iterator[bytes]:
        yield b"x" * 9 * MIB
        raise BadInputError("the file is damaged")

    with pytest.raises(BadInputError, match="the file is damaged"):
        open_store(bucket.address).upload("big", parts())
    assert bucket.keys == []


@slow
def test_an_object_is_replaced_only_if_it_is_the_one_that_was_read(bucket: Bucket) -> None:
    store = open_store(f"{bucket.address}/index")
    store.put_if("m", b"1", replaces=None)
    with pytest.raises(ChangedError, match="index/m: another process has changed it"):
        store.put_if("m", b"2", replaces=None)
    first = store.about("m")
    store.put_if("m", b"2", replaces=first)
    with pytest.raises(ChangedError):
        store.put_if("m", b"3", replaces=first)
    assert bucket.read("index/m") == b"2"


@slow
def test_an_object_that_changes_while_it_is_read_is_noticed(bucket: Bucket) -> None:
    store = open_store(bucket.address)
    bucket.write("a", b"x" * 100)
    data, found = store.part("a", 0, 10)
    assert (bytes(data), found) == (b"x" * 10, store.about("a"))
    bucket.write("a", b"y" * 100)
    with pytest.raises(ChangedError):
        store.part("a", 10, 20, of=found)


@slow
def test_what_is_not_there_is_named(bucket: Bucket) -> None:
    with pytest.raises(NotFoundError) as caught:
        open_store(f"{bucket.address}/nothing").get(at_most=1)
    assert caught.value.message == f"{bucket.address}/nothing: there is no such object"
    with pytest.raises(NotFoundError, match="s3://no-bucket: there is no such bucket"):
        list(open_store("s3://no-bucket").listed())
    with pytest.raises(NotFoundError, match="there is no such bucket"):
        open_store("s3://no-bucket").put("a", b"")
    assert list(open_store(f"{bucket.address}/nothing").listed()) == []


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server of files as Python has it: it does not list, and sends no parts."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:  # noqa: ANN401  # as in http.server
            pass

    yield from serving(partial(Quiet, directory=str(tmp_path)), tmp_path)


def serving(handler: Any, folder: Path) -> Iterator[tuple[str, Path]]:  # noqa: ANN401
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def test_a_plain_server_over_http_is_read(plain: tuple[str, Path]) -> None:
    address, folder = plain
    (folder / "a.txt").write_bytes(b"hello")
    store = open_store(f"{address}/a.txt?sig=secret")
    assert store.stream().read() == b"hello"
    assert store.about().size == 5
    assert open_store(address).get("a.txt", at_most=5)[0] == b"hello"
    with pytest.raises(NotFoundError) as caught:
        open_store(f"{address}/b?sig=secret").get(at_most=1)
    assert caught.value.message == f"{address}/b?***: there is no such object"
    with pytest.raises(UsageError, match="the server cannot do this"):
        list(open_store(address).listed())


def test_a_signal_is_heard_while_a_server_does_not_answer(tmp_path: Path) -> None:
    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not heard.is_set():  # the client asks again, when the handler may be gone
                signal.pthread_kill(main_thread, signal.SIGUSR1)
                heard.wait(60)

    def stop(*_: object) -> None:
        raise StoppedError("stopped", signal_number=2)

    main_thread = threading.get_ident()
    heard = threading.Event()
    previous = signal.signal(signal.SIGUSR1, stop)
    try:
        for address, _ in serving(Silent, tmp_path):
            with pytest.raises(StoppedError):
                open_store(f"{address}/a").get(at_most=1)
            heard.set()
    finally:
        signal.signal(signal.SIGUSR1, previous)


class Denying(BaseHTTPRequestHandler):
    """Permits nothing."""

    def deny(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = deny  # noqa: N815  # http.server's names

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("permission", "ask"),
    [
        ("s3:GetObject", lambda store: store.get("a", at_most=9)),
        ("s3:GetObject", lambda store: store.about("a")),
        ("s3:ListBucket", lambda store: list(store.listed())),
        ("s3:PutObject", lambda store: store.put("a", b"x")),
        ("s3:PutObject", lambda store: store.put_if("a", b"x", replaces=None)),
        ("s3:PutObject", lambda store: store.upload("a", [b"x"])),
        ("s3:DeleteObject", lambda store: store.remove(["a"])),
    ],
)
def test_what_is_denied_names_the_permission(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    permission: str,
    ask: Callable[[Store], object],
) -> None:
    for address, _ in serving(Denying, tmp_path):
        for name, value in environment(address).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(AccessDeniedError, match="the server does not permit it") as caught:
            ask(open_store("s3://bucket/key"))
        hint = str(caught.value.hint)
        assert f"grant it {permission}; or " in hint
        assert "AWS_ACCESS_KEY_ID" in hint


class Breaking(BaseHTTPRequestHandler):
    """Sends a megabyte, and breaks the connection in its middle the first time."""

    data = bytes(range(256)) * 4096
    broken = False

    def do_GET(self) -> None:
        start = int((self.headers["Range"] or "bytes=0-")[6:].split("-")[0])
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(MIB - start))
        self.send_header("Content-Range", f"bytes {start}-{MIB - 1}/{MIB}")
        self.end_headers()
        whole, type(self).broken = self.broken, True
        self.wfile.write(self.data[start : MIB if whole else MIB // 2])

    def log_message(self, *_: Any) -> None:  # noqa: ANN401  # as in http.server
        pass


def test_a_connection_that_breaks_is_made_again(tmp_path: Path) -> None:
    for address, _ in serving(Breaking, tmp_path):
        assert open_store(f"{address}/a").stream().read() == Breaking.data
    assert Breaking.broken
