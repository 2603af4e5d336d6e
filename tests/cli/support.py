"""What tests of several commands share: four documents, and commands in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from taskembed.cli.main import main
from taskembed.testing import fake_models
from tests.conftest import Result

DOCUMENTS: list[dict[str, object]] = [
    {"id": "moon", "title": "The Moon", "text": "The Moon orbits the Earth.", "topic": "sky"},
    {"id": "tide", "title": "Tides", "text": "The sea rises and falls.", "year": 1687},
    {
        "id": "bread",
        "title": "Bread",
        "text": "Flour, water, yeast, baked.",
        "topic": "food",
    },
    {
        "id": "soup",
        "title": "Soup",
        "text": "Vegetables in a pot of broth.",
        "topic": "food",
    },
]


def write_jsonl(path: Path, records: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def make_index(
    folder: Path, records: Sequence[Mapping[str, object]], cache: Path, *options: str
) -> Path:
    """Index records for retrieval by a fake model, in this process; return the index's folder."""
    corpus = write_jsonl(folder / "corpus.jsonl", records)
    command = ["index", str(corpus), "--task", "retrieval", "--index", str(folder / "index")]
    with fake_models():
        assert main([*command, "--cache", str(cache), *options]) == 0
    return folder / "index"


def summary(text: str) -> str:
    return text.splitlines()[0]


def taskembed(
    *arguments: str | Path, cache: Path, stdin: str = "", powerless: bool = False
) -> Result:
    process = start(*arguments, cache=cache, stdin=subprocess.PIPE, powerless=powerless)
    out, err = process.communicate(stdin)
    return Result(process.returncode, out, err)


def start(
    *arguments: str | Path,
    cache: Path,
    stdin: int = subprocess.DEVNULL,
    stdout: int | TextIO = subprocess.PIPE,
    powerless: bool = False,
) -> subprocess.Popen[str]:
    """Start the command; `powerless` gives up root's power over every file."""
    is_root = powerless and os.geteuid() == 0
    before = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if is_root else []
    return subprocess.Popen(
        [*before, sys.executable, "-m", "taskembed.testing", *map(str, arguments)],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TASKEMBED_CACHE": str(cache)},
    )


def wait_until_caught(pid: int, number: signal.Signals) -> None:
    """Wait until a process has a handler for a signal; Linux tells in /proc."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.02)
    raise AssertionError(f"{number.name} was not caught within 30 s")
