"""Prints the figures of evaluations, for people and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from taskembed.cli.printing.output import message

if TYPE_CHECKING:
    from taskembed.evaluation.measured import Measured, ScoreDifference


def note_if_nothing_found(measured: Sequence[Measured]) -> None:
    """Print a note if no relevant document is a hit: usually the ids differ."""
    if not any(value for item in measured for value in item.values.values()):
        message("note: no relevant document is among the hits: are the ids the same?")


def without_nan(value: object) -> object:
    """Return a value that JSON can represent: NaN becomes null."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def difference_cells(difference: ScoreDifference | None) -> list[str]:
    """Return the cells of a difference and its interval; empty if there is none."""
    if difference is None:
        return ["", ""]
    ends = f"{difference.low:+.4f} .. {difference.high:+.4f}"
    return [f"{difference.value:+.4f}", "" if math.isnan(difference.low) else ends]
