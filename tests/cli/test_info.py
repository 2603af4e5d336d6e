"""`taskembed info`."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Run


def test_info_tells_the_space(run: Run, indexed: Path) -> None:
    value = run("info", "--index", indexed, "--json").json
    assert isinstance(value, dict)
    assert (value["documents"], value["segments"], value["generation"]) == (4, 1, 1)
    assert value["space"]["task"] == "retrieval"
    assert value["space"]["dim"] == 384
    assert value["made_by"]["engine"] == "fake"
    assert value["reading"] == {}
