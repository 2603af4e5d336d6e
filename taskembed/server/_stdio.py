"""Reserves stdin and stdout for the protocol, so that nothing else can read or write them.

Output of a library goes to stderr. A message from the client has a size limit, so that a long line
cannot fill the memory.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mcp_types import jsonrpc_message_adapter

from taskembed.errors import UsageError

MESSAGE_BYTES = 2**20  # of a message from a client
_CHUNK_BYTES = 2**16
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_ABOVE = 3  # the lowest descriptor for copies, above the standard streams
_INVALID_REQUEST = -32600  # JSON-RPC
# the id of a request at the start or the end of a message, where only the outermost object can be
_ID = rb'"id"\s*:\s*(\d{1,18}|"[^"\\\x00-\x1f]{1,200}")'
_FIRST_ID = re.compile(rb'\s*\{\s*(?:"(?:jsonrpc|method)"\s*:\s*"[^"\\]{0,200}"\s*,\s*)*' + _ID)
_LAST_ID = re.compile(_ID + rb"\s*\}\s*\Z")

# an escape of JSON; a group for half of a character that two escapes are needed for
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


@dataclass(slots=True)
class Writer:
    """Writes to a descriptor, with the `write` and `flush` of a text file; thread-safe.

    Attributes:
        descriptor: the descriptor to write to.
        on_closed: called if the reader has closed the stream; it ends the process.
    """

    descriptor: int
    on_closed: Callable[[], None]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, text: str) -> int:
        """Write a whole message."""
        left = memoryview(text.encode(errors="backslashreplace"))
        try:
            with self._lock:
                while left:
                    left = left[os.write(self.descriptor, left) :]
        except OSError:
            self.on_closed()
        return len(text)

    def flush(self) -> None:
        """Do nothing, since writing is not buffered."""


@dataclass(slots=True)
class Lines:
    """Reads the messages of a client, one per line, with the `readline` of a text file.

    A message that is too long, or that the library could not read and would not answer, is
    skipped and answered with an error.

    Attributes:
        descriptor: the descriptor to read from.
        writer: writes the error.
        notify: called if a message is skipped.
    """

    descriptor: int
    writer: Writer
    notify: Callable[[str], None]
    _read: bytearray = field(default_factory=bytearray)

    def readline(self) -> str:
        """Return the next message; "" at the end."""
        while line := self._line():
            text = _ESCAPE.sub(_whole_character, line[:MESSAGE_BYTES].decode(errors="replace"))
            if len(line) > MESSAGE_BYTES:
                self._refuse(line, f"a message has more than {MESSAGE_BYTES:,} bytes")
            elif _is_message(text):
                return text
            elif text.strip():
                self._refuse(line, "a message is not JSON-RPC 2.0, a line of JSON in UTF-8")
        return ""

    def _line(self) -> bytes:
        """Return the next line; for a long line, only its beginning and its end."""
        looked_at = 0  # bytes already searched for a newline
        while (end := self._read.find(b"\n", looked_at)) < 0:
            if len(self._read) > 2 * MESSAGE_BYTES:
                del self._read[MESSAGE_BYTES:-_CHUNK_BYTES]
            looked_at = len(self._read)
            chunk = self._more()
            if not chunk:
                break
            self._read += chunk
        end = end + 1 or len(self._read)
        line = bytes(self._read[:end])
        del self._read[:end]
        return line

    def _more(self) -> bytes:
        try:
            return os.read(self.descriptor, _CHUNK_BYTES)
        except OSError:  # the client is gone
            return b""

    def _refuse(self, line: bytes, reason: str) -> None:
        self.notify(reason)
        found = _FIRST_ID.match(line) or _LAST_ID.search(line)
        if found:
            error = {"code": _INVALID_REQUEST, "message": reason}
            answer = {"jsonrpc": "2.0", "id": json.loads(found[1]), "error": error}
            self.writer.write(json.dumps(answer) + "\n")


def _is_message(text: str) -> bool:
    try:
        jsonrpc_message_adapter.validate_json(text, by_name=False)
    except ValueError:
        return False
    return True


def _whole_character(escape: re.Match[str]) -> str:
    """Return an escape; half of a character, where a text was cut, becomes U+FFFD.

    The library reads no message that has one, and would not answer it.
    """
    return r"\ufffd" if escape[1] else escape[0]


@contextmanager
def claimed_streams(
    notify: Callable[[str], None], on_closed: Callable[[], None]
) -> Iterator[tuple[Lines, Writer]]:
    """Yield stdin and stdout; within the context, descriptor 0 is empty and 1 is stderr.

    Args:
        notify: called with a note for people.
        on_closed: called if the reader of stdout has closed it.

    Raises:
        UsageError: stdin or stdout is closed.
    """
    _require(_STDIN, os.O_WRONLY, "stdin")
    _require(_STDOUT, os.O_RDONLY, "stdout")
    wire = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for number in (_STDIN, _STDOUT)]
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.dup2(nothing, _STDIN)
        os.dup2(_STDERR, _STDOUT)
        writer = Writer(wire[1], on_closed)
        yield Lines(wire[0], writer, notify), writer
    finally:
        os.close(nothing)
        # the copies stay open: a thread may still read the one of stdin
        for copy, number in zip(wire, (_STDIN, _STDOUT), strict=True):
            os.dup2(copy, number)


def _require(descriptor: int, wrong: int, name: str) -> None:
    """Refuse a stream with the wrong direction, which means that it was closed at the start."""
    try:
        is_wrong = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == wrong
    except OSError:
        is_wrong = True
    if is_wrong:
        raise UsageError(
            f"{name} is closed: the Model Context Protocol needs stdin and stdout",
            hint="`taskembed mcp` is meant to be started by an agent: see docs/how-to/agents.md",
        )
