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


def test_lines_come_one_by_one_and_then_the_end(wire: Wire) -> None:
    wire.send(b"one\n\ntwo \xff\n", "drei ü".encode())
    assert [wire.lines.readline() for _ in range(5)] == ["one\n", "\n", "two �\n", "drei ü", ""]


@pytest.mark.parametrize(
    ("message", "answered"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"x":"%s"}}', 7),
        (b'{"method":"tools/call","params":{"id":1,"x":"%s"},"jsonrpc":"2.0","id":"a-b"}', "a-b"),
        (b'{ "method" : "m", "id" : 8, "params":{"x":"%s"}}', 8),
    ],
)
def test_a_message_that_is_too_long_is_answered(
    message: bytes, answered: object, wire: Wire
) -> None:
    wire.send(message % (b"y" * 3 * MESSAGE_BYTES), b"\nnext\n")
    assert wire.lines.readline() == "next\n"
    assert wire.notes == [LIMIT]
    error = {"code": -32600, "message": LIMIT}
    assert wire.answer() == {"jsonrpc": "2.0", "id": answered, "error": error}


def test_a_message_that_is_too_long_and_has_no_id_is_left_out(wire: Wire) -> None:
    wire.send(b'{"params":{"id":1,"x":"' + b"y" * 3 * MESSAGE_BYTES, b"\nnext\n")
    assert (wire.lines.readline(), wire.notes) == ("next\n", [LIMIT])
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
