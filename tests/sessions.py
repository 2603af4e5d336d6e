"""Terminal sessions of the documentation: read from a page, run, and compared.

A session is a code block with the language `console`: a line that begins with "$ " is typed, the
lines after it are what the terminal shows.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.conftest import Run

SCORE_DIFFERENCE = 0.02  # processors compute scores and measures differently: bf16, or fp32
_BLOCK = re.compile(r"^```console\n(.+?)^```", re.MULTILINE | re.DOTALL)
_SCORE = re.compile(r"-?\d+\.\d{4,}")


class Step(NamedTuple):
    """One line that is typed, and the lines that the terminal shows for it."""

    typed: str
    shown: str


def steps(page: Path) -> list[Step]:
    """Return the steps of all sessions on a page, in their order."""
    found: list[Step] = []
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            typed, _, shown = part.partition("\n")
            found.append(Step(typed, shown))
    return found


def play(page: Path, run: Run) -> int:
    """Run every step of a page in the current folder, compare, and return how many there were."""
    code = 0
    played = steps(page)
    for step in played:
        if step.typed.startswith("taskembed "):
            code, printed = _taskembed(shlex.split(step.typed)[1:], run)
        else:
            command = step.typed.replace("$?", str(code))
            done = subprocess.run(
                ["/bin/sh", "-c", command], capture_output=True, text=True, check=True
            )
            printed = done.stdout
        assert words(printed) == words(step.shown), step.typed
        for ours, theirs in zip(scores(printed), scores(step.shown), strict=True):
            assert abs(ours - theirs) < SCORE_DIFFERENCE, step.typed
    return len(played)


def _taskembed(arguments: list[str], run: Run) -> tuple[int, str]:
    """Return the exit code and what a terminal shows: results and errors, but no notes."""
    if arguments[0] in {"search", "similar"} and not {"--format", "--json"} & set(arguments):
        arguments = [*arguments, "--format", "table"]  # as a terminal does
    done = run(*arguments)
    errors = [
        line
        for line in done.err.splitlines(keepends=True)
        if line.startswith(("taskembed: error: ", "taskembed: hint: "))
    ]
    return done.code, done.out + "".join(errors)


def words(text: str) -> str:
    """Return a text without its scores."""
    return _SCORE.sub("SCORE", text).rstrip("\n")


def scores(text: str) -> list[float]:
    """Return the scores in a text."""
    return [float(score) for score in _SCORE.findall(text)]
