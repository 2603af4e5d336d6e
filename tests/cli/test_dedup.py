"""`taskembed dedup`: what it finds, prints, writes, deletes and refuses."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.support import DOCUMENTS, write_jsonl
from tests.conftest import Run

# with the fake model, the cosine of the last with the first is between 0.7 and 0.95
RECORDS: list[dict[str, object]] = [
    *DOCUMENTS,
    {"id": "copy", "title": "The Moon", "text": "The Moon orbits the Earth.", "year": 2020},
    {
        "id": "near",
        "title": "The Moon",
        "text": "The Moon orbits the Earth. Yes it does so.",
        "year": 2024,
    },
]
NEAR = ("--threshold", "0.7")


@pytest.fixture
def folder(
    run: Run, tmp_path: Path, made_once: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    if "dedup" not in made_once:
        made_once["dedup"] = tmp_path_factory.mktemp("made-once") / "dedup"
        corpus = write_jsonl(tmp_path / "corpus.jsonl", RECORDS)
        done = run("index", corpus, "--task", "similarity", "--index", made_once["dedup"])
        assert done.code == 0
    return Path(shutil.copytree(made_once["dedup"], tmp_path / "dedup"))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let stdout be a terminal, and stdin one at which "y" is typed."""

    class Typed(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Typed("y\n"))
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True, raising=False)


def ids_in(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_each_duplicate_is_printed_with_what_is_kept_for_it(run: Run, folder: Path) -> None:
    done = run("dedup", *NEAR, "--index", folder)
    assert done.code == 0
    exact, near = done.lines
    assert exact == {"doc_id": "copy", "kept": "moon", "score": 1.0, "exact": True}
    assert (near["doc_id"], near["kept"], near["exact"]) == ("near", "moon", False)
    assert done.err == (
        "taskembed: 6 documents: 1 exact duplicate, 1 near duplicate (cosine 0.7 or more); 4 kept\n"
    )


def test_json_has_the_counts_too(run: Run, folder: Path) -> None:
    value = run("dedup", *NEAR, "--index", folder, "--json", "--groups").json
    assert isinstance(value, dict)
    counts = {name: value[name] for name in ("documents", "kept", "exact", "near", "deleted")}
    assert counts == {"documents": 6, "kept": 4, "exact": 1, "near": 1, "deleted": 0}
    assert [item["doc_id"] for item in value["duplicates"]] == ["copy", "near"]
    assert value["groups"] == [
        {"group": 1, "kept": ["moon"], "documents": ["moon", "copy", "near"]}
    ]


def test_groups_are_printed(run: Run, folder: Path) -> None:
    done = run("dedup", *NEAR, "--index", folder, "--groups")
    assert done.lines == [{"group": 1, "kept": ["moon"], "documents": ["moon", "copy", "near"]}]


def test_in_a_pipe_the_threshold_is_095_and_said(run: Run, folder: Path) -> None:
    done = run("dedup", "--index", folder)
    assert [line["doc_id"] for line in done.lines] == ["copy"]
    assert "note: --threshold 0.95 is used" in done.err
    assert run("dedup", "--index", folder, "--quiet").err == ""


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_pairs_are_shown_first(run: Run, folder: Path) -> None:
    done = run("dedup", "--index", folder)
    assert done.code == 0
    assert "cosine 0.98 to 1: no pairs" in done.out
    assert "moon: The Moon The Moon orbits the Earth." in done.out
    assert "near: The Moon The Moon orbits the Earth. Yes it does so." in done.out
    assert "taskembed dedup --threshold" in done.err
    for needs in (("--apply",), ("--output", folder.parent / "clean.jsonl")):
        refused = run("dedup", "--index", folder, *needs)
        assert refused.code == 2
        assert "need --threshold" in refused.err
    assert "copy" in run("dedup", *NEAR, "--index", folder).out


def test_sampled_pairs_are_lines_of_json_elsewhere(run: Run, folder: Path) -> None:
    lines = run("dedup", "--sample", "1", "--index", folder).lines
    assert sorted(lines[0]["doc_ids"]) in (["copy", "near"], ["moon", "near"])  # type: ignore[call-overload]
    value = run("dedup", "--sample", "1", "--index", folder, "--json").json
    assert value == {"pairs": lines}


def test_the_clean_corpus_has_all_fields(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run(
        *("dedup", *NEAR, "--index", folder, "--keep", "newest:year"),
        *("--output", tmp_path / "clean.jsonl"),
    )
    assert done.code == 0
    assert ids_in(tmp_path / "clean.jsonl") == ["tide", "bread", "soup", "near"]
    lines = (tmp_path / "clean.jsonl").read_text().splitlines()
    assert json.loads(lines[3]) == RECORDS[5]
    again = run(
        *("index", tmp_path / "clean.jsonl", "--index", folder, "--prune", "--yes", "--json")
    ).json
    assert isinstance(again, dict)
    assert (again["unchanged"], again["deleted"], again["encoded"]) == (4, 2, 0)


def test_duplicates_are_deleted(run: Run, folder: Path) -> None:
    refused = run("dedup", *NEAR, "--index", folder, "--apply")
    assert refused.code == 2
    assert "without a terminal to confirm on, --apply needs --yes" in refused.err
    done = run("dedup", *NEAR, "--index", folder, "--apply", "--yes")
    assert done.code == 0
    assert "2 deleted" in done.err
    assert run("get", "copy", "moon", "--index", folder, "--format", "ids").out == "moon\n"
    assert run("verify", "--index", folder).code == 0


@pytest.mark.usefixtures("terminal")
def test_a_person_is_asked_before_anything_is_deleted(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("dedup", *NEAR, "--index", folder, "--apply")
    assert "delete 2 of 6 documents? [y/N]" in done.err
    assert "2 deleted" in done.err
    monkeypatch.setattr(sys.stdin, "readline", lambda: "n\n")
    no = run("dedup", "--threshold", "0.05", "--index", folder, "--apply")
    assert no.code == 1
    assert "nothing was deleted" in no.err


def test_new_records_that_are_there_already_are_printed(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    new: list[dict[str, object]] = [
        {"id": "q1", "title": "The Moon", "text": "The Moon orbits the Earth.", "n": 1},
        {"id": "q2", "text": "Entirely different words about quantum chess"},
        {"id": "q3", "title": "Soup", "text": "Vegetables in a pot of broth. Yes."},
    ]
    write_jsonl(tmp_path / "test.jsonl", new)
    asked = ("dedup", tmp_path / "test.jsonl", "--against", folder, *NEAR)
    done = run(*asked, "--output", tmp_path / "clean.jsonl")
    assert done.code == 0
    assert [(line["doc_id"], line["kept"], line["exact"]) for line in done.lines] == [
        ("q1", "moon", True),
        ("q3", "soup", False),
    ]
    assert (tmp_path / "clean.jsonl").read_text() == json.dumps(new[1]) + "\n"
    assert "2 of 3 records are already in" in done.err
    value = run(*asked, "--json").json
    assert isinstance(value, dict)
    assert (value["records"], value["exact"], value["near"]) == (3, 1, 1)


def test_records_that_cannot_be_used_are_skipped_if_asked(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "test.jsonl", [{"id": "a"}, {"id": "b", "text": "moon"}])
    asked = ("dedup", tmp_path / "test.jsonl", "--against", folder)
    assert run(*asked).code == 65
    done = run(*asked, "--skip-bad")
    assert done.code == 1
    assert "rejected" in done.err


def test_another_task_is_refused(run: Run, indexed: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "test.jsonl", [{"id": "a", "text": "moon"}])
    of_index = ("--index", indexed)
    new = (tmp_path / "test.jsonl", "--against", indexed)
    for asked in (of_index, (*of_index, "--sample", "2"), new):
        done = run("dedup", *asked)
        assert (done.code, done.out) == (78, "")
        assert "`taskembed dedup` needs an index for the task 'similarity'" in done.err
        assert "taskembed index CORPUS --task similarity" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a.jsonl",), "INPUT and --against must be used together"),
        (("--against", "x"), "INPUT and --against must be used together"),
        (("a.jsonl", "--against", "x", "--apply", "--yes"), "cannot be combined with INPUT"),
        (("--sample", "3", "--threshold", "0.9"), "--sample only shows pairs"),
        (("--threshold", "1.5"), "--threshold 1.5 is not a cosine above 0 and at most 1"),
        (("--threshold", "0.9", "--keep", "oldest"), "first, longest or newest:FIELD"),
        (("--threshold", "0.9", "--keep", "newest:colour"), "no document has the field 'colour'"),
        (("--yes",), "--yes requires --apply"),
        (("--output", "-"), "--output needs a file"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_together_are_refused(
    run: Run, folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run("dedup", *arguments, "--index", folder)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
