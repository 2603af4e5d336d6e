"""`taskembed delete`, and waiting for the lock."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.support import (
    start,
    wait_until_caught,
)
from tests.conftest import Run


def test_an_id_that_is_not_utf8_is_a_usage_error(run: Run, indexed: Path) -> None:
    done = run("delete", "\udcff", "--index", indexed)
    assert done.code == 2
    assert "the id '\\udcff' is not UTF-8, so no index has it" in done.err


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc here")
def test_waiting_for_the_lock_can_be_stopped(indexed: Path) -> None:
    from taskembed.index.disk.commit import open_writer

    with (
        open_writer(indexed),
        start("delete", "moon", "--index", indexed, "--wait", "60", cache=indexed) as process,
    ):
        wait_until_caught(process.pid, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143


@pytest.mark.parametrize("words", [("delete", "moon"), ("index", "-")])
def test_what_waits_for_the_lock_says_that_it_was_stopped(
    run: Run, indexed: Path, words: tuple[str, str]
) -> None:
    from taskembed.index.disk.commit import open_writer

    def stop(_seconds: float) -> None:
        # what the signal calls, without one: a real one could end the process of the tests
        handler = signal.getsignal(signal.SIGTERM)
        assert callable(handler)
        handler(signal.SIGTERM, None)

    with open_writer(indexed), pytest.MonkeyPatch.context() as patched:
        # of this module alone: another thread that sleeps must not be what raises the signal
        clock = SimpleNamespace(monotonic=time.monotonic, sleep=stop)
        patched.setattr("taskembed.index.disk._lock.time", clock)
        done = run(*words, "--index", indexed, "--wait", "60")
    assert done.code == 143
    assert "taskembed: error: stopped by SIGTERM\n" in done.err


def test_documents_are_deleted_by_id(run: Run, indexed: Path) -> None:
    done = run("delete", "moon", "sun", "--index", indexed)
    assert (done.code, done.out) == (1, "1 deleted\n")
    assert done.err == "taskembed: not in the index: 'sun'\n"
    found = run("search", "the moon", "--index", indexed, "--format", "ids").out.split()
    assert sorted(found) == ["bread", "soup", "tide"]
