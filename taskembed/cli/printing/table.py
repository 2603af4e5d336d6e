"""Prints tables for people; for programs, there are --json and other formats."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

from taskembed.cli.printing.output import message, write
from taskembed.escaping import escaped

WIDE = 10_000  # characters; the width of a table that is not printed to a terminal
FOLDED = 16  # characters; the least width of a column that folds, if there is room
GAP = 1  # character on each side of a column, but not at the edges


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: its header.
        number: whether the column is aligned to the right and never cut.
        folds: whether a long cell is folded into several lines; if not, it may be cut with "…".
        leave_out: order in which columns are left out of a narrow terminal: the highest first; 0
            for never.
    """

    name: str
    number: bool = False
    folds: bool = False
    leave_out: int = 0


def is_for_people(stream: TextIO | None, *, as_json: bool) -> bool:
    """Return whether a stream is stdout on a terminal, and JSON is not requested."""
    return stream is not None and stream is sys.stdout and stream.isatty() and not as_json


def print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, stream: TextIO | None = None
) -> None:
    """Print a table; on a terminal, columns that do not fit are left out or folded.

    Args:
        columns: the columns of the table.
        rows: the rows, with a cell for each column.
        stream: an open stream; None for stdout.
    """
    from rich.console import Console  # 0.06 s

    console = Console(file=stream)
    is_terminal = console.is_terminal
    width = console.width if is_terminal else WIDE
    text, left_out = table_text(columns, rows, width, is_terminal=is_terminal)
    write(text, stream)
    if left_out:
        message(f"note: the terminal is too narrow for: {', '.join(left_out)}; --json prints all")


def table_text(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    width: int,
    *,
    is_terminal: bool = False,
) -> tuple[str, list[str]]:
    """Return the lines of a table, and the names of the columns that were left out."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[escaped(cell) for cell in row] for row in rows]
    widths = _widths(columns, cells)
    kept = _kept(columns, widths, width)
    shown = _cut(columns, widths, kept, width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number in kept:
        column = columns[number]
        table.add_column(
            Text(escaped(column.name)),
            justify="right" if column.number else "left",
            width=None if column.folds else shown[number],
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
        )
    for row in cells:
        # as Text, so that rich does not interpret markup in a document
        table.add_row(*(Text(row[number]) for number in kept))
    console = Console(width=width, highlight=False, force_terminal=is_terminal)
    with console.capture() as captured:
        console.print(table)
    text = "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    return text, [column.name for number, column in enumerate(columns) if number not in kept]


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    from rich.cells import cell_len

    names = [escaped(column.name) for column in columns]
    return [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]


def _kept(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """Return the numbers of the columns that fit if foldable columns are folded."""
    kept = list(range(len(columns)))
    while _needed(columns, widths, kept) > width:
        last = max(kept, key=lambda n: columns[n].leave_out)
        if not columns[last].leave_out:
            break
        kept.remove(last)
    return kept


def _cut(
    columns: Sequence[Column], widths: Sequence[int], kept: Sequence[int], width: int
) -> list[int]:
    """Return the widths of the columns, with the widest text column reduced by the excess."""
    shown = list(widths)
    excess = _needed(columns, widths, kept) - width
    words = [n for n in kept if not columns[n].number and not columns[n].folds]
    if words and excess > 0:
        widest = max(words, key=lambda n: widths[n])
        shown[widest] = max(widths[widest] - excess, min(widths[widest], FOLDED))
    return shown


def _needed(columns: Sequence[Column], widths: Sequence[int], kept: Sequence[int]) -> int:
    """Return the smallest width of those columns, with foldable columns folded."""
    least = (min(widths[n], FOLDED) if columns[n].folds else widths[n] for n in kept)
    return sum(least) + 2 * GAP * (len(kept) - 1)
