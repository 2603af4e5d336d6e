"""Which outputs are streams, and which are files that a new one replaces."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskembed.outputs import is_stream, resolved


def test_pipes_devices_and_open_files_are_streams(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "open").open("w") as stream:
        assert is_stream(Path(f"/dev/fd/{stream.fileno()}"))
        assert is_stream(Path(f"/proc/self/fd/{stream.fileno()}"))
    assert is_stream(tmp_path / "pipe")
    assert is_stream(Path("/dev/null"))


def test_files_and_folders_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert not is_stream(tmp_path / "file")
    assert not is_stream(tmp_path / "new")
    assert not is_stream(tmp_path)


def test_links_that_point_back_to_themselves_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to("file")
    assert resolved(tmp_path / "link") == tmp_path / "file"
    assert resolved(tmp_path / "loop").parent == tmp_path
    assert not is_stream(tmp_path / "loop" / "file")


MEMORY = Path("/dev", "shm")


@pytest.mark.skipif(not MEMORY.is_dir(), reason="this system has no /dev/shm")
def test_a_file_in_memory_is_a_file() -> None:
    assert not is_stream(MEMORY / "taskembed-test")
