"""What is read from the cache, and who may have written it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from taskembed.errors import StorageError
from taskembed.files import distrusted, own_folder, read_trusted, remember, remembered
from taskembed.files import write_atomically as write


@pytest.fixture
def umask(monkeypatch: pytest.MonkeyPatch) -> object:
    previous = os.umask(0)
    yield os.umask
    os.umask(previous)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a path one of another user, as far as this process can tell."""
    try:
        os.chown(path, 4321, -1)
    except PermissionError:
        owner = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)


@pytest.mark.parametrize(
    ("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0, 0o644, 0o755)]
)
@pytest.mark.usefixtures("umask")
def test_who_may_read_is_the_umasks_business_and_nobody_else_may_write(
    tmp_path: Path, mask: int, file: int, folder: int
) -> None:
    os.umask(mask)
    path = tmp_path / "a" / "cache" / "compiled" / "x"
    assert write(path, [b"1"])
    assert mode(path) == file
    assert [mode(place) for place in path.parents[:3]] == [folder] * 3


@pytest.mark.usefixtures("umask")
def test_the_users_own_cache_is_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    os.umask(0o022)
    assert write(own_folder() / "compiled" / "x", [b"1"])
    assert mode(own_folder()) == mode(own_folder() / "compiled") == 0o700
    assert mode(own_folder().parent) == 0o755


def test_what_root_wrote_another_user_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cache" / "compiled" / "x"
    write(path, [b"1"])
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 4321)
    found = read_trusted(path)
    assert (found is not None) == (owner == 0)


def test_what_is_read_can_be_written_to_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "compiled" / "x"
    write(path, [b"1"])
    found = read_trusted(path)
    assert found is not None  # OpenVINO copies what is read-only
    found[0] = ord("2")
    assert path.read_bytes() == b"1"


@pytest.mark.parametrize("place", ["cache", "cache/compiled", "cache/compiled/x"])
@pytest.mark.parametrize("how", ["another's", "group", "others"])
def test_what_another_user_could_have_written_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, how: str
) -> None:
    path = tmp_path / "cache" / "compiled" / "x"
    write(path, [b"1"])
    assert bytes(read_trusted(path) or b"") == b"1"
    changed = tmp_path / place
    if how == "another's":
        give_away(changed, monkeypatch)
    else:
        changed.chmod(mode(changed) | (stat.S_IWGRP if how == "group" else stat.S_IWOTH))
    assert read_trusted(path) is None
    if changed.is_dir():
        why = "belongs to another user" if how == "another's" else "can be written by other users"
        assert distrusted(path.parent) == f"{changed} {why}"
        assert not write(path.with_name("y"), [b"2"])
        assert [item.name for item in path.parent.iterdir()] == ["x"]
    else:
        assert write(path, [b"2"])  # made again, and ours
        assert bytes(read_trusted(path) or b"") == b"2"


def test_in_a_folder_as_tmp_nobody_can_change_what_is_ours(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    assert write(tmp_path / "tmp" / "compiled" / "x", [b"1"])
    assert read_trusted(tmp_path / "tmp" / "compiled" / "x") is not None


def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("pipe", "folder", "empty", "loop", "absent"):
        assert read_trusted(tmp_path / name) is None, name


def test_too_few_file_handles_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match="Too many open files"):
        read_trusted(tmp_path / "x")


def test_what_is_remembered_is_nothing_else(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert remembered(one) is None
    remember(one, "ab12")
    remember(two, "cd34")
    assert (remembered(one), remembered(two)) == ("ab12", "cd34")
    good = one.read_bytes()
    damages = [good[:size] for size in range(len(good))]
    damages += [
        good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :]
        for at in range(len(good))
        for bit in (1, 128)
    ]
    for damage in [*damages, good + b"\n", two.read_bytes(), b"ab12", b"\xff" * 100]:
        one.write_bytes(damage)
        assert remembered(one) is None, damage


def test_the_last_use_of_a_file_is_its_time(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write(path, [b"1"])
    os.utime(path, (1_000_000_000, 1_000_000_000))
    read_trusted(path)
    first = path.stat().st_mtime
    assert first > 1_700_000_000
    read_trusted(path)
    assert path.stat().st_mtime == first  # noted no more than once an hour


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, bool]] = []

    def sync(descriptor: int) -> None:
        seen.append((os.fstat(descriptor).st_size, (tmp_path / "a").exists()))

    monkeypatch.setattr(os, "fsync", sync)
    assert write(tmp_path / "a", [b"one", b"two"])
    assert seen == [(6, False)]
