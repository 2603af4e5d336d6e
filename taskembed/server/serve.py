"""Serves indexes by the Model Context Protocol to the agent that started this process.

    serve({"notes": Path("/srv/notes-index")}, EngineSettings())

`make_server` returns the server itself, for another transport or for tests. The library `mcp` is
that of the extra `mcp`.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Any, TypeVar, cast

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.stdio import stdio_server
from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel

from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ExitCode, StorageError, TaskembedError, first_line, from_os_error
from taskembed.server._answers import shown_text
from taskembed.server._instructions import instructions_for
from taskembed.server._schema import tools_of
from taskembed.server._stdio import claimed_streams
from taskembed.server._tools import Tools
from taskembed.server._workers import Workers
from taskembed.server.indexes import ServedIndexes
from taskembed.space import Task
from taskembed.verbs.opening.encoders import encoder_for_search
from taskembed.version import __version__

ERROR_CHARACTERS = 2_000  # most characters of an error message
_AnswerT = TypeVar("_AnswerT", bound=BaseModel)


def serve(
    folders: Mapping[str, Path],
    settings: EngineSettings,
    *,
    hide: Callable[[str], str] = lambda text: text,
) -> None:
    """Serve indexes on stdin and stdout until stdin ends; SIGINT and SIGTERM end the process.

    The process should do nothing else, since descriptors 0 and 1 are reserved for the protocol.

    Args:
        folders: the folders of the indexes, by the names that agents use.
        settings: where and how the models run; `notify` gets notes for people.
        hide: masks secrets in the text of an error.

    Raises:
        TaskembedError: an index cannot be opened, or stdin or stdout is closed.
    """
    with (
        claimed_streams(settings.notify, _leave_unread) as (lines, writer),
        opened_indexes(folders, settings) as indexes,
        _leaving_at_signals(settings.notify),
    ):
        if os.isatty(lines.descriptor):
            settings.notify(_FOR_A_PERSON)
        workers = Workers()
        workers.start(partial(warm_up, indexes, settings.notify))
        server = make_server(indexes, workers, hide=hide)

        async def run() -> None:
            stdin = anyio.wrap_file(cast("IO[str]", lines))
            stdout = anyio.wrap_file(cast("IO[str]", writer))
            async with stdio_server(stdin, stdout) as (messages, answers):
                # not the public `run`, which reads lines of any length
                inner = server._lowlevel_server  # noqa: SLF001
                await inner.run(messages, answers, inner.create_initialization_options())

        try:
            anyio.run(run)
        finally:
            workers.close()


_FOR_A_PERSON = (
    "note: waiting for messages of the Model Context Protocol from an agent; "
    "Ctrl-D ends the server. See docs/how-to/agents.md for how to add it to an agent"
)


@contextmanager
def opened_indexes(
    folders: Mapping[str, Path], settings: EngineSettings
) -> Iterator[ServedIndexes]:
    """Yield the indexes of folders, opened; they are closed at the end.

    Raises:
        TaskembedError: an index cannot be opened.
    """
    indexes = ServedIndexes.of(folders, partial(encoder_for_search, settings=settings))
    try:
        yield indexes
    finally:
        indexes.close()


def warm_up(indexes: ServedIndexes, notify: Callable[[str], None]) -> None:
    """Load the data and models that requests need; print a note if something cannot be loaded."""
    for served in indexes.by_name.values():
        try:
            with served.held() as held:
                held.index.load()
                held.encoder()
                if held.index.space.task is Task.CLASSIFICATION:
                    held.classifier()
        except (TaskembedError, OSError, MemoryError, ValueError) as error:
            notify(f"note: {served.name}: {first_line(error)}")


def make_server(
    indexes: ServedIndexes,
    workers: Workers,
    *,
    hide: Callable[[str], str] = lambda text: text,
) -> MCPServer[Any]:
    """Return a server whose tools answer from indexes.

    Args:
        indexes: the served indexes.
        workers: the threads in which requests run.
        hide: masks secrets in the text of an error.
    """

    async def answered(
        work: Callable[[], _AnswerT], as_text: Callable[[_AnswerT], str]
    ) -> CallToolResult:
        try:
            answer = await workers.run(work)
        except Exception as error:  # noqa: BLE001  # the boundary of a request
            raise ToolError(hide(_refusal(error))) from None
        return CallToolResult(
            content=[TextContent(type="text", text=as_text(answer))],
            structured_content=answer.model_dump(mode="json"),
        )

    return MCPServer(
        "taskembed",
        version=__version__,
        instructions=instructions_for(indexes),
        tools=tools_of(Tools(indexes), answered),
        log_level="ERROR",
    )


def _refusal(error: Exception) -> str:
    """Return the text of an error for an agent: the message and the hint."""
    known = _known(error)
    text = f"{known.message}\nhint: {known.hint}" if known.hint else known.message
    return shown_text(text[:ERROR_CHARACTERS])


def _known(error: Exception) -> TaskembedError:
    match error:
        case TaskembedError():
            return error
        case OSError():
            return from_os_error(error, str(error.filename or "the index"))
        case MemoryError():
            return StorageError("out of memory", hint="use a smaller k or a shorter text")
    return TaskembedError(f"this is a bug: {type(error).__name__}: {first_line(error)}")


def _leave_unread() -> None:
    """End the process: its results are not read, and a thread may wait for stdin forever."""
    os._exit(ExitCode.CLOSED_PIPE)


@contextmanager
def _leaving_at_signals(notify: Callable[[str], None]) -> Iterator[None]:
    """Within the context, SIGINT and SIGTERM end the process at once, as it writes no files.

    A signal that is ignored, such as SIGINT in a background job of a shell, is still ignored.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(Exception):
            notify(f"stopped by {signal.Signals(number).name}")
        os._exit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in caught:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, before[number])
