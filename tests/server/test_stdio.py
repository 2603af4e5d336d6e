"""The wire: lines of any length in bounded memory, and streams that nothing else can use."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator

import pytest

from taskembed.server._stdio import MESSAGE_BYTES, Lines, Writer

LIMIT = f"a message has more than {MESSAGE_BYTES:,} bytes"


class Wire:
    """A pipe for messages, and one for answers."""

    def __init__(self) -> None:
        self.messages, self.client = os.pipe()
        self.answers, out = os.pipe()
        self.notes: list[str] = []
        self.lost = 0
        self.writer = Writer(out, self._lose)
        self.lines = Lines(self.messages, self.writer, self.notes.append)

    def _lose(self) -> None:
        self.lost += 1

    def send(self, *parts: bytes) -> None:
        def write() -> None:
            with os.fdopen(self.client, "wb") as stream:
                for part in parts:
                    stream.write(part)

        threading.Thread(target=write).start()

    def answer(self) -> object:
        return json.loads(os.read(self.answers, 10_000))


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    for descriptor in (wire.messages, wire.answers, wire.writer.descriptor):
        os.close(descriptor)


def message(text: str) -> str:
    return f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"x":"{text}"}}}}'


def test_messages_come_one_by_one_and_then_the_end(wire: Wire) -> None:
    lines = [message("one") + "\n", "\n", message("two \udcff") + "\n", message("drei ü")]
    wire.send(*(line.encode(errors="surrogateescape") for line in lines))
    read = [message("one") + "\n", message("two �") + "\n", message("drei ü"), ""]
    assert [wire.lines.readline() for _ in range(4)] == read
    assert wire.notes == []


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (r"a \ud83d b", r"a \ufffd b"),  # the first half of a character
        (r"a \uDE00 b", r"a \ufffd b"),  # the second half
        (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
        (r"\\ud83d", r"\\ud83d"),  # a backslash, and letters
        (r"\u00e4\n\"", r"\u00e4\n\""),
    ],
)
def test_half_a_character_is_replaced(sent: str, read: str, wire: Wire) -> None:
    wire.send(message(sent).encode())
    assert wire.lines.readline() == message(read)


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"x":"y}',  # it ends too early
        b'{"jsonrpc":"2.0","id":7,"method":"m","params":[1]}',
        b'{"jsonrpc":"1.0","id":7,"method":"m"}',
        b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"x":' + b"[" * 300 + b"]" * 300 + b"}}",
    ],
)
def test_what_is_no_message_is_answered(line: bytes, wire: Wire) -> None:
    wire.send(line + b"\n", message("next").encode())
    assert wire.lines.readline() == message("next")
    said = "a message is not JSON-RPC 2.0, a line of JSON in UTF-8"
    assert wire.notes == [said]
    error = {"code": -32600, "message": said}
    assert wire.answer() == {"jsonrpc": "2.0", "id": 7, "error": error}


@pytest.mark.parametrize(
    ("long", "answered"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"x":"%s"}}', 7),
        (b'{"method":"tools/call","params":{"id":1,"x":"%s"},"jsonrpc":"2.0","id":"a-b"}', "a-b"),
        (b'{ "method" : "m", "id" : 8, "params":{"x":"%s"}}', 8),
    ],
)
def test_a_message_that_is_too_long_is_answered(long: bytes, answered: object, wire: Wire) -> None:
    wire.send(long % (b"y" * 3 * MESSAGE_BYTES), b"\n", message("next").encode())
    assert wire.lines.readline() == message("next")
    assert wire.notes == [LIMIT]
    error = {"code": -32600, "message": LIMIT}
    assert wire.answer() == {"jsonrpc": "2.0", "id": answered, "error": error}


def test_a_message_that_is_too_long_and_has_no_id_is_left_out(wire: Wire) -> None:
    long = b'{"params":{"id":1,"x":"' + b"y" * 3 * MESSAGE_BYTES
    wire.send(long, b"\n", message("next").encode())
    assert (wire.lines.readline(), wire.notes) == (message("next"), [LIMIT])
    assert len(wire.lines._read) < 3 * MESSAGE_BYTES
    os.write(wire.writer.descriptor, b"0")
    assert wire.answer() == 0  # nothing came before


def test_a_message_without_an_end_is_not_kept(wire: Wire) -> None:
    wire.send(b"y" * 5 * MESSAGE_BYTES)
    assert (wire.lines.readline(), wire.notes) == ("", [LIMIT])


def test_a_client_that_reads_no_more_is_lost(wire: Wire) -> None:
    os.close(wire.answers)
    wire.writer.write("answer\n")
    assert wire.lost == 1
    wire.answers = os.open(os.devnull, os.O_RDONLY)
