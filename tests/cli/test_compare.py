"""`taskembed compare`: runs on the same queries, and a test of their difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.judged import RELEVANT
from tests.conftest import Run


def test_runs_are_compared(run: Run, beir: Path, tmp_path: Path) -> None:
    good = "".join(f"{query} Q0 {name} 1 1.0 a\n" for query, name in RELEVANT.items())
    bad = "".join(
        f"{query} Q0 x 1 1.0 b\n{query} Q0 {name} 2 0.5 b\n" for query, name in RELEVANT.items()
    )
    (tmp_path / "good.run").write_text(good)
    (tmp_path / "bad.run").write_text(bad)
    done = run("compare", beir / "qrels.tsv", tmp_path / "bad.run", tmp_path / "good.run", "--json")
    assert done.code == 0, done.err
    rows: Any = done.json
    assert [Path(row["run"]).name for row in rows] == ["bad.run", "good.run"]
    assert rows[0]["p"] is None
    assert rows[1]["difference"] == pytest.approx(1 - 1 / np.log2(3))
    assert rows[1]["p"] == pytest.approx(0.25)
    table = run("compare", beir / "qrels.tsv", tmp_path / "bad.run", tmp_path / "good.run").out
    assert table.splitlines()[0].split() == [
        *("run", "nDCG@10", "R@100", "RR@10", "AP", "difference", "95", "%", "p")
    ]
    assert table.splitlines()[2].split()[-1] == "0.2500"


def test_one_query_is_compared_without_a_test(run: Run, tmp_path: Path) -> None:
    (tmp_path / "qrels.tsv").write_text("q1\tfox\t1\n")
    (tmp_path / "good.run").write_text("q1 Q0 fox 1 1.0 a\n")
    (tmp_path / "bad.run").write_text("q1 Q0 dog 1 1.0 a\n")
    files = (tmp_path / "qrels.tsv", tmp_path / "good.run", tmp_path / "bad.run")
    done = run("compare", *files, "--json")
    assert done.code == 0, done.err
    rows: Any = done.json
    assert (rows[1]["difference"], rows[1]["interval"], rows[1]["p"]) == (-1, [None, None], None)
    assert run("compare", *files).out.splitlines()[2].split()[-1] == "-1.0000"
    done = run("compare", tmp_path / "qrels.tsv", tmp_path / "bad.run")
    assert "note: no relevant document is among the hits: are the ids the same?" in done.err
    (tmp_path / "bad.run").write_text("q1 Q0 dog 1 nan a\n")
    done = run("compare", *files)
    assert done.code == 65
    assert f"{tmp_path}/bad.run:1: the score is not a number: 'nan'" in done.err
    (tmp_path / "bad.run").write_text("q1 Q0 dog 1 2 a\nq1 Q0 dog 2 1 a\n")
    done = run("compare", *files)
    assert done.code == 65
    assert f"{tmp_path}/bad.run:2: 'dog' is listed twice for 'q1'" in done.err
