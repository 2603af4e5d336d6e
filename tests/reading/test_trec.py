"""TREC's files: judgements and runs, as they are read and written, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from taskembed.errors import BadInputError, NotFoundError
from taskembed.reading.trec import read_judgements, read_run, run_line, run_lines
from tests import zstd


@pytest.mark.parametrize(
    "content",
    [
        "q1 0 a 1\nq1 0 b 0\n",  # TREC's
        "q1\ta\t1\nq1\tb\t0\n",
        "query-id\tcorpus-id\tscore\nq1\ta\t1\nq1\tb\t0\n",  # BEIR's
        "\nquery-id\tcorpus-id\tscore\n\nq1\ta\t1\nq1\tb\t0\n",
    ],
)
def test_judgements_are_read_with_a_header_or_without(tmp_path: Path, content: str) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text(content)
    assert read_judgements(path) == {"q1": {"a": 1, "b": 0}}


def test_only_the_first_line_is_a_header(tmp_path: Path) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text("query-id\tcorpus-id\tscore\nquery-id\tcorpus-id\tscore\n")
    with pytest.raises(BadInputError) as refusal:
        read_judgements(path)
    assert refusal.value.message == f"{path}:2: the relevance is not a number: 'score'"


def test_packed_judgements_and_runs_are_read(tmp_path: Path) -> None:
    qrels, run = tmp_path / "qrels.tsv.zst", tmp_path / "a.run.gz"
    qrels.write_bytes(zstd.compress(b"q1\td1\t1\n"))
    run.write_bytes(gzip.compress(b"q1 Q0 d1 1 0.5 tag\n"))
    assert read_judgements(qrels) == {"q1": {"d1": 1}}
    assert read_run(run) == {"q1": {"d1": 0.5}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("q1\ta", "expected a query, a document and a relevance"),
        ("q1 0 a 1 more", "expected a query, a document and a relevance"),
        ("q1\ta\tyes", "the relevance is not a number: 'yes'"),
        ("q1\tb\t0.5", "the relevance is not a whole number: '0.5'"),
        ("q1\tb\tinf", "the relevance is not a whole number: 'inf'"),
        ("q1\tb\t9999999999", "the relevance is not a whole number: '9999999999'"),
        ("q1\ta\t0", "'q1' and 'a' are judged twice"),
    ],
)
def test_what_is_no_judgement_is_refused_by_its_line(
    tmp_path: Path, line: str, reason: str
) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text(f"q1\ta\t1\n{line}\n")
    with pytest.raises(BadInputError) as refusal:
        read_judgements(path)
    assert refusal.value.message == f"{path}:2: {reason}"


def test_judgements_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text("query-id\tcorpus-id\tscore\n")
    with pytest.raises(BadInputError, match=r"qrels\.tsv: it has no judgements"):
        read_judgements(path)


def test_a_run_is_read_as_trec_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    path.write_text("q1 Q0 a 1 0.5 tag\nq1 Q0 b 2 -1e-3 tag\n\nq2\tQ0\ta\t1\t7\ttag\n")
    assert read_run(path) == {"q1": {"a": 0.5, "b": -0.001}, "q2": {"a": 7.0}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q1 Q0 a 1 0.5\n", "a.run:1: expected the six columns of a TREC run"),
        ("q1 Q0 a 1 high tag\n", "a.run:1: the score is not a number: 'high'"),
        ("", "a.run: it has no hits"),
        ("q1 Q0 \xe9 1 0.5 tag\n", "a.run:1: not UTF-8 at byte 7"),
    ],
)
def test_what_is_no_run_is_refused_by_its_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.run"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(BadInputError) as refusal:
        read_run(path)
    assert refusal.value.message == f"{tmp_path}/{message}"


def test_a_run_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no such file: .*/none\.run"):
        read_run(tmp_path / "none.run")


def test_a_run_is_written_as_trec_reads_it(tmp_path: Path) -> None:
    run = {"q1": {"b": 0.5, "a": 0.25}, "q2": {"a": -1.0}}
    lines = list(run_lines(run, "ours"))
    assert lines == [
        "q1 Q0 b 1 0.500000 ours\n",
        "q1 Q0 a 2 0.250000 ours\n",
        "q2 Q0 a 1 -1.000000 ours\n",
    ]
    path = tmp_path / "ours.run"
    path.write_text("".join(lines))
    assert read_run(path) == run


@pytest.mark.parametrize("name", ["می‌خواهم", "東京", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"])
def test_a_name_in_any_language_is_a_column(name: str) -> None:
    assert run_line(name, name, 1, 0.5, "t") == f"{name} Q0 {name} 1 0.500000 t\n"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "'' has white space, which a TREC run cannot hold"),
        ("a b", "'a b' has white space, which a TREC run cannot hold"),
        ("a\u2028b", "'a\\u2028b' has white space, which a TREC run cannot hold"),
        ("a\x1b", "'a\\\\x1b' has a control character, which a TREC run should not hold"),
        ("a\u202e", "'a\\\\u202e' has a control character, which a TREC run should not hold"),
    ],
)
def test_a_name_that_no_column_can_hold_is_refused(name: str, reason: str) -> None:
    for names in [(name, "d", "t"), ("q", name, "t"), ("q", "d", name)]:
        with pytest.raises(BadInputError) as refusal:
            run_line(names[0], names[1], 1, 0.5, names[2])
        assert refusal.value.message == reason
        assert refusal.value.hint == "--format jsonl"
