"""The chart of an ablation: differences can be seen, and read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from taskembed.evaluation.ablate import Ablated
from taskembed.evaluation.chart import make_figure, save_chart
from taskembed.evaluation.measured import Measured, ScoreDifference
from tests.fakes import SPACE

pytest.importorskip("matplotlib")


def way(name: str, value: float, difference: ScoreDifference | None) -> Ablated:
    measured = Measured("nDCG@10", {"nDCG@10": value}, ["q"], np.array([[value]]), {})
    return Ablated(name, SPACE, measured, difference, "")


ROWS = [
    way("right", 0.7012, None),
    way("no prompt", 0.6962, ScoreDifference(-0.005, -0.009, -0.001)),
    way("swapped roles", 0.7022, ScoreDifference(0.001, -0.002, 0.004)),
]


def test_the_axis_has_differences_with_a_line_at_the_right_way_and_numbers_at_the_bars() -> None:
    axes = make_figure(ROWS, "a title").axes[0]
    assert [round(bar.get_width(), 6) for bar in axes.patches] == [-0.005, 0.001]
    assert list(axes.lines[-1].get_xdata()) == [0, 0]
    low, high = axes.get_xlim()
    assert low == pytest.approx(-0.0099)
    assert high == pytest.approx(0.0099)
    assert [text.get_text().split() for text in axes.texts] == [
        ["0.7012"],
        ["-0.0050", "0.6962"],
        ["+0.0010", "0.7022"],
    ]
    assert [label.get_text() for label in axes.get_yticklabels()] == [row.name for row in ROWS]
    assert axes.get_xlabel() == (
        "difference of nDCG@10 from that of the right way, 0.7012; lines: 95 %"
    )


def test_a_chart_without_differences_or_numbers_is_drawn(tmp_path: Path) -> None:
    nan = float("nan")
    rows = [way("right", nan, None), way("no prompt", nan, ScoreDifference(nan, nan, nan))]
    save_chart(rows, "", tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    save_chart(ROWS[:1], "", tmp_path / "chart.pdf")
    assert (tmp_path / "chart.pdf").read_bytes().startswith(b"%PDF")
