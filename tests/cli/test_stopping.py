"""A signal stops a run when it is safe, wherever Python is when it comes.

Each program runs in a process of its own: a signal to the process of the tests could end it.
"""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

PRELUDE = """
import os, signal, sys, time, weakref
from taskembed.cli._process.stopping import Stopper
from taskembed.errors import StoppedError

def send(number):
    os.kill(os.getpid(), number)

def in_a_callback(call):
    '''Call where Python reports errors and does not raise them.'''
    class Watched:
        pass
    watched = Watched()
    reference = weakref.ref(watched, lambda _: call())
    del watched
    assert reference() is None
"""


def ran(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PRELUDE + dedent(program)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def lines_of(program: str) -> list[str]:
    """Return the lines that a program prints."""
    done = ran(program)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_signal_raises_and_the_handlers_are_restored() -> None:
    assert lines_of("""
        before = (signal.getsignal(signal.SIGTERM), sys.unraisablehook)
        try:
            with Stopper("go on"):
                send(signal.SIGTERM)
                print("not reached")
        except StoppedError as error:
            print(error, error.exit_code, error.hint)
        print((signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before)
    """) == ["stopped by SIGTERM 143 go on", "True"]


def test_a_signal_waits_for_the_end_of_what_must_not_be_interrupted() -> None:
    assert lines_of("""
        try:
            with Stopper() as stopper:
                with stopper.uninterrupted():
                    send(signal.SIGTERM)
                    print("this is completed")
                print("not reached")
        except StoppedError as error:
            print(error)
    """) == ["this is completed", "stopped by SIGTERM"]


def test_a_second_signal_ends_the_process_at_once() -> None:
    done = ran("""
        with Stopper() as stopper, stopper.uninterrupted():
            send(signal.SIGTERM)
            print("still there", flush=True)
            send(signal.SIGTERM)
            print("not reached")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (-15, "still there\n", "")


def test_a_signal_in_a_callback_is_raised_after_it() -> None:
    assert lines_of("""
        try:
            with Stopper():
                in_a_callback(lambda: send(signal.SIGINT))
                time.sleep(10)
                print("not reached")
        except StoppedError as error:
            print(error)
    """) == ["stopped by SIGINT"]


def test_it_waits_then_too() -> None:
    assert lines_of("""
        try:
            with Stopper() as stopper:
                in_a_callback(lambda: send(signal.SIGTERM))
                with stopper.uninterrupted():
                    time.sleep(0.1)
                    print("this is completed")
                print("not reached")
        except StoppedError as error:
            print(error)
    """) == ["this is completed", "stopped by SIGTERM"]


def test_a_run_that_ends_before_is_not_disturbed() -> None:
    assert lines_of("""
        with Stopper():
            in_a_callback(lambda: send(signal.SIGTERM))
        time.sleep(0.05)
        print("done")
    """) == ["done"]


def test_other_errors_in_callbacks_are_reported() -> None:
    assert lines_of("""
        sys.unraisablehook = lambda report: print(report.exc_type.__name__)
        with Stopper():
            in_a_callback(lambda: 1 / 0)
    """) == ["ZeroDivisionError"]
