"""What is being done at the moment, for whoever looks on: a step within a step.

    with doing("encoding", unit="texts", total=300) as step:
        ...
        step.done = 20

Nothing is shown here, and without an onlooker nothing is kept. The command line looks on from a
thread of its own, so that a step is seen to take long while it does.
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
    """Something that may take long.

    Attributes:
        what: it is: "loading the model minilm"; "" where the number of what is done says it.
        unit: of what is counted; "" when nothing is.
        total: how many there are; None when nobody knows.
        waits_for_others: for another process, or a server.
        shows_itself: on a terminal: a library draws its own bar.
        done: how many were done so far.
        share: 0 to 1, where it is known although `total` is not.
    """

    what: str
    unit: str = ""
    total: int | None = None
    waits_for_others: bool = False
    shows_itself: bool = False
    done: int = 0
    share: float | None = None


_steps: ContextVar[list[Step] | None] = ContextVar("steps", default=None)


@contextmanager
def looking_on() -> Iterator[list[Step]]:
    """Yield a list of what is being done, the outermost step first, that stays up to date."""
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
    """Yield a step that lasts as long as the context; whoever does it says how far it is."""
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
    """Yield what an encoder does of so many texts, and count them: each slice has their numbers."""
    with doing("encoding", unit="texts" if total > 1 else "", total=total) as step:
        for rows, encoded in slices:
            step.done += len(rows)
            yield rows, encoded
