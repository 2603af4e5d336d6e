"""A bar chart of an ablation, by matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from taskembed.errors import UsageError, from_os_error
from taskembed.evaluation.ablate import Ablated
from taskembed.evaluation.metrics import EXTRA
from taskembed.extras import needed

ENDINGS = (".png", ".svg", ".pdf")
_RIGHT_COLOUR, _OTHER_COLOUR = "#2a6f97", "#b0b7bd"  # also apart in grey, and for the colour-blind


def require_chart_name(path: Path) -> None:
    """Refuse a name that says no format.

    Raises:
        UsageError: it ends otherwise.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path}: a chart ends in {', '.join(ENDINGS)}")


def save_chart(rows: Sequence[Ablated], title: str, path: Path) -> None:
    """Save a bar for each way, with the interval of its difference from the right one.

    Raises:
        UsageError: the name says no format.
        ModelUnavailableError: matplotlib is not installed.
        StorageError: the file cannot be written.
    """
    require_chart_name(path)
    needed("matplotlib", EXTRA).use("Agg")
    plot = needed("matplotlib.pyplot", EXTRA)
    figure, axes = plot.subplots(figsize=(8, 0.5 * len(rows) + 1.2), layout="constrained")
    for position, row in enumerate(rows):
        value, difference = row.measured.value, row.difference
        axes.barh(position, value, color=_OTHER_COLOUR if difference else _RIGHT_COLOUR)
        if difference:
            ends = [
                [max(0.0, difference.value - difference.low)],
                [max(0.0, difference.high - difference.value)],
            ]
            axes.errorbar(value, position, xerr=ends, color="black", capsize=3)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"{rows[0].measured.main}; lines: 95 % of the difference from the right way")
    axes.set_title(title, parse_math=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a letter that the font does not have
            figure.savefig(path, dpi=150)
    except OSError as error:
        raise from_os_error(error, str(path)) from error
    finally:
        plot.close(figure)
