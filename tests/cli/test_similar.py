"""`taskembed similar`: what it finds, prints and refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.support import DOCUMENTS, write_jsonl
from tests.conftest import Run

RECORDS: list[dict[str, object]] = [
    *DOCUMENTS,
    {"id": "moons", "title": "Moons", "text": "The Moon orbits the Earth.", "topic": "sky"},
]


@pytest.fixture
def similar_index(
    run: Run, tmp_path: Path, made_once: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    if "similar" not in made_once:
        made_once["similar"] = tmp_path_factory.mktemp("made-once") / "similar"
        corpus = write_jsonl(tmp_path / "corpus.jsonl", RECORDS)
        done = run("index", corpus, "--task", "similarity", "--index", made_once["similar"])
        assert done.code == 0
    return Path(shutil.copytree(made_once["similar"], tmp_path / "similar"))


def test_documents_like_one_are_found_without_a_model(
    run: Run, similar_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.encoding.load.load_encoder_of", None)
    done = run("similar", "moon", "--index", similar_index, "-k", "3")
    assert done.code == 0
    assert done.lines[0]["doc_id"] == "moons"
    assert len(done.lines) == 3
    assert "moon" not in {line["doc_id"] for line in done.lines}
    assert done.lines[0]["metadata"] == {
        "title": "Moons",
        "text": "The Moon orbits the Earth.",
        "topic": "sky",
    }
    assert done.err == ""


def test_every_format_of_search_is_there(run: Run, similar_index: Path) -> None:
    asked = ("similar", "moon", "--index", similar_index, "-k", "1")
    value = run(*asked, "--json").json
    assert isinstance(value, dict)
    assert (value["doc_id"], value["task"]) == ("moon", "similarity")
    assert value["hits"][0]["doc_id"] == "moons"
    assert run(*asked, "--format", "ids").out == "moons\n"
    assert run(*asked, "--format", "tsv", "--no-text").out.startswith("1\tmoons\t")
    assert "moons" in run(*asked, "--format", "table").out


def test_a_text_and_a_file_are_encoded(run: Run, similar_index: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("flour and water, baked\n")
    of_index = ("--index", similar_index, "-k", "1")
    by_text = run("similar", "--text", "flour and water, baked", *of_index)
    assert by_text.lines[0]["doc_id"] == "bread"
    assert run("similar", "--file", tmp_path / "text", *of_index).out == by_text.out
    value = run("similar", "--text", "flour", *of_index, "--json").json
    assert isinstance(value, dict)
    assert value["query"] == "flour"


def test_many_ids_are_answered_line_by_line(run: Run, similar_index: Path, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("moon\nbread\n\n")
    done = run("similar", "--ids", tmp_path / "ids", "--index", similar_index, "-k", "2")
    assert done.code == 0
    assert [(line["query_id"], line["rank"]) for line in done.lines] == [
        ("moon", 1),
        ("moon", 2),
        ("bread", 1),
        ("bread", 2),
    ]
    trec = run(
        *("similar", "--ids", tmp_path / "ids", "--index", similar_index, "-k", "1"),
        *("--format", "trec"),
    )
    assert trec.out.split()[:4] == ["moon", "Q0", "moons", "1"]


def test_only_documents_that_pass_a_filter_are_found(run: Run, similar_index: Path) -> None:
    asked = ("similar", "moon", "--index", similar_index, "--format", "ids")
    assert set(run(*asked, "--where", "topic = 'food'").out.split()) == {"bread", "soup"}
    nothing = run(*asked, "--where", "topic = 'sea'")
    assert (nothing.code, nothing.out) == (0, "")
    assert "no document matches --where" in nothing.err


def test_an_unknown_id_is_named(run: Run, similar_index: Path, tmp_path: Path) -> None:
    done = run("similar", "mo\x1bon", "--index", similar_index)
    assert done.code == 66
    assert done.err == (
        f"taskembed: error: no document 'mo\\x1bon' in {similar_index}\n"
        "taskembed: hint: for a text that is not in the index: taskembed similar --text TEXT\n"
    )
    (tmp_path / "ids").write_text("mars\nbread\n")
    some = run("similar", "--ids", tmp_path / "ids", "--index", similar_index, "-k", "1")
    assert some.code == 1
    assert [line["query_id"] for line in some.lines] == ["bread"]
    assert "not in the index: 'mars'" in some.err


def test_another_task_is_refused_with_the_command_that_makes_the_right_index(
    run: Run, indexed: Path
) -> None:
    for asked in (("moon",), ("--text", "moon")):
        done = run("similar", *asked, "--index", indexed)
        assert (done.code, done.out) == (78, "")
        assert done.err == (
            f"taskembed: error: {indexed} is for the task 'retrieval', but `taskembed similar` "
            "needs an index for the task 'similarity'\n"
            "taskembed: hint: taskembed index CORPUS --task similarity "
            f"--index {indexed}-similarity\n"
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give exactly one of: an id, --text, --file, --ids"),
        (("moon", "--text", "moon"), "give exactly one of: an id, --text, --file, --ids"),
        (("moon", "--format", "trec"), "--format trec is for --ids"),
        (("--ids", "-", "--json", "--format", "ids"), "--json and --format cannot be combined"),
        (("--ids", "-", "--format", "table"), "--ids prints jsonl, tsv or trec"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_together_are_refused(
    run: Run, similar_index: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run("similar", *arguments, "--index", similar_index)
    assert done.code == 2
    assert said in done.err


def test_an_empty_text_is_refused(run: Run, similar_index: Path) -> None:
    done = run("similar", "--text", " ", "--index", similar_index)
    assert done.code == 65
    assert "the text is empty" in done.err
