"""Requests that wait, take long, are cancelled, or are too many."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from taskembed.errors import IndexBusyError
from taskembed.server._workers import Workers


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def test_an_answer_is_what_the_work_returns_or_raises() -> None:
    async def ask() -> None:
        workers = Workers()
        assert await workers.run(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 // 0)
        workers.close()

    asyncio.run(ask())


def test_work_that_takes_too_long_is_an_error(gate: threading.Event) -> None:
    async def ask() -> None:
        workers = Workers(1, seconds=0.02)
        with pytest.raises(IndexBusyError, match=r"more than 0\.02 s"):
            await workers.run(gate.wait)
        gate.set()
        assert await workers.run(lambda: 7) == 7
        workers.close()

    asyncio.run(ask())


def test_too_many_requests_are_refused_until_some_are_done(gate: threading.Event) -> None:
    async def ask() -> None:
        workers = Workers(1, waiting=2)
        waiting = [asyncio.create_task(workers.run(gate.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(IndexBusyError, match="2 requests are already running or waiting"):
            await workers.run(lambda: 7)
        gate.set()
        assert await asyncio.gather(*waiting) == [True, True]
        await asyncio.sleep(0)
        assert await workers.run(lambda: 7) == 7
        workers.close()

    asyncio.run(ask())


def test_a_request_that_is_cancelled_while_it_waits_never_runs(gate: threading.Event) -> None:
    ran: list[int] = []

    async def ask() -> None:
        workers = Workers(1)
        first = asyncio.create_task(workers.run(gate.wait))
        second = asyncio.create_task(workers.run(lambda: ran.append(2)))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.sleep(0.01)
        gate.set()
        assert await first
        workers.close()

    asyncio.run(ask())
    assert ran == []
