"""Several views of one index, on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import write_jsonl
from tests.conftest import Run


@pytest.fixture
def viewed(run: Run, four_documents: Path, folder: Path) -> Path:
    """Return an index with two views."""
    tasks = ("--task", "retrieval", "--task", "similarity")
    assert run("index", four_documents, *tasks, "--index", folder).code == 0
    return folder


def views(run: Run, folder: Path) -> list[str]:
    described = run("info", "--index", folder, "--json").json
    assert isinstance(described, dict)
    return list(described["views"])


def test_search_picks_its_view_and_takes_the_first_without_a_task(run: Run, viewed: Path) -> None:
    for task in ("retrieval", "similarity"):
        done = run("search", "moon", "--task", task, "--index", viewed, "--json")
        assert isinstance(done.json, dict)
        assert done.json["task"] == task
    first = run("search", "moon", "--index", viewed, "--json")
    assert isinstance(first.json, dict)
    assert first.json["task"] == "retrieval"


def test_a_task_without_a_view_is_refused_and_the_views_are_named(run: Run, viewed: Path) -> None:
    done = run("search", "moon", "--task", "code", "--index", viewed)
    assert done.code == 78
    assert done.err == (
        f"taskembed: error: {viewed} has no view for the task 'code': it has retrieval, "
        "similarity\n"
        "taskembed: hint: --task retrieval; or add a view: taskembed index --add-view code "
        f"--index {viewed}\n"
    )


def test_commands_pick_their_view(run: Run, viewed: Path) -> None:
    assert run("similar", "moon", "--index", viewed).code == 0
    assert run("dedup", "--threshold", "0.9", "--index", viewed).code == 0
    done = run("cluster", "--index", viewed)
    assert done.code == 78
    assert done.err == (
        f"taskembed: error: {viewed} has views for the tasks retrieval, similarity, but "
        "`taskembed cluster` needs a view for the task 'clustering'\n"
        f"taskembed: hint: taskembed index --add-view clustering --index {viewed}\n"
    )
    added = run("index", "--add-view", "clustering", "--index", viewed)
    assert (added.code, added.out) == (0, "added the view clustering: 4 documents\n")
    assert run("cluster", "-k", "2", "--index", viewed).code == 0


def test_a_run_without_a_task_or_with_one_of_them_updates_all_views(
    run: Run, four_documents: Path, viewed: Path
) -> None:
    text = '{"id": "rice", "text": "Rice grows in water."}\n'
    four_documents.write_text(four_documents.read_text() + text)
    assert run("index", four_documents, "--index", viewed).out.startswith("1 added")
    four_documents.write_text(text.replace("water", "fields"))
    done = run("index", four_documents, "--task", "similarity", "--index", viewed)
    assert done.out.startswith("0 added, 1 updated")
    hits = run("similar", "--text", "Rice grows in fields.", "-k", "1", "--index", viewed, "--json")
    assert isinstance(hits.json, dict)
    assert hits.json["hits"][0]["score"] == pytest.approx(1)
    assert views(run, viewed) == ["retrieval", "similarity"]


def test_a_task_that_an_index_lacks_is_not_added_by_accident(
    run: Run, four_documents: Path, viewed: Path
) -> None:
    for tasks in (("--task", "code"), ("--task", "retrieval", "--task", "code")):
        done = run("index", four_documents, *tasks, "--index", viewed)
        assert done.code == 78
        assert "has no view for the task 'code'" in done.err
    assert views(run, viewed) == ["retrieval", "similarity"]


def test_views_are_removed_and_replaced(run: Run, four_documents: Path, viewed: Path) -> None:
    done = run("index", "--drop-view", "retrieval", "--index", viewed)
    assert (done.code, done.out) == (0, "removed the view retrieval; left: similarity\n")
    assert views(run, viewed) == ["similarity"]
    tasks = ("--task", "code", "--task", "similarity")
    assert run("index", four_documents, *tasks, "--index", viewed, "--recreate").code == 0
    assert views(run, viewed) == ["code", "similarity"]
    assert run("index", four_documents, "--index", viewed, "--recreate").code == 0
    assert views(run, viewed) == ["code", "similarity"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--add-view", "code", "corpus.jsonl"], "--add-view cannot be combined with INPUT"),
        (["--add-view", "code", "--drop-view", "code"], "cannot be combined"),
        (["--drop-view", "code", "--task", "code"], "--drop-view already names the task"),
        (["--add-view", "code", "--recreate"], "cannot be combined with --recreate or --dry-run"),
        (["--add-view", "similarity"], "has a view for the task 'similarity'"),
        (["--drop-view", "code"], "has no view for the task 'code'"),
        ([], "missing argument 'INPUT...'"),
        (
            ["corpus.jsonl", "--query-prompt", "q: "],
            "a prompt, an instruction or an adapter applies to one task",
        ),
    ],
)
def test_options_that_contradict_are_refused(
    run: Run, viewed: Path, four_documents: Path, arguments: list[str], message: str
) -> None:
    arguments = [str(four_documents) if item == "corpus.jsonl" else item for item in arguments]
    done = run("index", *arguments, "--index", viewed)
    assert done.code == 2
    assert message in done.err


def test_a_task_from_the_environment_does_not_choose_a_view(
    run: Run, viewed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_TASK", "similarity")
    done = run("search", "moon", "--index", viewed, "--json")
    assert isinstance(done.json, dict)
    assert done.json["task"] == "retrieval"


def test_a_task_from_the_configuration_file_makes_one_view(
    run: Run, tmp_path: Path, four_documents: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[defaults]\ntask = "similarity"\n')
    monkeypatch.setenv("TASKEMBED_CONFIG", str(config))
    assert run("index", four_documents, "--index", folder).code == 0
    assert views(run, folder) == ["similarity"]


def test_export_says_which_view_it_writes(run: Run, viewed: Path, tmp_path: Path) -> None:
    for options, task in (((), "retrieval"), (("--task", "similarity"), "similarity")):
        done = run("export", *options, "--index", viewed, "-o", tmp_path / f"{task}.parquet")
        assert done.out == f"4 documents, vectors of 384 numbers for {task}\n"
        made = run("import", tmp_path / f"{task}.parquet", "--index", tmp_path / task)
        assert made.code == 0
        assert views(run, tmp_path / task) == [task]
    done = run("export", "--task", "code", "--index", viewed, "-o", tmp_path / "v.parquet")
    assert (done.code, "it has retrieval, similarity" in done.err) == (78, True)


def test_tune_measures_the_view_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    records: list[dict[str, object]] = [{"id": f"{n}", "text": f"text {n}"} for n in range(12)]
    corpus, folder = write_jsonl(tmp_path / "corpus.jsonl", records), tmp_path / "tuned"
    run("index", corpus, "--task", "retrieval", "--task", "similarity", "--index", folder)
    for options, task in (((), "retrieval"), (("--task", "similarity"), "similarity")):
        done = run("tune", *options, "--index", folder, "--sample", "2")
        assert done.out.splitlines()[0] == f"2 queries of 12 documents, task {task}"
        assert tuned_task(run, folder) == task
    done = run("tune", "--task", "code", "--index", folder)
    assert (done.code, "it has retrieval, similarity" in done.err) == (78, True)
    run("index", "--drop-view", "retrieval", "--index", folder)
    assert tuned_task(run, folder) == "similarity"
    run("index", "--add-view", "retrieval", "--index", folder)
    run("index", "--drop-view", "similarity", "--index", folder)
    assert tuned_task(run, folder) is None


def tuned_task(run: Run, folder: Path) -> object:
    described = run("info", "--index", folder, "--json").json
    assert isinstance(described, dict)
    return described["tuning"].get("task")
