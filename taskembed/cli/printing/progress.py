"""Shows progress on stderr: one line that is updated on a terminal, one line a minute elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from taskembed.activity import Step, looking_on
from taskembed.cli.printing.log import LOG
from taskembed.cli.printing.output import STATUS, log, message
from taskembed.english import counted

TICK_SECONDS = 0.2
LONG_SECONDS = 2.0  # a step is shown after this time
LINE_EVERY_SECONDS = 60.0  # between lines if stderr is not a terminal
RATE_SECONDS = 30.0  # the period over which the rate is averaged
BAR_CELLS = 20


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[None]:
    """Show long steps within a context; with `quiet`, only in the log file."""
    if quiet and not LOG.is_open:
        yield
        return
    with looking_on() as steps:
        display = Display(steps, is_terminal=_is_terminal(), is_quiet=quiet)
        ended = threading.Event()

        def show() -> None:
            while not ended.wait(TICK_SECONDS):
                display.tick(time.monotonic())

        thread = threading.Thread(target=show, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            STATUS.draw("")


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except ValueError:  # stderr was closed
        return False


class Display:
    """Displays the current steps: on a terminal or as lines, and as lines in the log file."""

    def __init__(self, steps: Sequence[Step], *, is_terminal: bool, is_quiet: bool = False) -> None:
        self._steps = steps
        self._is_quiet = is_quiet
        self._is_terminal = is_terminal
        self._began: dict[Step, float] = {}
        self._rates: dict[Step, Rate] = {}
        self._next_line: float | None = None
        self._waits_shown: set[str] = set()  # each wait is logged once, without delay

    def tick(self, now: float) -> None:
        """Show the steps at a time in seconds."""
        steps = list(self._steps)
        self._began = {step: self._began.get(step, now) for step in steps}
        self._rates = {step: self._rates.get(step) or Rate() for step in steps if step.unit}
        for step, rate in self._rates.items():
            rate.add(now, step)
        if self._next_line is None:
            self._next_line = now + LINE_EVERY_SECONDS
        long = [step for step in steps if now - self._began[step] >= LONG_SECONDS]
        if not self._is_quiet and self._is_terminal:
            is_shown = long and not steps[-1].shows_itself
            STATUS.draw(self._bar(long[0]) + self._text(long, now) if is_shown else "")
        if long and (now >= self._next_line or self._is_news(long[-1])):
            self._next_line = now + LINE_EVERY_SECONDS
            text = self._text(long, now)
            if self._is_quiet or self._is_terminal:
                log(text)
            else:
                message(f"{time.strftime('%H:%M:%S')} {text}", logged=text)

    def _is_news(self, step: Step) -> bool:
        if not step.waits_for_others or step.what in self._waits_shown:
            return False
        self._waits_shown.add(step.what)
        return True

    def _text(self, long: Sequence[Step], now: float) -> str:
        """Return the outermost step, and the innermost one."""
        shown = dict.fromkeys((long[0], long[-1]))
        return "; ".join(self._part(step, now) for step in shown)

    def _part(self, step: Step, now: float) -> str:
        seconds = now - self._began[step]
        rate = self._rates.get(step)
        if rate is None:
            return f"{step.what}, {duration(seconds)}"
        what = f"{step.what} " if step.what else ""
        of = f" of {step.total:,}" if step.total is not None else ""
        words = [f"{what}{step.done:,}{of} {step.unit}"]
        share = share_of(step)
        if share is not None and step.total is None:
            words.append(f"{share * 100:.0f} % of the input")
        if rate.a_second:
            words.append(f"{shown_rate(rate.a_second)} a second")
        left = rate.seconds_left
        words.append(f"{duration(seconds)}" if left is None else f"{duration(left)} left")
        if step.commits:
            words.append(counted(step.commits, "commit"))
        return ", ".join(words)

    def _bar(self, step: Step) -> str:
        share = share_of(step)
        if share is None:
            return ""
        full = int(share * BAR_CELLS)
        return f"[{'#' * full}{'.' * (BAR_CELLS - full)}] "


class Rate:
    """The rate of a step over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, float | None]] = deque()

    def add(self, now: float, step: Step) -> None:
        """Record the progress of a step at a time in seconds."""
        self._seen.append((now, step.done, share_of(step)))
        while len(self._seen) > 2 and now - self._seen[1][0] >= RATE_SECONDS:  # noqa: PLR2004
            self._seen.popleft()

    @property
    def a_second(self) -> float:
        """Units done per second."""
        (began, before, _), (now, done, _) = self._seen[0], self._seen[-1]
        return max(0, done - before) / (now - began) if now > began else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the step is done; None if unknown."""
        (began, _, before), (now, _, share) = self._seen[0], self._seen[-1]
        if before is None or share is None or share <= before:
            return None
        return (1 - share) * (now - began) / (share - before)


def share_of(step: Step) -> float | None:
    """Return the share of a step that is done, 0 to 1; None if unknown."""
    share = step.done / step.total if step.total else step.share
    return None if share is None else min(1.0, share)


def shown_rate(a_second: float) -> str:
    """Return a rate with its significant digits: "1,234", "0.4"."""
    return f"{a_second:,.0f}" if a_second >= 10 else f"{a_second:.1f}"  # noqa: PLR2004


def duration(seconds: float) -> str:
    """Return a duration for people: "42 s", "3 min", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 120:  # noqa: PLR2004  # seconds
        return f"{whole} s"
    minutes = round(whole / 60)
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours else f"{minutes} min"
