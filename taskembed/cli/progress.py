"""Progress on stderr: a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from taskembed.cli.output import message

LINE_EVERY_SECONDS = 30.0


@contextmanager
def progress(*, quiet: bool, unit: str = "documents") -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many were done so far."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar(unit) as update:
            yield update
    else:
        yield _lines(unit)


@contextmanager
def _bar(unit: str) -> Iterator[Callable[[int], None]]:
    from tqdm import tqdm  # 0.05 s

    with tqdm(unit=f" {unit}", unit_scale=True, file=sys.stderr, leave=False) as bar:
        yield lambda count: bar.update(count - bar.n) and None


def _lines(unit: str) -> Callable[[int], None]:
    started = last = time.monotonic()

    def update(count: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_EVERY_SECONDS:
            last = now
            rate = count / (now - started)
            message(f"{time.strftime('%H:%M:%S')} {count:,} {unit}, {rate:,.1f} a second")

    return update
