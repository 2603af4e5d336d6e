"""Draws a bar chart of an ablation with matplotlib: differences from the right way."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taskembed.errors import UsageError, os_errors
from taskembed.evaluation.ablate import Ablated
from taskembed.extras import EVALUATE, require_extra

ENDINGS = (".png", ".svg", ".pdf")
LEAST_REACH = 0.01  # smallest length of the axis on both sides of zero
_RIGHT_COLOUR, _OTHER_COLOUR = (
    "#2a6f97",
    "#b0b7bd",
)  # distinct also in grey


def require_chart_name(path: Path) -> None:
    """Check that a file name ends in the format of a chart.

    Raises:
        UsageError: the name ends in something else.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"the name of a chart must end in {', '.join(ENDINGS)}", what=str(path))


def save_chart(rows: Sequence[Ablated], title: str, path: Path) -> None:
    """Save a bar chart of an ablation.

    Args:
        rows: the rows of `ablate`, the right way first.
        title: the title of the chart.
        path: a file that ends in .png, .svg or .pdf.

    Raises:
        UsageError: the name ends in something else.
        MissingLibraryError: matplotlib is not installed.
        StorageError: the file cannot be written.
    """
    require_chart_name(path)
    figure = make_figure(rows, title)
    try:
        with os_errors(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a character that the font does not have
            figure.savefig(path, dpi=150)
    finally:
        require_extra("matplotlib.pyplot", EVALUATE).close(figure)


def make_figure(rows: Sequence[Ablated], title: str) -> Any:  # noqa: ANN401  # matplotlib's Figure
    """Return the figure: for each way a bar with its difference from the right way, and its value.

    The axis shows differences rather than values, since differences are small beside values.

    Raises:
        MissingLibraryError: matplotlib is not installed.
    """
    require_extra("matplotlib", EVALUATE).use("Agg")
    plot = require_extra("matplotlib.pyplot", EVALUATE)
    figure, axes = plot.subplots(figsize=(8, 0.5 * len(rows) + 1.2), layout="constrained")
    for position, row in enumerate(rows):
        difference = row.difference
        if difference:
            axes.barh(position, difference.value, color=_OTHER_COLOUR)
            ends = [
                [max(0.0, difference.value - difference.low)],
                [max(0.0, difference.high - difference.value)],
            ]
            axes.errorbar(difference.value, position, xerr=ends, color="black", capsize=3)
        apart = f"{difference.value:+.4f}" if difference else ""
        axes.annotate(
            f"{apart:>7}  {row.measured.value:.4f}",
            (1.01, position),
            xycoords=("axes fraction", "data"),
            family="monospace",
            va="center",
            color="black" if difference else _RIGHT_COLOUR,
        )
    axes.axvline(0, color=_RIGHT_COLOUR, linewidth=2)
    widest = max((_reach(row) for row in rows), default=0.0) or LEAST_REACH
    axes.set_xlim(-1.1 * widest, 1.1 * widest)
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the right way is at the top
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    main, right = rows[0].measured.main, rows[0].measured.value
    axes.set_xlabel(f"difference of {main} from that of the right way, {right:.4f}; lines: 95 %")
    axes.set_title(title, parse_math=False)
    return figure


def _reach(row: Ablated) -> float:
    """Return how far a bar or its interval reaches from zero."""
    ends = [abs(end) for end in row.difference or ()]
    return max((end for end in ends if math.isfinite(end)), default=0.0)
