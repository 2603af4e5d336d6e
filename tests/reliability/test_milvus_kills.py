"""An export to Milvus Lite is stopped at random moments: the next one completes it."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from taskembed.verbs.milvus.addresses import CollectionAddress
from taskembed.verbs.milvus.client import Client
from tests.cli.support import make_index, start, taskembed

pytestmark = pytest.mark.crash

ROUNDS = 25
SEED = 7


def contents(database: Path) -> list[tuple[str, ...]]:
    client = Client(CollectionAddress(str(database), "notes"))
    try:
        client.load()
        names = ("key", "doc_id", "version", "space", "text")
        rows = [row for page in client.listed(names) for row in page]
        found: list[tuple[str, ...]] = sorted(
            tuple(str(row[name]) for name in names) for row in rows
        )
        return [*found, (client.properties()["taskembed.complete"],)]
    finally:
        client.close()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_export_is_completed(tmp_path: Path, cache: Path, number: signal.Signals) -> None:
    documents = [{"id": str(n), "text": f"text {n} of many", "n": n} for n in range(8_000)]
    index = make_index(tmp_path, documents, cache, "--quiet")
    database, rng = tmp_path / "m.db", random.Random(SEED)
    command: tuple[str, ...] = ("export", "--to", "milvus", str(database))
    command = (*command, "--collection", "notes", "--index", str(index), "--json")
    began = time.monotonic()
    assert taskembed(*command, cache=cache).code == 0
    seconds = time.monotonic() - began
    expected = contents(database)
    stopped = 0
    for _ in range(ROUNDS):
        shutil.rmtree(database)
        process = start(*command, cache=cache)
        time.sleep(rng.uniform(0.1, 1) * seconds)
        process.send_signal(number)
        _, err = process.communicate()
        stopped += process.returncode != 0
        if number is signal.SIGTERM and process.returncode:
            assert (process.returncode, json.loads(err)["error"]) == (143, "stopped by SIGTERM")
        done = taskembed(*command, cache=cache)
        if number is signal.SIGKILL and done.code == 69:  # Milvus Lite cannot read its own file
            assert "--recreate" in done.err
            done = taskembed(*command, "--recreate", cache=cache)
        assert done.code == 0, done.err
        assert contents(database) == expected
    assert stopped > ROUNDS // 2
