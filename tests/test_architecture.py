"""The shape of the code: packages, start-up, the public names. lint-imports checks the layers."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import taskembed
from tests.conftest import Run

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "taskembed"
HEAVY = {"torch", "transformers", "sentence_transformers", "faiss", "openvino", "pyarrow", "numpy"}


def test_the_drawing_has_every_package() -> None:
    drawn = (ROOT / "docs" / "architecture.md").read_text()
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {name for name in packages if f"{name}/" not in drawn} == set()


def test_no_folder_has_more_files_than_a_reader_can_survey() -> None:
    folders = [PACKAGE, *(path.parent for path in PACKAGE.glob("**/__init__.py"))]
    sizes = {folder.name: len(list(folder.glob("*.py"))) for folder in folders}
    assert {name: n for name, n in sizes.items() if n > 30} == {}


def test_a_package_says_what_it_is_and_imports_nothing() -> None:
    for path in PACKAGE.glob("*/**/__init__.py"):
        (docstring,) = ast.parse(path.read_text()).body
        assert isinstance(docstring, ast.Expr)


def test_the_command_line_shows_its_entry_and_a_module_for_each_command() -> None:
    from typer.main import get_command

    from taskembed.cli.app import application

    commands: Any = get_command(application())
    seen = {path.stem for path in (PACKAGE / "cli").glob("*.py") if path.stem[0] != "_"}
    assert seen == {"main", "app", *commands.commands}


def test_no_function_of_a_command_is_longer_than_80_lines() -> None:
    lengths = {
        f"{path.stem}.{node.name}": node.end_lineno - node.lineno + 1
        for path in (PACKAGE / "cli").glob("**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno
    }
    assert {name: lines for name, lines in lengths.items() if lines > 80} == {}


HELP = (["--help"], ["index", "--help"], ["cache", "list", "-h"], ["search", "-k", "10"])
OTHERS = (["search"], ["models", "--nonsense"], ["--version"])


@pytest.fixture(scope="module")
def loaded_by_help() -> list[set[str]]:
    """The modules after each of these commands, which one process runs in turn."""
    return loaded_by(*HELP, *OTHERS)


@pytest.mark.parametrize("number", range(len(HELP + OTHERS)), ids=map(" ".join, HELP + OTHERS))
def test_help_and_usage_errors_import_nothing_heavy(
    loaded_by_help: list[set[str]], number: int
) -> None:
    assert loaded_by_help[number] & (HEAVY | {"rich", "tokenizers", "orjson"}) == set()


@pytest.mark.parametrize("number", range(len(HELP)), ids=map(" ".join, HELP))
def test_help_and_default_values_do_without_pydantic(
    loaded_by_help: list[set[str]], number: int
) -> None:
    assert "pydantic" not in loaded_by_help[number]


def test_a_command_imports_no_other_command() -> None:
    code = (
        "import sys; from taskembed.cli.main import main; main(['search']); "
        "print(*[name for name in sys.modules if name.startswith('taskembed.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = {name.split(".")[2] for name in done.stdout.split()}
    assert {name for name in names if not name.startswith("_")} == {
        *("main", "app", "search"),
        *("options", "printing"),
    }


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, taskembed; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY == set()


@pytest.mark.slow
@pytest.mark.real_models
def test_search_runs_without_torch(run: Run, corpus: Path, tmp_path: Path, cache: Path) -> None:
    options = ["--index", str(tmp_path / "index"), "--cache", str(cache)]
    assert run("index", corpus, "--task", "retrieval", *options).code == 0
    searched, indexed = loaded_by(["search", "one", *options], ["index", str(corpus), *options])
    assert "openvino" in searched
    assert searched & SLOW_LIBRARIES == set()
    assert indexed & SLOW_LIBRARIES == set()


SLOW_LIBRARIES = {"torch", "transformers", "sentence_transformers", "pyarrow"}


def test_a_search_imports_no_slow_library_beside_its_model(
    run: Run, corpus: Path, tmp_path: Path
) -> None:
    options = ["--index", str(tmp_path / "index")]
    assert run("index", corpus, "--task", "retrieval", *options).code == 0
    begin = "from taskembed.testing import fake_models; fakes = fake_models(); fakes.__enter__(); "
    commands = (["search", "one", *options], ["index", str(corpus), *options])
    searched, indexed = loaded_by(*commands, begin=begin)
    for loaded in (searched, indexed):
        assert "tokenizers" in loaded
        assert loaded & {*SLOW_LIBRARIES, "openvino"} == set()
    assert "pydantic" not in searched


UNNEEDED = {
    *("faiss", "importlib.metadata", "openvino", "pydantic", "rich"),
    *("taskembed.encoding.reranker", "taskembed.extras", "taskembed.index.filtering.grammar"),
    *(
        "taskembed.index.legacy.segment",
        "taskembed.index.ranking.positions",
        "taskembed.index.writer",
    ),
    *("taskembed.reading.documents", "taskembed.reading.inputs", "taskembed.reading.queries"),
    "taskembed.verbs.snippets",
}


def test_a_search_imports_no_module_that_only_other_commands_need(
    run: Run, corpus: Path, tmp_path: Path
) -> None:
    options = ["--index", str(tmp_path / "index")]
    assert run("index", corpus, "--task", "retrieval", *options).code == 0
    code = (
        "import sys; from taskembed.cli.main import main; main(sys.argv[1:]); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "search", "one", "--mode", "words", *options],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stderr.split())
    assert "taskembed.verbs.searcher" in loaded
    assert loaded & UNNEEDED == set()


def loaded_by(*commands: list[str], begin: str = "") -> list[set[str]]:
    """Return the top-level modules after each of the commands that one process ran in turn."""
    code = (
        f"{begin}import json, sys; from taskembed.cli.main import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    main(words)\n"
        "    names = sorted({name.split('.')[0] for name in sys.modules})\n"
        "    print('modules:', *names, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split() for line in done.stderr.splitlines()]
    found = [set(names) for first, *names in filter(None, lines) if first == "modules:"]
    assert len(found) == len(commands)
    return found


PUBLIC = """
AccessDeniedError Assignment BadInputError BadRecordError BadVectorError Chunk Classifier Cluster
ClusterMap Clustering Document Duplicate Duplicates EmbeddingSpace EncodeOptions EncodeSummary
Encoded Encoder EngineSettings ExitCode Fetched Fusion Grouping HeadName Hit ImportOptions Index
IndexBusyError IndexDamagedError IndexDescription IndexOptions IndexSummary Keep
MilvusCollection MilvusExport
MissingLibraryError ModelUnavailableError NearestExample NewerFormatError NotFoundError OnDuplicate
Prediction PromptOverrides PromptType Publication Query RejectFile Searcher ServerUnavailableError
Snippet SpaceMismatchError SpaceRequest StoppedError StorageError Task TaskembedError
TextTooLongError UsageError Watch add_snippets add_view assign_documents assignments cluster_index
count_documents declared_space delete_documents delete_duplicates describe_index drop_view
encode_documents encoder_for_search encoder_for_update export_index export_to_milvus fetch_index
find_duplicates
get_documents import_vectors index_corpus kept_documents list_documents load_clusters load_encoder
load_encoder_of load_reranker map_of match_documents publish_index rerank_hits sample_pairs
save_clusters search_index similar_documents similar_texts write_map
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


def test_no_code_trusts_remote_code() -> None:
    assert not [
        path for path in PACKAGE.rglob("*.py") if "trust_remote_code=True" in path.read_text()
    ]


def test_checks_before_a_commit_are_those_of_the_gate() -> None:
    hooks = re.findall(r"entry: (.+)", (ROOT / ".pre-commit-config.yaml").read_text())
    gate = (ROOT / ".ci" / "run").read_text()
    assert len(hooks) == 4
    assert [hook for hook in hooks if f".venv/bin/{hook}" not in gate] == []
