"""What every test of the server gets: its indexes are closed at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.support import OPENED


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()
