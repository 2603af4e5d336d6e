"""An index that grows run by run, for tests of what is made of whole indexes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run

Indexed = Callable[..., Path]


@pytest.fixture
def indexed(run: Run, tmp_path: Path) -> Indexed:
    """Index so many documents into a folder, as one more run each time."""

    def indexed(documents: int, name: str = "index", *, task: str = "retrieval") -> Path:
        corpus = tmp_path / "corpus.jsonl"
        texts = [{"id": str(number), "text": f"text {number}"} for number in range(documents)]
        corpus.write_text("".join(json.dumps(text) + "\n" for text in texts))
        done = run("index", corpus, "--task", task, "--index", tmp_path / name, "-q")
        assert done.code == 0, done.err
        return tmp_path / name

    return indexed
