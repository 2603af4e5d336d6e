"""The options of commands that write files of vectors."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.cli.printing.vectors import OPTION

if TYPE_CHECKING:
    from taskembed.reading.vectors.rows import NumberType

_VECTOR_FILE = typer.Option(
    OPTION,
    "-o",
    metavar="FILE",
    rich_help_panel=opt.Panel.OUTPUT,
    help="The file: .parquet, or .npy (with .ids.txt and .space.json); - for Parquet on "
    "stdout. The file is replaced at the end.",
)
VectorFile = Annotated[Path, _VECTOR_FILE]
OptionalVectorFile = Annotated[Path | None, _VECTOR_FILE]


class Numbers(Enum):
    """The type of the numbers of vectors in a file."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"

    @property
    def dtype(self) -> NumberType:
        """The type for the file."""
        from taskembed.reading.vectors.rows import NumberType

        return NumberType(self.value)


NumbersOption = Annotated[
    Numbers,
    typer.Option(
        "--dtype",
        rich_help_panel=opt.Panel.OUTPUT,
        help="The type of the numbers; float16 takes half the space.",
    ),
]
