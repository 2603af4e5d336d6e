"""`taskembed info`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taskembed.cli import info
from taskembed.index.contents import Contents
from taskembed.index.disk.commit import open_writer
from tests.conftest import Run


def test_info_tells_the_space(run: Run, indexed: Path) -> None:
    value = run("info", "--index", indexed, "--json").json
    assert isinstance(value, dict)
    assert (value["documents"], value["segments"], value["generation"]) == (4, 1, 1)
    assert value["space"]["task"] == "retrieval"
    assert value["space"]["dim"] == 384
    assert value["made_by"]["engine"] == "fake"
    assert value["reading"] == {}


def set_last_run(folder: Path, finished_at: datetime | None) -> None:
    with open_writer(folder) as store:
        assert store.snapshot
        contents = Contents.of(folder, store.snapshot)
        run = {"finished_at": finished_at.isoformat(timespec="seconds")} if finished_at else {}
        contents = replace(contents, last_run=run)
        store.commit(contents.to_json(), contents.live.files)


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


def test_info_shows_the_counts_of_the_last_run_also_if_it_changed_nothing(
    run: Run, four_documents: Path, indexed: Path
) -> None:
    def last() -> dict[str, object]:
        value = run("info", "--index", indexed, "--json").json
        assert isinstance(value, dict)
        found: dict[str, object] = value["last_run"]
        return found

    first = last()
    assert (first["added"], first["unchanged"], first["documents"]) == (4, 0, 4)
    since = datetime.fromisoformat(str(first["finished_at"]))
    assert timedelta(0) <= datetime.now(UTC) - since < timedelta(minutes=10)
    set_last_run(indexed, ago(hours=30))
    run("index", four_documents, "--index", indexed)
    again = last()
    assert (again["added"], again["unchanged"]) == (0, 4)
    assert datetime.now(UTC) - datetime.fromisoformat(str(again["finished_at"])) < timedelta(
        hours=1
    )
    shown = run("info", "--index", indexed).out
    assert "last_run:\n  finished_at: 2" in shown
    assert "  unchanged: 4\n" in shown


def test_a_run_that_fails_and_a_deletion_are_no_runs(
    run: Run, tmp_path: Path, indexed: Path
) -> None:
    long_ago = ago(days=3)
    set_last_run(indexed, long_ago)
    (tmp_path / "bad.jsonl").write_text('{"id": "new", "text": "is read"}\nno JSON\n')
    assert run("index", tmp_path / "bad.jsonl", "--index", indexed).code == 65
    assert run("delete", "moon", "--index", indexed).code == 0
    assert run("index", tmp_path / "bad.jsonl", "--index", indexed, "--dry-run", "-q").code == 65
    value = json.loads(run("info", "--index", indexed, "--json").out)
    assert value["documents"] == 3
    assert value["last_run"] == {"finished_at": long_ago.isoformat(timespec="seconds")}


def test_max_age_exits_with_1_if_the_last_run_is_older(run: Run, indexed: Path) -> None:
    assert run("info", "--index", indexed, "--max-age", "26h").code == 0
    set_last_run(indexed, ago(hours=27, minutes=3))
    late = run("info", "--index", indexed, "--max-age", "26h")
    assert late.code == 1
    assert late.err.startswith("taskembed: the last run ended 27 h 3 min ago, at 2")
    assert late.err.endswith(": more than 26h\n")
    assert "documents: 4" in late.out
    assert run("info", "--index", indexed, "--max-age", "2d").code == 0
    assert run("info", "--index", indexed, "--max-age", "26h", "--json").code == 1


def test_max_age_exits_with_1_if_no_run_is_known_or_the_clock_is_wrong(
    run: Run, indexed: Path
) -> None:
    set_last_run(indexed, None)
    unknown = run("info", "--index", indexed, "--max-age", "26h")
    assert (unknown.code, unknown.err) == (
        1,
        "taskembed: no run of `taskembed index` is known for this index\n",
    )
    set_last_run(indexed, ago(hours=-2))
    future = run("info", "--index", indexed, "--max-age", "26h")
    assert future.code == 1
    assert "which is in the future: check the clock" in future.err


def test_an_age_has_a_number_and_a_unit(run: Run, indexed: Path) -> None:
    ages = [info.parse_age(text) for text in ("90m", "1.5h", "45s", "7d")]
    assert ages == [5400, 5400, 45, 604800]
    for text in ("26", "h", "-1h", "1w", "", "1h30m"):
        done = run("info", "--index", indexed, f"--max-age={text}")
        assert (done.code, done.out) == (2, "")
        assert done.err == (
            f"taskembed: error: --max-age {text!r} is not an age\n"
            "taskembed: hint: for example 26h, 90m, 45s or 7d\n"
        )
    assert run("info", "--index", indexed, "--max-age", "1h", "--fields").code == 2


def test_a_replaced_index_remembers_the_run_that_made_it(
    run: Run, four_documents: Path, indexed: Path
) -> None:
    set_last_run(indexed, ago(days=3))
    run("index", four_documents, "--index", indexed, "--recreate", "--task", "clustering")
    assert run("info", "--index", indexed, "--max-age", "1h").code == 0


@pytest.mark.parametrize("last_run", [{"finished_at": 7}, {"finished_at": "soon"}, {"ended": "x"}])
def test_what_another_version_wrote_of_a_run_is_not_known(
    run: Run, indexed: Path, last_run: dict[str, object]
) -> None:
    with open_writer(indexed) as store:
        assert store.snapshot
        contents = replace(Contents.of(indexed, store.snapshot), last_run=last_run)
        store.commit(contents.to_json(), contents.live.files)
    assert run("info", "--index", indexed).code == 0
    assert run("info", "--index", indexed, "--max-age", "1h").code == 1
