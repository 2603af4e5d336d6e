from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from taskembed.errors import (
    AccessDeniedError,
    IndexBusyError,
    IndexDamagedError,
    NewerFormatError,
    NotFoundError,
    StorageError,
    TaskembedError,
)
from taskembed.index.disk.files import (
    Damage,
    StoredFile,
    file_damage,
    open_file,
    read_file,
    stream_damage,
)
from taskembed.index.disk.generations import Check, open_newest, read_newest, verify
from taskembed.index.disk.manifests import (
    Snapshot,
    generations_of,
    manifest_bytes,
    manifest_name,
    read_manifest,
)

VERIFY_HINT = (
    "`taskembed verify` lists what is damaged; restore the folder from a copy, "
    "or index again with --recreate"
)


def put_file(folder: Path, name: str, data: bytes = b"data") -> StoredFile:
    (folder / name).write_bytes(data)
    return StoredFile(name, len(data), zlib.crc32(data))


def put_manifest(folder: Path, generation: int, *files: StoredFile) -> Path:
    snapshot = Snapshot(generation, {file.name: file for file in files}, {"n": generation})
    path = folder / manifest_name(generation)
    path.write_bytes(manifest_bytes(snapshot))
    return path


def signed(text: str) -> bytes:
    """Return a manifest of that text whose checksum is right."""
    return text.encode() + b"#crc32 %08x\n" % zlib.crc32(text.encode())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_manifest_is_json_and_a_last_line_with_its_checksum() -> None:
    snapshot = Snapshot(7, {"seg-00000007.db": StoredFile("seg-00000007.db", 4, 99)}, {"a": 1})
    lines = manifest_bytes(snapshot).splitlines(keepends=True)
    assert json.loads(b"".join(lines[:-1])) == {
        "format": 2,
        "features": ["rabitq"],
        "generation": 7,
        "files": [{"name": "seg-00000007.db", "size": 4, "crc32": 99}],
        "body": {"a": 1},
    }
    assert lines[-1] == b"#crc32 %08x\n" % zlib.crc32(b"".join(lines[:-1]))


def test_a_generation_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = put_file(tmp_path, "seg-00000003.db")
    put_manifest(tmp_path, 3, file)
    assert read_newest(tmp_path) == Snapshot(3, {"seg-00000003.db": file}, {"n": 3})


def test_the_newest_of_several_generations_is_read(tmp_path: Path) -> None:
    for generation in (9, 11, 10):
        put_manifest(tmp_path, generation)
    assert read_newest(tmp_path).generation == 11


def test_generations_are_numbers_and_other_names_are_none() -> None:
    names = ["manifest-00000010.json", "manifest-00000009.json", "manifest-9.json", "LOCK"]
    assert generations_of([*names, "manifest-00000011.json.tmp"]) == [9, 10]


@pytest.mark.parametrize("name", [None, "LOCK", "manifest-00000000.json.tmp"])
def test_a_folder_in_which_nothing_was_committed_is_no_index(
    tmp_path: Path, name: str | None
) -> None:
    if name:
        (tmp_path / name).touch()
    with pytest.raises(NotFoundError) as caught:
        read_newest(tmp_path)
    assert caught.value.message == f"no index at {tmp_path}"
    assert caught.value.hint == (
        f"create one: taskembed index CORPUS --task retrieval --index {tmp_path}"
    )


def test_no_folder_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        read_newest(tmp_path / "absent")
    assert caught.value.message == f"no index at {tmp_path / 'absent'}"


def test_a_file_is_no_index(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotFoundError) as caught:
        read_newest(tmp_path / "file")
    assert caught.value.message == f"{tmp_path / 'file'}: Not a directory"


@pytest.mark.parametrize("name", ["seg-00000001.db", "del-00000002-00000001.bin"])
def test_files_without_any_manifest_are_damage(tmp_path: Path, name: str) -> None:
    put_file(tmp_path, name)
    with pytest.raises(IndexDamagedError) as caught:
        read_newest(tmp_path)
    assert caught.value.message == (
        f"the index is damaged: {tmp_path}: it has files of an index, but no manifest"
    )
    assert caught.value.hint == "restore the folder from a copy, or delete it and index again"


def test_a_manifest_without_its_last_line_is_damaged(tmp_path: Path) -> None:
    path = put_manifest(tmp_path, 0)
    path.write_bytes(path.read_bytes()[:-16])
    with pytest.raises(IndexDamagedError) as caught:
        read_newest(tmp_path)
    assert caught.value.message == f"the index is damaged: {path}: its checksum does not match"
    assert caught.value.hint == VERIFY_HINT


def test_a_flipped_bit_in_any_byte_of_a_manifest_is_damage(tmp_path: Path) -> None:
    path = put_manifest(tmp_path, 5, put_file(tmp_path, "seg-00000005.db"))
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in (0x01, 0x20, 0x80):
            damaged = bytearray(whole)
            damaged[position] ^= bit
            path.write_bytes(damaged)
            with pytest.raises(IndexDamagedError, match="its checksum does not match"):
                read_newest(tmp_path)


def test_a_manifest_cut_at_any_byte_is_damage(tmp_path: Path) -> None:
    path = put_manifest(tmp_path, 5, put_file(tmp_path, "seg-00000005.db"))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(IndexDamagedError, match="its checksum does not match"):
            read_newest(tmp_path)


def test_bytes_after_a_manifest_are_damage(tmp_path: Path) -> None:
    path = put_manifest(tmp_path, 5)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(IndexDamagedError, match="its checksum does not match"):
        read_newest(tmp_path)


def test_the_manifest_of_another_generation_is_damage(tmp_path: Path) -> None:
    put_manifest(tmp_path, 4).rename(tmp_path / manifest_name(6))
    with pytest.raises(IndexDamagedError) as caught:
        read_newest(tmp_path)
    assert caught.value.message == (
        f"the index is damaged: {tmp_path}/manifest-00000006.json: it is the manifest of "
        "generation 4"
    )


def test_damage_to_the_newest_manifest_is_not_hidden_by_the_one_before(tmp_path: Path) -> None:
    put_manifest(tmp_path, 1)
    put_manifest(tmp_path, 2).write_bytes(b"")
    with pytest.raises(IndexDamagedError, match=r"manifest-00000002\.json"):
        read_newest(tmp_path)
    assert read_manifest(tmp_path, 1).generation == 1


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [("format", 3, "format 3"), ("features", ["quantised", "zip"], "feature 'quantised'")],
)
def test_the_index_of_a_newer_taskembed_is_refused_and_left_alone(
    tmp_path: Path, key: str, value: object, what: str
) -> None:
    manifest = {"format": 1, "features": [], "generation": 0, "files": [], "body": {}, key: value}
    (tmp_path / manifest_name(0)).write_bytes(signed(json.dumps(manifest)))
    before = contents(tmp_path)
    with pytest.raises(NewerFormatError) as caught:
        read_newest(tmp_path)
    assert caught.value.message == (
        f"the index was written by a newer taskembed: {what} is unknown to this version"
    )
    assert caught.value.hint == "upgrade taskembed; nothing was changed"
    assert contents(tmp_path) == before


def test_a_newer_manifest_may_hold_anything_else(tmp_path: Path) -> None:
    newer = {"format": 9, "features": [], "generations": "as text"}
    (tmp_path / manifest_name(0)).write_bytes(signed(json.dumps(newer)))
    with pytest.raises(NewerFormatError, match="format 9 is unknown to this version"):
        read_newest(tmp_path)


def test_signed_text_that_is_not_json_is_damage(tmp_path: Path) -> None:
    (tmp_path / manifest_name(0)).write_bytes(signed("{not json"))
    with pytest.raises(IndexDamagedError, match=r"manifest-00000000\.json"):
        read_newest(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("features", None),
        ("files", None),
        ("files", [7]),
        ("files", [{"name": "seg-00000000.db", "size": "4", "crc32": 0}]),
        ("files", [{"name": [], "size": 4, "crc32": 0}]),
        ("files", [{"size": 4, "crc32": 0}]),
    ],
)
def test_a_signed_manifest_of_another_shape_is_damage(
    tmp_path: Path, key: str, value: object
) -> None:
    manifest = {"format": 1, "features": [], "generation": 0, "files": [], "body": {}, key: value}
    (tmp_path / manifest_name(0)).write_bytes(signed(json.dumps(manifest)))
    with pytest.raises(IndexDamagedError, match=r"manifest-00000000\.json"):
        read_newest(tmp_path)


@pytest.mark.parametrize("key", ["format", "features", "generation", "files", "body"])
def test_a_signed_manifest_without_a_field_is_damage(tmp_path: Path, key: str) -> None:
    manifest = {"format": 1, "features": [], "generation": 0, "files": [], "body": {}}
    del manifest[key]
    (tmp_path / manifest_name(0)).write_bytes(signed(json.dumps(manifest)))
    with pytest.raises(IndexDamagedError, match=r"manifest-00000000\.json"):
        read_newest(tmp_path)


@pytest.mark.parametrize("text", ["null", "[]", "7", "[" * 100_000])
def test_a_signed_manifest_that_is_no_object_is_damage(tmp_path: Path, text: str) -> None:
    (tmp_path / manifest_name(0)).write_bytes(signed(text))
    with pytest.raises(IndexDamagedError, match=r"manifest-00000000\.json"):
        read_newest(tmp_path)


def test_a_file_that_is_as_written_has_no_damage(tmp_path: Path) -> None:
    assert file_damage(tmp_path, put_file(tmp_path, "seg-00000001.db")) is None


def test_damage_is_named_by_what_differs(tmp_path: Path) -> None:
    file = put_file(tmp_path, "seg-00000001.db", b"x" * 1234)
    path = tmp_path / file.name
    path.write_bytes(b"x" * 1000)
    assert file_damage(tmp_path, file) == Damage(file.name, "it has 1,000 bytes instead of 1,234")
    path.write_bytes(b"y" + b"x" * 1233)
    assert file_damage(tmp_path, file) == Damage(file.name, "its checksum does not match")
    path.unlink()
    assert file_damage(tmp_path, file) == Damage(file.name, "it is missing")
    path.mkdir()
    assert file_damage(tmp_path, file) == Damage(file.name, "it is not a file")


def test_verify_lists_every_bad_file_of_the_newest_generation(tmp_path: Path) -> None:
    good = put_file(tmp_path, "seg-00000001.db")
    cut = put_file(tmp_path, "seg-00000002.db")
    gone = put_file(tmp_path, "seg-00000003.db")
    flipped = put_file(tmp_path, "seg-00000004.db")
    put_manifest(tmp_path, 8, StoredFile("seg-00000000.db", 1, 1))
    put_manifest(tmp_path, 9, good, cut, gone, flipped)
    (tmp_path / cut.name).write_bytes(b"da")
    (tmp_path / gone.name).unlink()
    (tmp_path / flipped.name).write_bytes(b"dat!")
    snapshot, damages = verify(tmp_path)
    assert snapshot.generation == 9
    assert damages == [
        Damage("seg-00000002.db", "it has 2 bytes instead of 4"),
        Damage("seg-00000003.db", "it is missing"),
        Damage("seg-00000004.db", "its checksum does not match"),
    ]


def test_an_open_file_gives_its_bytes_also_when_it_was_removed(tmp_path: Path) -> None:
    file = put_file(tmp_path, "seg-00000001.faiss", b"0123456789")
    with open_file(tmp_path, file) as stream:
        (tmp_path / file.name).unlink()
        assert bytes(read_file(tmp_path, file, stream)) == b"0123456789"
        assert bytes(read_file(tmp_path, file, stream)) == b"0123456789"


def test_a_file_of_another_size_is_not_opened(tmp_path: Path) -> None:
    file = put_file(tmp_path, "seg-00000001.faiss", b"0123456789")
    (tmp_path / file.name).write_bytes(b"0123")
    with pytest.raises(IndexDamagedError) as caught:
        open_file(tmp_path, file)
    assert caught.value.message == (
        f"the index is damaged: {tmp_path}/seg-00000001.faiss: it has 4 bytes instead of 10"
    )
    assert caught.value.hint == VERIFY_HINT


def test_a_file_with_another_checksum_is_not_read(tmp_path: Path) -> None:
    file = put_file(tmp_path, "seg-00000001.faiss", b"0123456789")
    (tmp_path / file.name).write_bytes(b"0123456780")
    with (
        open_file(tmp_path, file) as stream,
        pytest.raises(IndexDamagedError, match=r"faiss: its checksum does not match$"),
    ):
        read_file(tmp_path, file, stream)


def test_a_file_that_shrinks_after_it_was_opened_is_damage(tmp_path: Path) -> None:
    file = put_file(tmp_path, "seg-00000001.faiss", b"\0" * 10)
    with open_file(tmp_path, file) as stream:
        os.truncate(tmp_path / file.name, 5)
        with pytest.raises(IndexDamagedError, match="its checksum does not match"):
            read_file(tmp_path, file, stream)


def test_a_file_that_is_not_there_is_for_the_caller_to_judge(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path, StoredFile("seg-00000001.faiss", 1, 1))


def test_the_newest_is_opened_again_when_a_writer_removed_its_files(tmp_path: Path) -> None:
    put_manifest(tmp_path, 1)
    tried = []

    def opened(snapshot: Snapshot) -> str:
        tried.append(snapshot.generation)
        if snapshot.generation < 3:
            put_manifest(tmp_path, snapshot.generation + 1)
            raise FileNotFoundError(2, "gone", "seg-00000001.db")
        return "open"

    assert open_newest(tmp_path, opened) == "open"
    assert tried == [1, 2, 3]


def test_a_missing_file_is_damage_when_there_is_no_newer_generation(tmp_path: Path) -> None:
    put_manifest(tmp_path, 1)
    tried = []

    def opened(snapshot: Snapshot) -> str:
        tried.append(snapshot.generation)
        raise FileNotFoundError(2, "gone", str(tmp_path / "seg-00000001.db"))

    with pytest.raises(IndexDamagedError) as caught:
        open_newest(tmp_path, opened)
    assert tried == [1]
    assert caught.value.message == (
        f"the index is damaged: {tmp_path}/seg-00000001.db: it is missing"
    )


def test_opening_ends_however_fast_a_writer_is(tmp_path: Path) -> None:
    put_manifest(tmp_path, 0)
    tried = []

    def opened(snapshot: Snapshot) -> str:
        tried.append(snapshot.generation)
        put_manifest(tmp_path, snapshot.generation + 1)
        raise FileNotFoundError(2, "gone", str(tmp_path / "seg-00000001.db"))

    with pytest.raises(IndexBusyError) as caught:
        open_newest(tmp_path, opened, seconds=0.2)
    assert caught.value.message == (
        f"{tmp_path}: another process commits faster than the index can be opened here"
    )
    assert tried == list(range(len(tried)))
    assert len(tried) > 3


def test_opening_goes_on_beyond_any_count_of_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.index.disk.generations.time.sleep", lambda _seconds: None)
    put_manifest(tmp_path, 0)

    def opened(snapshot: Snapshot) -> int:
        if snapshot.generation < 12:
            put_manifest(tmp_path, snapshot.generation + 1)
            raise FileNotFoundError(2, "gone", "seg-00000001.db")
        return snapshot.generation

    assert open_newest(tmp_path, opened) == 12


def test_a_manifest_that_goes_after_it_was_listed_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_manifest(tmp_path, 1)
    listed = iter([["manifest-00000000.json"]])
    monkeypatch.setattr(
        "taskembed.index.disk.generations.names_in",
        lambda _: next(listed, ["manifest-00000001.json"]),
    )
    assert read_newest(tmp_path).generation == 1
    assert verify(tmp_path)[1] == []


def test_verify_reads_what_a_writer_removes_meanwhile(tmp_path: Path) -> None:
    file = put_file(tmp_path, "seg-00000001.db")
    put_manifest(tmp_path, 1, file)

    def remove(_: Snapshot) -> list[Check]:
        (tmp_path / file.name).unlink()
        return []

    assert verify(tmp_path, remove)[1] == []


def test_verify_with_few_file_handles_opens_one_file_at_a_time_and_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.index.disk.generations.allow_handles", lambda _count: False)
    names = [f"seg-{number:08d}.db" for number in range(1, 6)]
    put_manifest(tmp_path, 1, *(put_file(tmp_path, name) for name in names))
    opened: list[int] = []

    def read(folder: Path, file: StoredFile, stream: BinaryIO) -> Damage | None:
        opened.append(open_files(tmp_path))
        return stream_damage(folder, file, stream)

    def commit(snapshot: Snapshot) -> list[Check]:
        if snapshot.generation == 1:
            put_manifest(
                tmp_path, 2, *snapshot.files.values(), put_file(tmp_path, "seg-00000009.db")
            )
            (tmp_path / names[0]).unlink()
            put_manifest(tmp_path, 2, *(snapshot.files[name] for name in names[1:]))
        return []

    monkeypatch.setattr("taskembed.index.disk.generations.stream_damage", read)
    snapshot, damages = verify(tmp_path, commit)
    assert (snapshot.generation, damages) == (2, [])
    assert opened == [1] * 4
    (tmp_path / names[1]).unlink()
    assert verify(tmp_path)[1] == [Damage(names[1], "it is missing")]


def open_files(folder: Path) -> int:
    links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return sum(folder in path.parents for path in links)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.EMFILE, StorageError),
        (errno.ENFILE, StorageError),
        (errno.EIO, StorageError),
        (errno.ENOMEM, StorageError),
        (errno.EACCES, AccessDeniedError),
    ],
)
def test_what_the_system_does_not_give_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[TaskembedError]
) -> None:
    file = put_file(tmp_path, "seg-00000001.db")
    put_manifest(tmp_path, 1, file)
    real = os.open

    def refuse(path: str | Path, *arguments: int) -> int:
        if Path(path).name == file.name:
            raise OSError(code, os.strerror(code))
        return real(path, *arguments)

    monkeypatch.setattr(os, "open", refuse)
    for read in (lambda: verify(tmp_path), lambda: open_file(tmp_path, file)):
        with pytest.raises(kind) as caught:
            read()
        assert caught.value.message == f"{tmp_path / file.name}: {os.strerror(code)}"
        assert "--recreate" not in (caught.value.hint or "")
        if code == errno.EMFILE:
            assert "ulimit -n" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "file",
    [
        {"name": "../seg-00000001.db", "size": 4, "crc32": 0},
        {"name": "/etc/passwd", "size": 4, "crc32": 0},
        {"name": "seg-00000001.db\0", "size": 4, "crc32": 0},
        {"name": "LOCK", "size": 4, "crc32": 0},
        {"name": "seg-00000001.db", "size": 10**30, "crc32": 0},
        {"name": "seg-00000001.db", "size": -1, "crc32": 0},
        {"name": "seg-00000001.db", "size": 4, "crc32": 2**40},
    ],
    ids=lambda file: repr(file["name"]) + str(file["size"]),
)
def test_a_signed_manifest_that_names_what_cannot_be_is_damage(
    tmp_path: Path, file: dict[str, object]
) -> None:
    manifest = {"format": 1, "features": [], "generation": 0, "files": [file], "body": {}}
    (tmp_path / manifest_name(0)).write_bytes(signed(json.dumps(manifest)))
    with pytest.raises(IndexDamagedError, match=r"manifest-00000000\.json: "):
        read_newest(tmp_path)


def test_the_last_generation_that_has_eight_digits_is_damage(tmp_path: Path) -> None:
    put_manifest(tmp_path, 99_999_999)
    with pytest.raises(IndexDamagedError, match="the number of the generation is too large"):
        read_newest(tmp_path)


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


NO_FILES = [
    (Path.mkdir, "it is not a file"),
    (os.mkfifo, "it is not a file"),
    (link_to_itself, "Too many levels of symbolic links"),
]


@pytest.mark.parametrize(("make", "reason"), NO_FILES, ids=["folder", "pipe", "loop"])
def test_what_is_no_file_is_damage_and_nobody_waits_for_it(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    file = StoredFile("seg-00000001.db", 4, 0)
    make(tmp_path / file.name)
    assert file_damage(tmp_path, file) == Damage(file.name, reason)
    with pytest.raises(IndexDamagedError) as caught:
        open_file(tmp_path, file)
    assert caught.value.message == f"the index is damaged: {tmp_path / file.name}: {reason}"
    make(tmp_path / manifest_name(0))
    with pytest.raises(IndexDamagedError) as caught:
        read_newest(tmp_path)
    assert caught.value.message == f"the index is damaged: {tmp_path / manifest_name(0)}: {reason}"


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (5, StorageError, "Input/output error"),
        (13, AccessDeniedError, "Permission denied"),
    ],
)
def test_what_the_operating_system_refuses_is_said_with_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type, reason: str
) -> None:
    put_manifest(tmp_path, 0)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(code, reason)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(kind) as caught:
        read_newest(tmp_path)
    assert str(caught.value) == f"{tmp_path}/manifest-00000000.json: {reason}"
