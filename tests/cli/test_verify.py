"""`taskembed verify`."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Run


def test_verify_says_that_all_is_well(run: Run, indexed: Path) -> None:
    done = run("verify", "--index", indexed)
    assert (done.code, done.out) == (0, "generation 1: 5 files are as they were written\n")
