"""Reading an object that a server sends in parts: the same bytes, or an error."""

from __future__ import annotations

import io
import os
import random
import threading
from typing import Any

import pytest

from taskembed import object_reader, objects
from taskembed.errors import (
    AccessDeniedError,
    BadInputError,
    NotFoundError,
    ServerUnavailableError,
    TaskembedError,
    UsageError,
)
from taskembed.object_errors import ChangedError
from taskembed.object_reader import BLOCK_BYTES, open_object
from taskembed.objects import open_store
from tests.web import Answer, Web

DATA = random.Random(1).randbytes(3 * BLOCK_BYTES + 12345)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a request that fails only once more."""
    monkeypatch.setattr(objects, "RETRIES", 1)
    monkeypatch.setattr(objects, "CONNECT_SECONDS", 1)


def opened(web: Web, path: str = "/a", query: str = "") -> io.BufferedReader:
    return open_object(open_store(f"{web.address}{path}{query}"), "")


def test_an_object_is_read_in_parts_from_front_to_back(web: Web) -> None:
    web.files["/a"] = DATA
    with opened(web) as stream:
        assert stream.read() == DATA
    mib = BLOCK_BYTES
    assert web.asked == [
        f"GET /a bytes=0-{mib - 1}",
        f"GET /a bytes={mib}-{3 * mib - 1}",
        f"GET /a bytes={3 * mib}-{7 * mib - 1}",
    ]


def test_an_object_is_read_at_any_position(web: Web) -> None:
    web.files["/a"] = DATA
    local, draw = io.BytesIO(DATA), random.Random(2)
    with opened(web) as stream:
        for _ in range(300):
            whence = draw.choice([os.SEEK_SET, os.SEEK_END])
            offset = draw.randrange(len(DATA) + 10)
            offset = offset if whence == os.SEEK_SET else -min(offset, len(DATA))
            assert stream.seek(offset, whence) == local.seek(offset, whence)
            size = draw.choice([1, 100, 70_000, 1_500_000])
            assert stream.read(size) == local.read(size)
            assert stream.tell() == local.tell()
    assert len(web.asked) <= 8  # each block once


def test_few_blocks_are_kept(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_reader, "BLOCK_BYTES", 1024)
    monkeypatch.setattr(object_reader, "BLOCKS_KEPT", 16)
    web.files["/a"] = DATA[: 50 * 1024]
    stream = opened(web)
    read: Any = stream.raw
    blocks = read._blocks
    while read.read(1000):
        assert len(blocks) <= object_reader.BLOCKS_AHEAD
    for number in reversed(range(50)):
        read.seek(number * 1024)
        assert read.read(1) == web.files["/a"][number * 1024 : number * 1024 + 1]
        assert len(blocks) <= 16
    assert sum(map(len, blocks.values())) == 16 * 1024


@pytest.mark.parametrize("etags", [True, False])
def test_a_connection_that_breaks_is_made_again_where_it_broke(web: Web, *, etags: bool) -> None:
    web.files["/a"], web.etags = DATA, etags
    web.answers.extend([Answer(), Answer(sent=1000), Answer(sent=70_000), Answer(status=500)])
    with opened(web) as stream:
        assert stream.read() == DATA


def test_an_answer_that_breaks_off_is_continued_where_it_ended(web: Web) -> None:
    web.files["/a"], web.etags = DATA, False  # where there are etags, the library continues it
    web.answers.extend([Answer(sent=300_000)] * 3)
    data, _ = open_store(f"{web.address}/a").part("", 0, 1_000_000)
    assert data == DATA[:1_000_000]
    starts = [int(request.partition("=")[2].partition("-")[0]) for request in web.asked]
    assert len(starts) == 4
    assert all(row * 200_000 < start <= row * 300_000 for row, start in enumerate(starts[1:], 1))


def test_a_connection_that_always_breaks_is_an_error(web: Web) -> None:
    web.files["/a"] = DATA
    stream = opened(web)
    web.answers.extend([Answer(sent=1000)] * 50)
    with pytest.raises(ServerUnavailableError) as caught:
        stream.read()
    assert caught.value.message == f"{web.address}/a: the connection broke again and again"
    assert caught.value.exit_code == 69


@pytest.mark.parametrize("etags", [True, False])
def test_an_object_that_changes_while_it_is_read_is_an_error(web: Web, *, etags: bool) -> None:
    web.files["/a"], web.etags = DATA, etags
    stream = opened(web)
    assert stream.read(10) == DATA[:10]
    web.files["/a"] = DATA[::-1] if etags else DATA[1:]
    with pytest.raises(ChangedError) as caught:
        stream.read()
    assert caught.value.message == f"{web.address}/a: it was changed while it was read"
    assert caught.value.exit_code == 74


def test_an_object_that_becomes_shorter_than_what_was_read_is_an_error(web: Web) -> None:
    web.files["/a"] = DATA
    stream = opened(web)
    web.files["/a"] = DATA[:1000]
    with pytest.raises(ChangedError, match="/a: it was changed while it was read") as caught:
        stream.read()
    assert caught.value.hint == "run the same command again"


def test_an_object_that_changes_while_a_connection_is_made_again_is_an_error(web: Web) -> None:
    web.files["/a"] = DATA
    stream = opened(web)
    web.answers.append(Answer(sent=1000))
    change = threading.Timer(0.03, web.files.update, [{"/a": DATA[::-1]}])
    change.start()
    with pytest.raises(ChangedError):
        stream.read()
    change.join()


def test_an_answer_that_is_longer_than_asked_is_not_kept(web: Web) -> None:
    web.files["/a"] = DATA
    web.answers.extend([Answer(length=10**12, endless=True)] * 20)
    with pytest.raises(ServerUnavailableError, match="broke again and again"):
        opened(web)


def test_a_server_that_sends_no_parts_is_read_from_a_copy(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files["/a"], web.parts = DATA, False
    with opened(web) as stream:
        assert stream.seek(-5, os.SEEK_END) == len(DATA) - 5
        assert stream.read() == DATA[-5:]
        stream.seek(0)
        assert stream.read() == DATA
    web.answers.extend([Answer(), Answer(sent=1000)])
    with pytest.raises(ServerUnavailableError, match="the transfer failed"):
        opened(web)
    monkeypatch.setattr(object_reader, "WHOLE_BYTES", 3 * BLOCK_BYTES)
    with pytest.raises(BadInputError) as caught:
        opened(web)
    assert caught.value.reason == (
        "it has more than 3,145,728 bytes, and its server cannot send parts"
    )


def test_an_answer_without_a_length_is_refused(web: Web) -> None:
    web.files["/a"], web.parts, web.lengths = DATA, False, False
    with pytest.raises(UsageError) as caught:
        opened(web)
    assert caught.value.reason == "the server does not say how long it is"
    assert caught.value.hint == "copy it to this machine"


@pytest.mark.parametrize("parts", [True, False])
def test_an_empty_object_has_no_bytes(web: Web, *, parts: bool) -> None:
    web.files["/a"], web.parts = b"", parts
    with opened(web) as stream:
        assert stream.read() == b""


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (404, NotFoundError, "there is no such object"),
        (401, AccessDeniedError, "the server does not permit it"),
        (403, AccessDeniedError, "the server does not permit it"),
        (500, ServerUnavailableError, "the server answered with status 500"),
    ],
)
def test_what_a_server_refuses_is_said_without_the_signature(
    web: Web, status: int, error: type[TaskembedError], reason: str
) -> None:
    web.files["/a"] = DATA
    web.answers.extend([Answer(status=status)] * 4)
    with pytest.raises(error) as caught:
        opened(web, query="?X-Amz-Signature=0123456789abcdef")
    assert caught.value.message == f"{web.address}/a?***: {reason}"


@pytest.mark.parametrize("scheme", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://x/"])
def test_a_redirection_to_another_scheme_is_refused(web: Web, scheme: str) -> None:
    web.files["/a"] = DATA
    web.answers.extend([Answer(status=302, location=scheme)] * 4)
    with pytest.raises(TaskembedError) as caught:
        opened(web)
    assert caught.value.exit_code in {2, 69}


def test_a_redirection_is_followed_and_the_signature_is_kept(web: Web) -> None:
    web.files |= {"/b c": b"", "/b%20c": b"found"}
    web.answers.append(Answer(status=302, location="/b%20c?sig=1%2F2"))
    with opened(web, query="?sig=0%2F1") as stream:
        assert stream.read() == b"found"
    assert web.asked[:2] == [
        "GET /a?sig=0%2F1 bytes=0-1048575",
        "GET /b%20c?sig=1%2F2 bytes=0-1048575",
    ]


def test_a_user_and_a_password_are_sent_and_not_shown(web: Web) -> None:
    web.files["/a"] = b"x"
    address = web.address.replace("://", "://me:p%40ss%3A1@")
    store = open_store(f"{address}/a")
    assert open_object(store, "").read() == b"x"
    assert web.authorizations == ["Basic bWU6cEBzczox"]  # me:p@ss:1
    other = web.address.replace("127.0.0.1", "localhost")
    web.answers.append(Answer(status=302, location=f"{other}/a"))
    assert open_object(store, "").read() == b"x"
    assert web.authorizations[1:] == ["Basic bWU6cEBzczox", None]  # not to another host
    with pytest.raises(NotFoundError) as caught:
        open_object(open_store(f"{address}/none"), "")
    assert caught.value.message.startswith("http://***@127.0.0.1:")
    assert "p@ss" not in repr(store)
