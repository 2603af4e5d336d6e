"""The steps that the program is executing, which may be nested, for displays of progress.

    with doing("encoding", unit="texts", total=300) as step:
        ...
        step.done = 20

This module displays nothing, and stores steps only while there is an observer. The command line
observes from its own thread, so that it can show a step while it is running.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

_Sized = TypeVar("_Sized", bound=Sized)
_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class Step:
    """An operation that may take long.

    Attributes:
        what: the operation: "loading the model minilm"; "" if the count is enough.
        unit: the counted items, in the plural: "texts"; "" if nothing is counted.
        total: the final count; None if it is unknown.
        waits_for_others: whether the step waits for another process or a server.
        shows_itself: whether a library draws its own progress bar on a terminal.
        done: the count so far.
        share: the fraction done, 0 to 1, if it is known although `total` is not; else None.
        commits: the number of commits so far.
    """

    what: str
    unit: str = ""
    total: int | None = None
    waits_for_others: bool = False
    shows_itself: bool = False
    done: int = 0
    share: float | None = None
    commits: int = 0


_steps: ContextVar[list[Step] | None] = ContextVar("steps", default=None)


@contextmanager
def looking_on() -> Iterator[list[Step]]:
    """Yield the list of current steps, the outermost first; it changes as steps begin and end."""
    steps: list[Step] = []
    token = _steps.set(steps)
    try:
        yield steps
    finally:
        _steps.reset(token)


@contextmanager
def doing(
    what: str,
    *,
    unit: str = "",
    total: int | None = None,
    waits_for_others: bool = False,
    shows_itself: bool = False,
) -> Iterator[Step]:
    """Yield a step that lasts as long as the context; the caller updates `done` or `share`.

    The parameters are the attributes of `Step`.
    """
    step = Step(what, unit, total, waits_for_others, shows_itself)
    steps = _steps.get()
    if steps is not None:
        steps.append(step)
    try:
        yield step
    finally:
        if steps is not None:
            steps.remove(step)


def counted_texts(slices: Iterable[tuple[_Sized, _T]], total: int) -> Iterator[tuple[_Sized, _T]]:
    """Yield the slices of an encoder, and report the number of encoded texts as progress.

    Args:
        slices: pairs of positions of some texts and their vectors, as from `encode_slices`.
        total: number of texts in all slices.
    """
    with doing("encoding", unit="texts" if total > 1 else "", total=total) as step:
        for rows, encoded in slices:
            step.done += len(rows)
            yield rows, encoded
