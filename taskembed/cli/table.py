"""Columns for people; programs have --json and the other formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from taskembed.cli.escaping import escaped
from taskembed.cli.output import write

WIDE = 10_000  # characters; where no terminal folds lines, nothing does


def print_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: int = 0,
    stream: TextIO | None = None,
) -> None:
    """Print columns; what is wide is folded on a terminal, and never elsewhere.

    Args:
        header: the names of the columns.
        rows: a cell for each of them.
        numbers: so many of the first columns are numbers, and stand to the right.
        stream: stdout when not given.
    """
    from rich.console import Console  # 0.06 s
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(header):
        table.add_column(
            Text(escaped(name)), justify="right" if number < numbers else "left", overflow="fold"
        )
    for row in rows:
        # Text: what looks like markup in a document stays text
        table.add_row(*(Text(escaped(cell)) for cell in row))
    console = Console(file=stream, highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    with console.capture() as captured:
        console.print(table)
    write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()), stream)
