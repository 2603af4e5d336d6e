"""Values that need no conversion are left alone; all others are typer's business."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.main import get_command

from taskembed.cli.options.conversion import convert_quickly


class Color(Enum):
    RED = "red"
    BLUE = "blue"


def parsed(arguments: list[str]) -> dict[str, Any]:
    app = typer.Typer()
    given: dict[str, Any] = {}

    @app.command()
    def command(
        text: str,
        folder: Annotated[Path, typer.Option(file_okay=False)] = Path("folder"),
        count: Annotated[int, typer.Option(min=1)] = 3,
        color: Annotated[Color, typer.Option()] = Color.RED,
        names: Annotated[list[str] | None, typer.Option()] = None,
        flag: Annotated[bool, typer.Option("--flag")] = False,  # noqa: FBT002  # as typer reads it
    ) -> None:
        given.update(text=text, folder=folder, count=count, color=color, names=names, flag=flag)

    made: Any = get_command(app)
    convert_quickly(made.params)
    convert_quickly(made.params)  # nothing is wrapped twice
    made(arguments, standalone_mode=False)
    return given


def test_values_have_the_types_that_are_declared(tmp_path: Path) -> None:
    assert parsed(["one"]) == {
        "text": "one",
        "folder": Path("folder"),
        "count": 3,
        "color": Color.RED,
        "names": None,
        "flag": False,
    }
    words = ["one", "--count", "5", "--color", "blue", "--names", "a", "--names", "b", "--flag"]
    assert parsed([*words, "--folder", str(tmp_path)]) == {
        "text": "one",
        "folder": tmp_path,
        "count": 5,
        "color": Color.BLUE,
        "names": ["a", "b"],
        "flag": True,
    }


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["one", "--count", "0"],
        ["one", "--count", "-5"],
        ["one", "--count", "x"],
        ["one", "--color", "green"],
        ["one", "--folder", __file__],
    ],
)
def test_values_that_are_wrong_are_still_refused(arguments: list[str]) -> None:
    with pytest.raises(
        Exception, match=r"(?i)missing|range|greater|integer|is not one of|is a file|red"
    ):
        parsed(arguments)
