"""The protocol, with the library's own client: in memory, in both eras, and over stdio."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from taskembed.space import Task
from tests.cli.support import make_index
from tests.server.support import TEXTS, make, serving

pytestmark = pytest.mark.slow  # importing the library takes a second

ERAS = ["legacy", "auto"]
TOOLS = ["search", "similar", "classify", "get", "indexes"]


@asynccontextmanager
async def client_of(
    folders: dict[str, Path],
    era: str = "auto",
    **options: Any,  # noqa: ANN401  # of Workers
) -> AsyncIterator[Any]:
    from mcp import Client

    from taskembed.server._workers import Workers
    from taskembed.server.serve import make_server

    hide = options.pop("hide", lambda text: text)
    workers = Workers(**options)
    try:
        async with Client(make_server(serving(folders), workers, hide=hide), mode=era) as client:
            yield client
    finally:
        workers.close()


def text_of(answer: Any) -> str:  # noqa: ANN401  # a CallToolResult
    (content,) = answer.content
    return str(content.text)


def refused(answer: Any) -> str:  # noqa: ANN401  # a CallToolResult
    assert answer.is_error
    return text_of(answer)


@pytest.mark.parametrize("era", ERAS)
def test_every_tool_answers_in_both_eras(era: str, tmp_path: Path) -> None:
    tasks = {"notes": Task.RETRIEVAL, "like": Task.SIMILARITY, "labels": Task.CLASSIFICATION}
    folders = {name: make(tmp_path / name, task) for name, task in tasks.items()}

    async def ask() -> None:
        async with client_of(folders, era) as client:
            versions = {"legacy": "2025-11-25", "auto": "2026-07-28"}
            assert client.protocol_version == versions[era]
            assert "- notes: 4 documents, task retrieval" in client.instructions
            tools = (await client.list_tools()).tools
            assert [tool.name for tool in tools] == TOOLS
            assert all(tool.annotations.read_only_hint for tool in tools)
            answer = await client.call_tool("search", {"query": "salt water", "index": "notes"})
            assert answer.structured_content["hits"][0]["doc_id"] == "sea"
            assert "- sea  " in text_of(answer)
            answer = await client.call_tool("similar", {"doc_id": "moon", "k": 1})
            assert answer.structured_content["hits"][0]["doc_id"] == "moons"
            answer = await client.call_tool("classify", {"text": "the moon"})
            assert answer.structured_content["label"] == "sky"
            answer = await client.call_tool("get", {"doc_id": "sea", "index": "like"})
            assert text_of(answer).endswith(f"[chars 0-23 of 23]\n{TEXTS['sea']}")
            answer = await client.call_tool("indexes", {})
            assert [item["name"] for item in answer.structured_content["indexes"]] == list(tasks)

    anyio.run(ask)


@pytest.mark.parametrize("era", ERAS)
def test_refusals_are_errors_of_the_tool_with_their_hints(era: str, tmp_path: Path) -> None:
    async def ask() -> None:
        async with client_of({"notes": make(tmp_path / "notes")}, era) as client:
            wrong = {"query": "x", "task": "similarity"}
            assert refused(await client.call_tool("search", wrong)) == (
                "Error executing tool search: notes is for the task 'retrieval', not 'similarity': "
                "vectors of different tasks are in different spaces, so their scores would be "
                "meaningless\nhint: leave out task, or give 'retrieval'"
            )
            text = refused(await client.call_tool("similar", {"doc_id": "moon"}))
            assert "hint: taskembed index CORPUS --task similarity" in text

    anyio.run(ask)


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("search", {"query": "x", "k": 10**9}, "less than or equal to 50"),
        ("search", {"query": "x", "k": -1}, "greater than or equal to 1"),
        ("search", {"query": "x", "k": "many"}, "valid integer"),
        ("search", {"query": "x", "offset": 10**12}, "less than or equal to 150"),
        ("search", {"query": "x", "max_chars": 10**9}, "less than or equal to 4000"),
        ("search", {"query": "x", "top_k": 3}, "top_k"),
        ("search", {"query": "x", "mode": "magic"}, "mode"),
        ("search", {"query": "x", "task": "sts"}, "task"),
        ("search", {"query": ""}, "at least 1 character"),
        ("search", {"query": " \n"}, "empty"),
        ("search", {"query": "x" * 10_001}, "at most 10000 characters"),
        ("search", {"query": ["x"]}, "valid string"),
        ("search", {}, "Field required"),
        ("search", {"query": "x", "where": "(" * 3000}, "at most 2000 characters"),
        ("search", {"query": "x", "where": "size ="}, "of the filter"),
        ("search", {"query": "x", "index": "../notes"}, "there is no index '../notes'"),
        ("search", {"query": "x", "index": "\x1b[31m"}, "there is no index"),
        ("get", {"doc_id": "../../etc/passwd"}, "no document '../../etc/passwd' in notes"),
        ("get", {"doc_id": "moon", "offset": -1}, "greater than or equal to 0"),
        ("get", {"doc_id": "moon", "offset": 10**9}, "is too large"),
        ("get", {"doc_id": "\ufffe"}, "no document"),
        ("classify", {"text": "x" * 100_001}, "at most 100000 characters"),
        ("delete", {"doc_id": "moon"}, "Unknown tool"),
    ],
)
def test_hostile_arguments_are_refused(
    tool: str, arguments: dict[str, object], said: str, tmp_path: Path
) -> None:
    async def ask() -> None:
        async with client_of({"notes": make(tmp_path / "notes")}) as client:
            text = refused(await client.call_tool(tool, arguments))
            assert said in text
            assert "Traceback" not in text
            assert "\x1b" not in text
            assert len(text) < 3000
            assert not (await client.call_tool("search", {"query": "moon"})).is_error

    from mcp.shared.exceptions import MCPError

    try:
        anyio.run(ask)
    except* MCPError as group:
        assert said in str(group.exceptions)  # noqa: PT017  # an unknown tool is the protocol's


@pytest.mark.parametrize("text", ["null", "true", "[1, 2]", '{"a": 1}', "12", "\x00\x1b\u202e"])
def test_a_text_that_looks_like_json_is_a_text(text: str, tmp_path: Path) -> None:
    folders = {"notes": make(tmp_path / "notes", Task.SIMILARITY)}

    async def ask() -> None:
        async with client_of(folders) as client:
            for tool, arguments in (("search", {"query": text}), ("similar", {"text": text})):
                answer = await client.call_tool(tool, arguments)
                assert len(answer.structured_content["hits"]) == 4, text_of(answer)

    anyio.run(ask)


@pytest.mark.parametrize("era", ERAS)
def test_many_calls_at_the_same_time_get_their_own_answers(era: str, tmp_path: Path) -> None:
    async def ask() -> None:
        async with client_of({"notes": make(tmp_path / "notes")}, era) as client:
            got: dict[int, str] = {}

            async def one(number: int) -> None:
                name = list(TEXTS)[number % 4]
                answer = await client.call_tool("get", {"doc_id": name})
                got[number] = answer.structured_content["text"]

            async with anyio.create_task_group() as group:
                for number in range(60):
                    group.start_soon(one, number)
            assert got == {number: list(TEXTS.values())[number % 4] for number in range(60)}

    anyio.run(ask)


@pytest.mark.parametrize("era", ERAS)
def test_a_cancelled_call_leaves_the_server_ready(era: str, tmp_path: Path) -> None:
    async def ask() -> None:
        async with client_of({"notes": make(tmp_path / "notes")}, era, threads=1) as client:
            for _ in range(20):
                with anyio.move_on_after(0.0001):
                    await client.call_tool("search", {"query": "moon"})
            answer = await client.call_tool("search", {"query": "moon"})
            assert len(answer.structured_content["hits"]) == 4

    anyio.run(ask)


def test_too_many_calls_and_slow_ones_are_refused(tmp_path: Path) -> None:
    folders = {"notes": make(tmp_path / "notes")}

    async def ask() -> None:
        async with client_of(folders, threads=1, waiting=2) as client:
            answers: list[Any] = []

            async def one() -> None:
                answers.append(await client.call_tool("search", {"query": "moon"}))

            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(one)
            errors = [text_of(answer) for answer in answers if answer.is_error]
            assert 1 <= len(errors) < 10
            assert all("2 requests are already running" in text for text in errors)
        async with client_of(folders, seconds=0.0) as client:
            answer = await client.call_tool("search", {"query": "moon"})
            assert "took more than 0 s\nhint: try again later" in refused(answer)

    anyio.run(ask)


def test_a_bug_is_an_error_without_a_traceback_and_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from taskembed.server._tools import Tools

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("sesame is the key")

    monkeypatch.setattr(Tools, "get", broken)

    async def ask() -> None:
        hide = lambda text: text.replace("sesame", "***")  # noqa: E731
        async with client_of({"notes": make(tmp_path / "notes")}, hide=hide) as client:
            text = refused(await client.call_tool("get", {"doc_id": "moon"}))
            assert text.endswith("this is a bug: RuntimeError: *** is the key")

    anyio.run(ask)
    assert "Traceback" not in capfd.readouterr().err


def test_the_tools_are_described_in_few_bytes(tmp_path: Path) -> None:
    async def ask() -> None:
        async with client_of({"notes": make(tmp_path / "notes")}) as client:
            for tool in (await client.list_tools()).tools:
                described = tool.model_dump(exclude_none=True, exclude={"output_schema"})
                assert len(json.dumps(described)) < 1600

    anyio.run(ask)


# --- over stdio ---


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "taskembed.testing", "mcp", *map(str, arguments)]


@pytest.fixture
def index(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASKEMBED_CACHE", str(cache))
    records = [{"id": name, "text": text} for name, text in TEXTS.items()]
    return make_index(tmp_path, records, cache)


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command(*arguments), stdin=pipe, stdout=pipe, stderr=pipe)


HELLO = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    b'"capabilities":{},"clientInfo":{"name":"test","version":"1"}}}\n'
    b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
)


def call(number: int, tool: str, arguments: dict[str, object]) -> bytes:
    params = {"name": tool, "arguments": arguments}
    message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    return json.dumps(message).encode() + b"\n"


def exchange(process: subprocess.Popen[bytes], *messages: bytes) -> list[Any]:
    """Send messages; return an answer for each, the first of which is that to HELLO."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(HELLO + b"".join(messages))
    process.stdin.flush()
    answers = [json.loads(process.stdout.readline()) for _ in range(1 + len(messages))]
    return sorted(answers, key=lambda answer: int(answer["id"]))


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Close stdin; return the exit code, the rest of stdout, and stderr."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("era", ERAS)
def test_over_stdio_in_both_eras(era: str, index: Path, tmp_path: Path) -> None:
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    async def ask() -> None:
        program, *arguments = command(index)
        server = StdioServerParameters(command=program, args=arguments, env=dict(os.environ))
        # the library's own default is the stderr of the moment when it was imported
        errors = stack.enter_context((tmp_path / "stderr").open("w"))
        async with Client(stdio_client(server, errlog=errors), mode=era) as client:
            answer = await client.call_tool("search", {"query": "salt water", "mode": "dense"})
            assert answer.structured_content["hits"][0]["doc_id"] == "sea"
            assert answer.structured_content["index"] == "index"

    with ExitStack() as stack:
        anyio.run(ask)


def test_stdout_has_nothing_but_the_protocol_and_the_end_of_stdin_ends_it(
    index: Path, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    cache = Path(os.environ["TASKEMBED_CACHE"])
    new = make_index(tmp_path / "new", [{"id": "star", "text": "a star"}], cache)
    process = start(index)
    long = call(2, "search", {"query": "y" * 2**21})
    answers = exchange(process, call(1, "get", {"doc_id": "sea"}), long)
    assert answers[1]["result"]["structuredContent"]["text"] == TEXTS["sea"]
    assert answers[2]["error"]["message"] == "a message has more than 1,048,576 bytes"
    index.rename(tmp_path / "old")  # the index is replaced while it is served
    new.rename(index)
    assert process.stdin
    assert process.stdout
    process.stdin.write(call(3, "search", {"query": "moon"}))
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    assert [hit["doc_id"] for hit in answer["result"]["structuredContent"]["hits"]] == ["star"]
    code, out, err = ended(process)
    assert (code, out) == (0, "")
    assert err == "taskembed: a message has more than 1,048,576 bytes\n"


def test_what_libraries_print_goes_to_stderr(index: Path) -> None:
    code = (
        "import os, sys; from taskembed.testing import fake_models; from taskembed.server import "
        "_tools; get = _tools.Tools.get\n"
        "def noisy(*a, **k): print('printed'); os.write(1, b'written'); os.system('echo sub');"
        " return get(*a, **k)\n"
        "_tools.Tools.get = noisy\n"
        "from taskembed.cli.main import main\n"
        "with fake_models(): sys.exit(main())\n"
    )
    arguments = [sys.executable, "-c", code, "mcp", str(index)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe)
    answers = exchange(process, call(1, "get", {"doc_id": "sea"}))
    assert answers[1]["result"]["structuredContent"]["text"] == TEXTS["sea"]
    code_, out, err = ended(process)
    assert (code_, out) == (0, "")
    assert all(word in err for word in ("printed", "written", "sub"))


def test_a_signal_ends_it_at_once_with_its_code(index: Path) -> None:
    started = [(number, start(index)) for number in (signal.SIGTERM, signal.SIGINT)]
    for number, process in started:
        exchange(process)
        process.send_signal(number)
        assert process.wait(10) == 128 + number
        assert process.stderr
        assert process.stderr.read().decode() == f"taskembed: stopped by {number.name}\n"
        process.communicate()


def test_a_client_that_reads_no_more_ends_it(index: Path) -> None:
    process = start(index)
    exchange(process)
    assert process.stdin
    assert process.stdout
    process.stdout.close()
    process.stdin.write(call(1, "indexes", {}))
    process.stdin.flush()
    assert process.wait(10) == 141
    assert process.stderr
    assert process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()


def test_a_stream_that_is_closed_at_the_start_is_refused(index: Path) -> None:
    shell = ["/bin/sh", "-c", 'exec "$@" <&- & exec "$@" >&-; wait', "sh", *command(index)]
    done = subprocess.run(shell, input=b"", capture_output=True, check=False, timeout=60)
    for name in (b"stdin", b"stdout"):
        assert name + b" is closed: the Model Context Protocol needs" in done.stderr
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
