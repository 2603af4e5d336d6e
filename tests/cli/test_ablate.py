"""`taskembed ablate`: what each wrong way costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.judged import ranks
from tests.conftest import Run


@pytest.mark.slow
def test_what_each_wrong_way_costs(
    run: Run, e5: str, beir: Path, cache: Path, tmp_path: Path
) -> None:
    words = ("ablate", beir, "--task", "retrieval", "--model", e5, "--precision", "fp32")
    done = run(*words, "--json", "--chart", tmp_path / "chart.svg")
    assert done.code == 0, done.err
    found: Any = done.json
    ways = {way["name"]: way for way in found["ways"]}
    assert list(ways) == [
        *("right", "no prompt", "swapped roles"),
        *("as similarity", "as classification", "as clustering"),
        *("words", "hybrid"),
    ]
    assert (ways["right"]["query_prompt"], ways["right"]["document_prompt"]) == (
        "query: ",
        "passage: ",
    )
    assert (ways["swapped roles"]["query_prompt"], ways["no prompt"]["query_prompt"]) == (
        "passage: ",
        "",
    )
    right = np.mean([1 / np.log2(rank + 1) for rank in ranks(cache)])
    swapped = np.mean([1 / np.log2(rank + 1) for rank in ranks(cache, swapped=True)])
    assert ways["right"]["values"]["nDCG@10"] == pytest.approx(right)
    assert ways["right"]["difference"] is None
    assert ways["swapped roles"]["values"]["nDCG@10"] == pytest.approx(swapped)
    assert ways["swapped roles"]["difference"] == pytest.approx(swapped - right)
    low, high = ways["swapped roles"]["interval"]
    assert low <= swapped - right <= high
    # E5 has one prompt for its symmetric tasks, so the second of them is computed no more
    assert ways["as classification"]["same_as"] == "as similarity"
    assert "left out: as code: intfloat/e5-small-v2 has no prompt for the task" in done.err
    chart = (tmp_path / "chart.svg").read_text()
    assert "<svg" in chart
    table = run(*words).out.splitlines()
    assert table[0].split()[:4] == ["way", "nDCG@10", "difference", "95"]
    assert table[1].split()[:2] == ["right", f"{right:.4f}"]


def test_a_chart_that_nobody_could_draw_is_refused_first(run: Run, beir: Path) -> None:
    done = run("ablate", beir, "--task", "retrieval", "--chart", "chart.txt")
    assert done.code == 2
    assert "chart.txt: the name of a chart must end in .png, .svg, .pdf" in done.err
