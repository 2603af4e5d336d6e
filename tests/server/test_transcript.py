"""The session in docs/how-to/agents.md is what an agent reads."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest

from taskembed.encoding.settings import EngineSettings
from tests.conftest import Run
from tests.sessions import SCORE_DIFFERENCE, scores, words

pytestmark = [pytest.mark.slow, pytest.mark.real_models, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```text\n(> .+?)^```", re.MULTILINE | re.DOTALL)


def asked_and_read() -> list[tuple[str, dict[str, Any], str]]:
    """Return the tool, the arguments and the answer of each call of the session."""
    (session,) = BLOCK.findall((ROOT / "docs" / "how-to" / "agents.md").read_text())
    calls = []
    for call in re.split(r"^> ", session, flags=re.MULTILINE)[1:]:
        tool, rest = call.split(" ", 1)
        arguments, end = json.JSONDecoder().raw_decode(rest)
        calls.append((tool, arguments, rest[end:]))
    return calls


def unwrapped(text: str) -> str:
    """Return a text on one line: the page breaks long lines."""
    return " ".join(text.split())


def test_the_session_in_the_docs_is_what_an_agent_reads(
    run: Run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp import Client

    from taskembed.server._workers import Workers
    from taskembed.server.serve import make_server, opened_indexes

    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    monkeypatch.chdir(tmp_path)
    folders = {}
    for name, task in (("notes-index", "retrieval"), ("similar-index", "similarity")):
        folders[name] = tmp_path / name
        done = run("index", "sample_data/corpus.jsonl", "--task", task, "--index", name)
        assert done.code == 0, done.err

    async def replay() -> None:
        workers = Workers()
        with opened_indexes(folders, EngineSettings(cache=cache)) as indexes:
            async with Client(make_server(indexes, workers)) as client:
                for tool, arguments, shown in asked_and_read():
                    (content,) = (await client.call_tool(tool, arguments)).content
                    assert content.type == "text"
                    printed, wanted = unwrapped(content.text), unwrapped(shown)
                    assert words(printed) == words(wanted), arguments
                    for ours, theirs in zip(scores(printed), scores(wanted), strict=True):
                        assert abs(ours - theirs) < SCORE_DIFFERENCE, arguments
        workers.close()

    assert len(asked_and_read()) == 4
    anyio.run(replay)
