"""The shape of the code: floors, start-up, the public names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import taskembed

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "taskembed"
HEAVY = {"torch", "transformers", "sentence_transformers", "faiss", "openvino", "pyarrow", "numpy"}


def floors() -> dict[str, int]:
    """Read the floors from the page that describes them."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    return {
        name: int(row[0])
        for row in re.findall(r"^\| (\d+) \| (.+?) \|", text, re.MULTILINE)
        for name in re.findall(r"`([\w.]+)`", row[1])
        if not name.endswith(".toml")
    }


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] not in {"__init__", "__main__"} and parts[0] != "cli":
            found[".".join(parts)] = path
    return found


def imported(path: Path) -> set[str]:
    """Return the modules of ours that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("taskembed"):
            module = (node.module or "").removeprefix("taskembed").removeprefix(".")
            names |= {module} if module else {alias.name for alias in node.names}
    return {name for name in names if not name.startswith("__")}


def test_every_module_has_a_floor() -> None:
    assert set(modules()) == set(floors()) - {"cli"}


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_only_from_floors_below(name: str) -> None:
    floor = floors()
    wrong = {other for other in imported(modules()[name]) if floor[other] >= floor[name]}
    assert wrong == set()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["index", "--help"], ["search"], ["models", "--nonsense"], ["--version"]],
)
def test_help_and_usage_errors_import_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_by(arguments) & (HEAVY | {"rich", "tokenizers", "orjson"}) == set()


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, taskembed; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY == set()


def test_search_runs_without_torch(tmp_path: Path, cache: Path) -> None:
    from taskembed.cli.main import main

    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "one"}\n')
    options = ["--index", str(tmp_path / "index"), "--cache", str(cache)]
    assert main(["index", str(corpus), "--task", "retrieval", *options]) == 0
    loaded = loaded_by(["search", "one", *options])
    assert "openvino" in loaded
    assert loaded & {"torch", "transformers", "sentence_transformers", "pyarrow"} == set()
    loaded = loaded_by(["index", str(corpus), *options])
    assert loaded & {"torch", "transformers", "sentence_transformers", "pyarrow"} == set()


def loaded_by(arguments: list[str]) -> set[str]:
    """Return the top-level modules in a process that ran a command."""
    code = (
        "import sys; from taskembed.cli.main import main; main(sys.argv[1:]); "
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stderr.splitlines()[-1].split())


PUBLIC = """
AccessDeniedError BadInputError BadRecordError BadVectorError Document EmbeddingSpace Encoded
Encoder EngineSettings ExitCode Hit Index IndexBusyError IndexDamagedError IndexOptions IndexSummary
ModelUnavailableError NewerFormatError NotFoundError OnDuplicate PromptType RejectFile
SpaceMismatchError Stated StoppedError StorageError Task TaskembedError UsageError Watch
delete_documents index_corpus load_encoder load_encoder_of load_reranker rerank_hits search_index
"""


def test_the_public_names_are_these() -> None:
    assert taskembed.__all__ == PUBLIC.split()
    for name in taskembed.__all__:
        assert getattr(taskembed, name).__name__ == name
    assert set(taskembed.__all__) <= set(dir(taskembed))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = taskembed.nothing


def test_every_error_is_public() -> None:
    from taskembed import errors

    ours = {name for name, value in vars(errors).items() if name.endswith("Error") and value}
    assert ours <= set(taskembed.__all__)


def test_a_type_checker_finds_public_names_where_a_program_does() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == {name: getattr(taskembed, name).__module__ for name in taskembed.__all__}


def test_no_code_trusts_remote_code_or_reads_a_pickle() -> None:
    for path in modules().values():
        text = path.read_text()
        assert "trust_remote_code=True" not in text
        assert not re.search(r"^\s*(import pickle|from pickle)|torch\.load\(", text, re.MULTILINE)
