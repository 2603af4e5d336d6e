"""A signal stops a run when it is safe, wherever Python is when it comes."""

from __future__ import annotations

import os
import signal
import sys
import time
import weakref
from collections.abc import Callable

import pytest

from taskembed.cli._process.stopping import Stopper
from taskembed.errors import StoppedError


def test_a_signal_raises_and_the_handlers_are_restored() -> None:
    before = (signal.getsignal(signal.SIGTERM), sys.unraisablehook)
    with pytest.raises(StoppedError, match="stopped by SIGTERM") as caught, Stopper("go on"):
        os.kill(os.getpid(), signal.SIGTERM)
    assert (caught.value.exit_code, caught.value.hint) == (143, "go on")
    assert (signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before


def test_a_signal_waits_for_the_end_of_what_must_not_be_interrupted() -> None:
    done = []

    def run() -> None:
        with Stopper() as stopper:
            with stopper.uninterrupted():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append(1)
            done.append(2)

    with pytest.raises(StoppedError):
        run()
    assert done == [1]


def in_a_callback(call: Callable[[], object]) -> None:
    """Call where Python reports errors and does not raise them."""

    class Watched:
        pass

    watched = Watched()
    reference = weakref.ref(watched, lambda _: call())
    del watched
    assert reference() is None


def test_a_signal_in_a_callback_is_raised_after_it(capfd: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        with Stopper():
            in_a_callback(lambda: os.kill(os.getpid(), signal.SIGINT))
            time.sleep(10)

    with pytest.raises(StoppedError, match="stopped by SIGINT"):
        run()
    assert not capfd.readouterr().err


def test_it_waits_then_too() -> None:
    done = []

    def run() -> None:
        with Stopper() as stopper:
            in_a_callback(lambda: os.kill(os.getpid(), signal.SIGTERM))
            with stopper.uninterrupted():
                time.sleep(0.1)
                done.append(1)

    with pytest.raises(StoppedError):
        run()
    assert done == [1]


def test_a_run_that_ends_before_is_not_disturbed() -> None:
    with Stopper():
        in_a_callback(lambda: os.kill(os.getpid(), signal.SIGTERM))
    time.sleep(0.05)


def test_other_errors_in_callbacks_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: said.append(report.exc_type))
    with Stopper():
        in_a_callback(lambda: 1 / 0)
    assert said == [ZeroDivisionError]
