"""Prints duplicates, their groups, and sample pairs, for people or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from taskembed.batches import batched
from taskembed.cli.printing.output import write
from taskembed.cli.printing.table import Column, print_table
from taskembed.cli.printing.values import cut
from taskembed.english import counted
from taskembed.escaping import escaped, json_text

LINES_AT_ONCE = 100

if TYPE_CHECKING:
    from taskembed.verbs.dedup import DuplicateGroup, Duplicates
    from taskembed.verbs.deduplicating.duplicates import Duplicate
    from taskembed.verbs.deduplicating.pairs import Band


def print_duplicates(found: Duplicates, *, groups: bool) -> None:
    """Print the duplicates of an index, or their groups: a table on a terminal, else JSONL."""
    if groups:
        _print(
            [_group(number, group) for number, group in enumerate(found.groups, 1)],
            [
                Column("group", number=True),
                Column("kept", folds=True),
                Column("documents", folds=True),
            ],
            "no duplicates",
        )
    else:
        print_list(found.dropped)


def print_list(duplicates: Iterable[Duplicate]) -> None:
    """Print duplicates, one per line."""
    columns = [Column("doc_id", folds=True), Column("kept", folds=True)]
    columns += [Column("score", number=True), Column("exact")]
    _print(map(duplicate_json, duplicates), columns, "no duplicates")


def duplicate_json(duplicate: Duplicate) -> dict[str, object]:
    """Return a duplicate as a JSON object."""
    return {
        "doc_id": duplicate.doc_id,
        "kept": duplicate.kept,
        "score": round(duplicate.score, 6),
        "exact": duplicate.exact,
    }


def duplicates_json(found: Duplicates, *, groups: bool) -> dict[str, object]:
    """Return the duplicates of an index as a JSON object."""
    value: dict[str, object] = {
        "documents": found.documents,
        "kept": found.kept,
        "exact": found.exact,
        "near": found.near,
        "threshold": found.threshold,
        "pairs": found.pairs,
        "duplicates": [duplicate_json(item) for item in found.dropped],
    }
    if groups:
        value["groups"] = [_group(number, group) for number, group in enumerate(found.groups, 1)]
    return value


def summary(found: Duplicates) -> str:
    """Return a line for people with the number of duplicates of each kind."""
    return (
        f"{counted(found.documents, 'document')}: {counted(found.exact, 'exact duplicate')}, "
        f"{counted(found.near, 'near duplicate')} (cosine {found.threshold:g} or more); "
        f"{found.kept:,} kept"
    )


def print_bands(bands: Sequence[Band], *, as_json: bool) -> None:
    """Print sample pairs: for people on a terminal, as one object with --json, or as JSONL."""
    values = [
        {
            "least": band.least,
            "most": band.most,
            "score": round(pair.score, 6),
            "doc_ids": [pair.one.doc_id, pair.other.doc_id],
            "texts": [pair.one.text, pair.other.text],
        }
        for band in bands
        for pair in band.pairs
    ]
    if as_json:
        write(json_text({"pairs": values}) + "\n")
    elif not sys.stdout.isatty():
        write("".join(json_text(value) + "\n" for value in values))
    else:
        write("".join(_for_people(band) for band in bands))


def _for_people(band: Band) -> str:
    lines = [f"cosine {band.least:g} to {band.most:g}{'' if band.pairs else ': no pairs'}"]
    for pair in band.pairs:
        for score, document in ((f"{pair.score:.4f}", pair.one), ("", pair.other)):
            lines.append(f"  {score:6}  {escaped(document.doc_id)}: {escaped(cut(document.text))}")
    return "\n".join(lines) + "\n"


def _group(number: int, group: DuplicateGroup) -> dict[str, object]:
    return {"group": number, "kept": group.kept, "documents": group.doc_ids}


def _print(values: Iterable[Mapping[str, object]], columns: Sequence[Column], nothing: str) -> None:
    """Print values as they are found; a table is printed at the end."""
    if not sys.stdout.isatty():
        for some in batched(values, LINES_AT_ONCE):
            write("".join(json_text(value) + "\n" for value in some))
        return
    rows = [[_cell(item) for item in value.values()] for value in values]
    if rows:
        print_table(columns, rows)
    else:
        write(nothing + "\n")


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
