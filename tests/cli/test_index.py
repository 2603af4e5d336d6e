"""`taskembed index`: what it adds, refuses and says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.support import (
    DOCUMENTS,
    summary,
    taskembed,
    write_jsonl,
)
from tests.conftest import Run


def test_the_first_run_adds_and_the_second_finds_everything_unchanged(
    run: Run, four_documents: Path, folder: Path
) -> None:
    first = run("index", four_documents, "--task", "retrieval", "--index", folder)
    again = run("index", four_documents, "--index", folder)
    assert (first.code, again.code) == (0, 0)
    assert first.out == ("4 added, 0 updated, 0 deleted, 0 unchanged, 0 rejected, 0 truncated\n")
    assert again.out == ("0 added, 0 updated, 0 deleted, 4 unchanged, 0 rejected, 0 truncated\n")
    assert again.err == ""


def test_a_run_without_changes_writes_only_that_it_ran(
    run: Run, four_documents: Path, indexed: Path
) -> None:
    def files() -> dict[str, bytes]:
        return {
            path.name: path.read_bytes()
            for path in indexed.iterdir()
            if path.suffix != ".json" and path.name != "LOCK"
        }

    before = files()
    run("index", four_documents, "--index", indexed)
    assert files() == before


def test_a_changed_corpus_is_an_update(
    run: Run, tmp_path: Path, four_documents: Path, indexed: Path
) -> None:
    changed = [dict(record) for record in DOCUMENTS]
    changed[0]["text"] = "The Moon is a rock."
    changed[1]["year"] = 1700
    changed[3] = {"id": "rice", "text": "Rice grows in water."}
    write_jsonl(four_documents, changed)
    done = run(
        "index", four_documents, "--index", indexed, "--prune", "--prune-limit", "25", "--json"
    )
    assert done.code == 0
    assert isinstance(done.json, dict)
    counts = {key: done.json[key] for key in ("added", "updated", "deleted", "unchanged")}
    assert counts == {"added": 1, "updated": 2, "deleted": 1, "unchanged": 1}
    assert done.json["encoded"] == 2  # the changed year needed no model
    hits = run("search", "tides", "--index", indexed, "-k", "1", "--no-text").lines
    assert hits[0]["metadata"] == {"title": "Tides", "year": 1700}


def test_a_new_index_needs_a_task(run: Run, four_documents: Path, folder: Path) -> None:
    done = run("index", four_documents, "--index", folder)
    assert done.code == 2
    assert done.err == (
        "taskembed: error: a new index needs a task\n"
        "taskembed: hint: use --task retrieval|similarity|classification|clustering|code\n"
    )
    assert not folder.exists()


def test_another_task_is_refused_before_anything_is_read(run: Run, indexed: Path) -> None:
    before = {path.name: path.read_bytes() for path in indexed.iterdir()}
    os.mkfifo(indexed.parent / "never.jsonl")  # reading it would wait for ever
    done = run("index", indexed.parent / "never.jsonl", "--task", "sts", "--index", indexed, "-q")
    assert done.code == 78
    assert done.err == (
        "taskembed: error: this is not the embedding space of the index\n"
        "  query_adapter: the index has 'retrieval', not 'similarity'\n"
        "  document_adapter: the index has 'retrieval', not 'similarity'\n"
        "  task: the index has 'retrieval', not 'similarity'\n"
        "  vectors of different spaces cannot be compared: their scores would mean nothing\n"
        "taskembed: hint: for this task too, add a view: --add-view similarity; or leave out the "
        "options that differ to add to this index; or keep it and build another one with --index "
        "OTHER; or replace it with --recreate. Nothing was changed\n"
    )
    assert {path.name: path.read_bytes() for path in indexed.iterdir()} == before


def test_every_field_that_differs_is_listed(run: Run, four_documents: Path, indexed: Path) -> None:
    done = run(
        *("index", four_documents, "--index", indexed, "--task", "clustering"),
        *("--query-prompt", "x: ", "--template", "{text}"),
    )
    assert done.code == 78
    assert "  task: the index has 'retrieval', not 'clustering'\n" in done.err
    assert "  query_prompt: the index has '', not 'x: '\n" in done.err
    assert "  document_prompt: the index has '', not 'x: '\n" in done.err
    assert "  template: the index has '{title?} {text}', not '{text}'\n" in done.err


def test_recreate_replaces_the_index(run: Run, four_documents: Path, indexed: Path) -> None:
    assert run("index", four_documents, "--index", indexed, "--template", "{text}").code == 78
    done = run("index", four_documents, "--index", indexed, "--template", "{text}", "--recreate")
    assert done.code == 0
    assert "4 added" in done.out
    assert "template: {text}" in run("info", "--index", indexed).out


def test_recreate_takes_what_is_not_said_from_the_index(
    run: Run, four_documents: Path, folder: Path
) -> None:
    run("index", four_documents, "--task", "clustering", "--template", "{text}", "--index", folder)
    done = run("index", four_documents, "--index", folder, "--recreate")
    assert (done.code, summary(done.out).split(",")[0]) == (0, "4 added")
    told = run("info", "--index", folder).out
    assert "task: clustering" in told
    assert "template: {text}" in told


def test_a_damaged_index_can_be_made_again(run: Run, four_documents: Path, indexed: Path) -> None:
    path = max(indexed.glob("manifest-*.json"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    refused = run("index", four_documents, "--index", indexed)
    assert refused.code == 76
    assert f"the index is damaged: {path}: its checksum does not match" in refused.err
    assert "or index again with --recreate" in refused.err
    done = run("index", four_documents, "--index", indexed, "--task", "retrieval", "--recreate")
    assert (done.code, summary(done.out).split(",")[0]) == (0, "4 added")
    assert run("verify", "--index", indexed).code == 0


def test_a_bad_record_stops_with_its_place_and_what_is_safe(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"id": "a", "text": "one"}\n{"id": "b", "text": 7}\n')
    done = run("index", path, "--task", "retrieval", "--index", folder)
    assert done.code == 65
    assert f"taskembed: error: {path}:2: " in done.err
    assert "documents are safe in the index" in done.err


def test_skip_bad_goes_on_and_says_so(run: Run, tmp_path: Path, folder: Path) -> None:
    path, rejects = tmp_path / "bad.jsonl", tmp_path / "rejects.jsonl"
    path.write_text('{"id": "a", "text": "one"}\nnot json\n{"id": "c", "text": "three"}\n')
    done = run(
        *("index", path, "--task", "retrieval", "--index", folder),
        *("--skip-bad", "--rejects", rejects),
    )
    assert done.code == 1
    assert summary(done.out) == (
        "2 added, 0 updated, 0 deleted, 0 unchanged, 1 rejected, 0 truncated"
    )
    rejected = json.loads(rejects.read_text())
    assert rejected["source"] == f"{path}:2"
    assert rejected["record"] == "not json"


def test_too_many_bad_records_stop_the_run(run: Run, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("x\ny\nz\n")
    done = run(
        *("index", path, "--task", "retrieval", "--index", folder),
        *("--skip-bad", "--max-bad", "1"),
    )
    assert done.code == 65
    assert "more than 1 bad record" in done.err


def test_nothing_is_pruned_when_records_were_rejected(
    run: Run, four_documents: Path, indexed: Path
) -> None:
    four_documents.write_text('{"id": "moon", "text": "The Moon orbits the Earth."}\nbroken\n')
    done = run("index", four_documents, "--index", indexed, "--prune", "--skip-bad")
    assert done.code == 1
    assert "0 deleted" in done.out
    assert "nothing was pruned" in done.err


def test_prune_with_an_empty_input_is_refused(
    run: Run, four_documents: Path, indexed: Path
) -> None:
    four_documents.write_text("")
    done = run("index", four_documents, "--index", indexed, "--prune")
    assert done.code == 65
    assert "the input has no documents" in done.err
    assert "documents: 4" in run("info", "--index", indexed).out


def test_the_last_of_two_documents_with_one_id_stays(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    twice = [{"id": "a", "text": "first"}, {"id": "a", "text": "second"}]
    path = write_jsonl(tmp_path / "twice.jsonl", twice)
    arguments = ("index", path, "--task", "retrieval", "--index", folder)
    done = run(*arguments)
    assert (done.code, summary(done.out).split(",")[0]) == (0, "1 added")
    assert "note: 1 duplicate id in the input; the last document was kept\n" in done.err
    assert run("search", "x", "--index", folder).lines[0]["text"] == "second"
    assert "1 unchanged" in run(*arguments).out
    first = run(*arguments, "--on-duplicate", "first")
    assert "1 updated" in first.out
    assert run("search", "x", "--index", folder).lines[0]["text"] == "first"
    error = run(*arguments, "--on-duplicate", "error")
    assert error.code == 65
    assert f"{path}:2: duplicate id 'a'" in error.err


def test_truncated_documents_are_counted_every_time(run: Run, tmp_path: Path, folder: Path) -> None:
    path = write_jsonl(tmp_path / "long.jsonl", [{"id": "a", "text": "word " * 400}])
    arguments = ("index", path, "--task", "retrieval", "--index", folder)
    assert "1 added" in (done := run(*arguments)).out
    assert "1 truncated" in done.out
    assert "1 truncated" in run(*arguments).out
    refused = run(*arguments, "--fail-on-truncate")
    assert refused.code == 65
    assert f"{path}:1: the text is longer than the 256 tokens that the model reads" in refused.err


def test_stdin_is_an_input(folder: Path, cache: Path) -> None:
    done = taskembed(
        *("index", "-", "--task", "retrieval", "--index", folder),
        cache=cache,
        stdin='{"id": "a", "text": "one"}\n',
    )
    assert (done.code, summary(done.out)) == (
        0,
        "1 added, 0 updated, 0 deleted, 0 unchanged, 0 rejected, 0 truncated",
    )


def test_a_missing_input_is_said_at_once(run: Run, folder: Path) -> None:
    done = run("index", "nowhere.jsonl", "--task", "retrieval", "--index", folder)
    assert done.code == 66
    assert "nowhere.jsonl" in done.err
    assert not folder.exists()


def test_a_folder_of_other_things_is_not_an_index(
    run: Run, four_documents: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    done = run("index", four_documents, "--task", "retrieval", "--index", tmp_path / "mine")
    assert done.code == 2
    assert f"{tmp_path / 'mine'} is not an index: it holds 'diary.txt'" in done.err


def test_a_second_writer_is_refused_at_once(run: Run, four_documents: Path, indexed: Path) -> None:
    from taskembed.index.disk.commit import open_writer

    with open_writer(indexed):
        done = run("index", four_documents, "--index", indexed)
    assert done.code == 75
    assert f"another taskembed is writing to {indexed}" in done.err
    assert "hint: wait, or use --wait SECONDS" in done.err


def test_options_that_do_not_fit_together_are_refused(run: Run, four_documents: Path) -> None:
    done = run("index", four_documents, "--rejects", "x.jsonl")
    assert (done.code, done.err) == (
        2,
        "taskembed: error: --rejects and --max-bad require --skip-bad\n",
    )
    done = run("index", four_documents, "--text-field", "a", "--template", "{a}")
    assert done.code == 2
    before = four_documents.read_bytes()
    link = four_documents.with_name("link.jsonl")
    link.symlink_to(four_documents)
    done = run("index", four_documents, "--task", "retrieval", "--skip-bad", "--rejects", link)
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        f"taskembed: error: --rejects would overwrite the input: {link}",
    )
    assert four_documents.read_bytes() == before
    inside = four_documents.parent / "some-index"
    words = ("--index", inside, "--skip-bad", "--rejects", inside / "seg-00000001.db")
    inside.mkdir()
    done = run("index", four_documents, "--task", "retrieval", *words)
    assert (done.code, list(inside.iterdir())) == (2, [])
    done = run("search", "moon", "--index", inside, "--output", inside / "hits.txt")
    assert (done.code, "--output would overwrite the input: " in done.err) == (2, True)


def test_environment_variables_are_defaults_and_flags_win(
    run: Run, four_documents: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_INDEX", str(folder))
    monkeypatch.setenv("TASKEMBED_TASK", "clustering")
    assert run("index", four_documents).code == 0
    assert "task: clustering" in run("info").out
    assert run("search", "moon", "--task", "retrieval").code == 78
    assert run("search", "moon").code == 0


def test_a_model_without_the_task_is_refused_with_the_models_that_have_it(
    run: Run, four_documents: Path, folder: Path
) -> None:
    done = run(
        *("index", four_documents, "--task", "code", "--model", "intfloat/e5-small-v2"),
        *("--index", folder),
    )
    assert done.code == 69
    assert "intfloat/e5-small-v2 has no prompt for the task 'code'" in done.err
    assert "see `taskembed models --task code`" in done.err


def test_a_model_that_is_not_here_is_refused_offline(
    run: Run, four_documents: Path, folder: Path
) -> None:
    done = run(
        *("index", four_documents, "--task", "retrieval", "--model", "intfloat/e5-small-v2"),
        *("--index", folder, "--offline"),
    )
    assert done.code == 69
    assert done.err == (
        "taskembed: error: the model 'intfloat/e5-small-v2' is not on this machine, and the "
        "network may not be used\n"
        "taskembed: hint: download it once with network access: "
        "hf download intfloat/e5-small-v2\n"
    )
