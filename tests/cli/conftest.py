"""An index of four documents, and a judged set, for the tests of several commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import plain_models
from tests.cli.judged import E5, QUERIES, RELEVANT, TEXTS, write
from tests.cli.support import DOCUMENTS, write_jsonl
from tests.conftest import Run


@pytest.fixture
def four_documents(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "corpus.jsonl", DOCUMENTS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture(scope="session")
def made_once() -> dict[str, Path]:
    return {}


@pytest.fixture
def indexed(
    run: Run,
    four_documents: Path,
    tmp_path: Path,
    made_once: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """An index of them: the first test that wants one makes it, the others get a copy."""
    if "index" not in made_once:
        made_once["index"] = tmp_path_factory.mktemp("made-once") / "index"
        done = run("index", four_documents, "--task", "retrieval", "--index", made_once["index"])
        assert done.code == 0
    return Path(shutil.copytree(made_once["index"], tmp_path / "indexed"))


@pytest.fixture
def e5(hub: Path, tmp_path: Path) -> str:
    plain_models.publish(plain_models.save_bert(tmp_path / "model", pooling="mean"), hub, E5)
    return E5


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "corpus.jsonl", [{"id": name, "text": text} for name, text in TEXTS.items()])
    write(folder / "queries.jsonl", [{"id": name, "text": text} for name, text in QUERIES.items()])
    lines = (f"{query}\t{name}\t1\n" for query, name in RELEVANT.items())
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return folder
