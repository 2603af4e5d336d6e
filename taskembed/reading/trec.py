r"""Reads and writes files of TREC: judgements (qrels) and runs.

    read_judgements(Path("qrels.tsv"))     # {"q1": {"d1": 1}}
    read_run(Path("ours.run"))             # {"q1": {"d1": 0.9}}
    run_line("q1", "d1", 1, 0.9, "ours")   # "q1 Q0 d1 1 0.900000 ours\n"

Compressed files are read if their name ends in .gz or .zst.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from taskembed.errors import BadInputError, BadRecordError, NotFoundError
from taskembed.escaping import escaped
from taskembed.reading.bounds import DEFAULT_MAX_RECORD_BYTES
from taskembed.reading.formats import split_name
from taskembed.reading.streams import Input, read_lines, stop_at_first

Judgements = Mapping[str, Mapping[str, int]]  # query -> document -> relevance
Run = Mapping[str, Mapping[str, float]]  # query -> document -> score

_QRELS_CELLS = 4  # query, an unused column, document, relevance
_TSV_CELLS = 3  # query, document, relevance: qrels of BEIR
_RUN_CELLS = 6  # query, Q0, document, rank, score, tag
_LARGEST_RELEVANCE = 2**31 - 1  # the largest that trec_eval can represent


def read_judgements(path: Path) -> dict[str, dict[str, int]]:
    """Read judgements: four columns of TREC, or three of BEIR, with or without a header.

    Returns:
        query -> document -> relevance.

    Raises:
        NotFoundError: there is no such file.
        BadInputError: a line is not a judgement; the message names the line.
    """
    judgements: dict[str, dict[str, int]] = {}
    for number, (position, line) in enumerate(_rows(path)):
        cells = line if len(line) == _TSV_CELLS else [line[0], *line[2:]]
        if len(line) not in {_TSV_CELLS, _QRELS_CELLS}:
            raise BadRecordError(position, "expected a query, a document and a relevance")
        query, document, relevance = cells
        if number == 0 and _number(relevance) is None:
            continue  # the header
        value = _relevance(relevance, position)
        judged = judgements.setdefault(query, {})
        if judged.setdefault(document, value) != value:
            raise BadRecordError(position, f"{query!r} and {document!r} are judged twice")
    if not judgements:
        raise BadInputError("it has no judgements", what=str(path))
    return judgements


def _relevance(text: str, position: str) -> int:
    number = _number(text)
    if number is None:
        raise BadRecordError(position, f"the relevance is not a number: {text!r}")
    if not (number.is_integer() and abs(number) <= _LARGEST_RELEVANCE):
        raise BadRecordError(position, f"the relevance is not a whole number: {text!r}")
    return int(number)


def read_run(path: Path) -> dict[str, dict[str, float]]:
    """Read a TREC run: query, Q0, document, rank, score, tag.

    Returns:
        query -> document -> score.

    Raises:
        NotFoundError: there is no such file.
        BadInputError: a line is not part of a run; the message names the line.
    """
    run: dict[str, dict[str, float]] = {}
    for position, cells in _rows(path):
        if len(cells) != _RUN_CELLS:
            raise BadRecordError(position, "expected the six columns of a TREC run")
        query, _, document, _, score, _ = cells
        number = _number(score)
        if number is None or not math.isfinite(number):
            raise BadRecordError(position, f"the score is not a number: {score!r}")
        if document in run.setdefault(query, {}):
            raise BadRecordError(position, f"{document!r} is listed twice for {query!r}")
        run[query][document] = number
    if not run:
        raise BadInputError("it has no hits", what=str(path))
    return run


def run_line(query_id: str, doc_id: str, rank: int, score: float, tag: str) -> str:
    """Return a line of a TREC run, whose columns are separated by spaces.

    Args:
        query_id: id of the query.
        doc_id: id of the document.
        rank: rank of the hit, from 1.
        score: score of the hit.
        tag: name of the run.

    Raises:
        BadInputError: an id or the tag has white space or a control character.
    """
    for name in (query_id, doc_id, tag):
        if not name or name.split() != [name]:
            raise BadInputError(
                f"{name!r} has white space, which a TREC run cannot hold", hint="--format jsonl"
            )
        if escaped(name) != name:
            raise BadInputError(
                f"{escaped(name)!r} has a control character, which a TREC run should not hold",
                hint="--format jsonl",
            )
    return f"{query_id} Q0 {doc_id} {rank} {score:.6f} {tag}\n"


def run_lines(run: Run, tag: str) -> Iterator[str]:
    """Yield the lines of a run whose hits are in order of rank.

    Raises:
        BadInputError: see `run_line`.
    """
    for query_id, hits in run.items():
        for rank, (doc_id, score) in enumerate(hits.items(), 1):
            yield run_line(query_id, doc_id, rank, score, tag)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the position and the cells of each line, which are separated by tabs or white space."""
    item = Input(path, "tsv", split_name(path)[1])
    if not path.exists():
        raise NotFoundError(f"no such file: {path}", hint="check the path")
    for position, line in read_lines(item, stop_at_first, DEFAULT_MAX_RECORD_BYTES):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise BadRecordError(position, f"not UTF-8 at byte {error.start + 1}") from error
        yield position, text.split("\t") if "\t" in text else text.split()
