"""The calls of the real file system that tests replace, or that tests cannot see the effect of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskembed.index.disk.fs import Fs, opened_folder


def test_syncing_a_file_or_a_folder_is_asked_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    fs = Fs()
    with opened_folder(tmp_path) as folder:
        descriptor = fs.open_new(folder, "a")
        fs.sync(descriptor)
        fs.sync_folder(folder)
        fs.close(descriptor)
        assert synced == [descriptor, folder.descriptor]
