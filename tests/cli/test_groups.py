from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from taskembed.cli.options.grouping import with_groups


@dataclass(frozen=True, slots=True)
class Size:
    """A group of two options."""

    width: Annotated[int, typer.Option("--width", envvar="SIZE_WIDTH")] = 3
    height: Annotated[int | None, typer.Option("--height")] = None


@with_groups
def draw(name: Annotated[str, typer.Argument()], *, loud: bool = False, size: Size) -> int:
    """Draw a rectangle."""
    print(name, loud, size)
    return 0


def run(*arguments: str) -> object:
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(draw)
    return app(list(arguments), standalone_mode=False)


def test_a_command_gets_the_options_of_a_group_as_one_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("box", "--width", "5", "--loud")
    assert capsys.readouterr().out == "box True Size(width=5, height=None)\n"


def test_the_defaults_of_a_group_are_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    run("box")
    assert capsys.readouterr().out == "box False Size(width=3, height=None)\n"


def test_an_option_of_a_group_is_taken_from_its_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIZE_WIDTH", "7")
    run("box", "--height", "2")
    assert capsys.readouterr().out == "box False Size(width=7, height=2)\n"


def test_a_signature_has_the_options_where_the_group_was() -> None:
    assert list(inspect.signature(draw).parameters) == ["name", "loud", "width", "height"]
    assert draw.__doc__ == "Draw a rectangle."


def test_two_options_of_one_name_are_refused() -> None:
    def twice(width: int, *, size: Size) -> int:
        return width + size.width

    with pytest.raises(ValueError, match="duplicate parameter name: 'width'"):
        with_groups(twice)
