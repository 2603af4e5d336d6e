"""Publishing an index to a real S3 server on loopback: what is sent, refused, and left by kills."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from taskembed.errors import (
    AccessDeniedError,
    IndexBusyError,
    IndexDamagedError,
    NotFoundError,
    SpaceMismatchError,
    UsageError,
)
from taskembed.index.contents import read_index
from taskembed.index.published import FILES, MANIFEST, is_key, read_published
from taskembed.index.update import identify
from taskembed.objects import Store, open_store
from taskembed.verbs.publish import publish_index
from tests.conftest import Run
from tests.indexing import Indexed
from tests.stores import Bucket

pytestmark = pytest.mark.slow  # the S3 server takes two seconds to start

WRITES = ("put", "upload", "put_if", "remove")  # of a store


class Killed(BaseException):
    """The process ends here."""


def killed_at(number: int, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> list[str]:
    """Let the next publish end before, or after, its write of this number; return its writes."""
    writes: list[str] = []

    def counting(method: str) -> Callable[..., Any]:
        real = getattr(Store, method)

        def write(store: Store, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            writes.append(method)
            if len(writes) == number and not after:
                raise Killed
            done = real(store, *arguments, **options)
            if len(writes) == number:
                raise Killed
            return done

        return write

    for method in WRITES:
        monkeypatch.setattr(Store, method, counting(method))
    return writes


def documents_at(bucket: Bucket, key: str = "index") -> int:
    """Return how many documents are published, once every file of theirs was found as named."""
    store = open_store(f"{bucket.address}/{key}")
    published = read_published(store)
    sizes = {found.name: found.size for found in store.listed()}
    for file in published.snapshot.files.values():
        name = f"{FILES}/{file.name}.{file.crc32:08x}.{file.size}"
        assert sizes[name] == file.size
    return published.contents.live.documents


def test_only_what_is_not_there_is_sent(indexed: Indexed, bucket: Bucket) -> None:
    address = f"{bucket.address}/index/"
    first = publish_index(indexed(3), address)
    assert (first.files_sent, first.files) == (5, 5)
    assert first.address == address
    again = publish_index(indexed(3), address)  # the run is remembered in a new manifest
    assert (again.files_sent, again.generation) == (0, first.generation + 1)
    assert 0 < again.bytes_sent < 4_000
    more = publish_index(indexed(5), address)
    assert (more.files_sent, more.files) == (5, 10)
    assert documents_at(bucket) == 5


def test_a_generation_that_is_published_is_not_sent_again(indexed: Indexed, bucket: Bucket) -> None:
    folder = indexed(3)
    publish_index(folder, f"{bucket.address}/index")
    again = publish_index(folder, f"{bucket.address}/index")
    assert (again.files_sent, again.bytes_sent) == (0, 0)


def test_a_file_that_was_lost_there_is_sent_again(indexed: Indexed, bucket: Bucket) -> None:
    folder = indexed(3)
    publish_index(folder, f"{bucket.address}/index")
    lost, cut = [key for key in bucket.keys if FILES in key][:2]
    bucket.delete(lost)
    bucket.write(cut, b"")
    assert publish_index(folder, f"{bucket.address}/index").files_sent == 2
    assert documents_at(bucket) == 3


def test_old_files_are_removed_when_no_kept_generation_names_them(
    indexed: Indexed, bucket: Bucket
) -> None:
    address, later = f"{bucket.address}/index", datetime.now(UTC) + timedelta(hours=49)
    bucket.write("index/notes.txt", b"of somebody else")
    counts = [
        publish_index(indexed(documents), address, now=later).files_removed
        for documents in range(1, 9)  # the eighth run merges eight segments into one
    ]
    assert counts == [0] * 8  # the generation before is kept
    assert len([key for key in bucket.keys if FILES in key]) == 8 * 5
    done = publish_index(indexed(8), address)
    assert done.files_removed == 0  # they are young
    assert publish_index(indexed(8), address, now=later).files_removed == 7 * 5
    assert documents_at(bucket) == 8
    assert "index/notes.txt" in bucket.keys


@pytest.mark.parametrize("after", [False, True])
def test_after_a_kill_at_any_write_the_old_or_the_new_generation_is_there(
    indexed: Indexed, bucket: Bucket, *, after: bool
) -> None:
    later = datetime.now(UTC) + timedelta(hours=49)
    oldest, folder = indexed(2, "other"), indexed(3)
    old = Path(shutil.copytree(folder, folder.with_name("old")))
    identify(old)
    shutil.rmtree(folder)
    shutil.copytree(old, folder)
    indexed(5)
    kills = 0
    for number in count(1):
        key = f"index-{number}"
        address = f"{bucket.address}/{key}"
        publish_index(oldest, address)  # its files are removed
        publish_index(old, address, recreate=True, now=later)
        with pytest.MonkeyPatch.context() as patched:
            killed_at(number, patched, after=after)
            try:
                publish_index(folder, address, now=later)
                break
            except Killed:
                kills += 1
        assert documents_at(bucket, key) in {3, 5}
        publish_index(folder, address, now=later)
        assert documents_at(bucket, key) == 5
    assert kills == 5 + 1 + 1  # files, the manifest, the removal
    assert documents_at(bucket, f"index-{kills + 1}") == 5


def test_a_killed_publish_is_continued(
    indexed: Indexed, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = f"{bucket.address}/index", indexed(3)
    with monkeypatch.context() as patched:
        killed_at(4, patched, after=True)
        with pytest.raises(Killed):
            publish_index(folder, address)
    with pytest.raises(NotFoundError):
        documents_at(bucket)
    assert publish_index(folder, address).files_sent == 1
    assert documents_at(bucket) == 3


def test_files_that_nothing_names_are_counted_on_for_a_day_only(
    indexed: Indexed, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = f"{bucket.address}/index", indexed(3)
    with monkeypatch.context() as patched:
        killed_at(5, patched, after=True)
        with pytest.raises(Killed):
            publish_index(folder, address)
    tomorrow = datetime.now(UTC) + timedelta(hours=25)  # another may be about to remove them
    assert publish_index(folder, address, now=tomorrow).files_sent == 5


def test_of_two_publishers_one_wins_and_the_other_is_told(
    indexed: Indexed, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = f"{bucket.address}/index", indexed(3)
    publish_index(folder, address)
    older = Path(shutil.copytree(indexed(4), folder.with_name("older")))
    indexed(6)
    real = Store.put_if

    def overtaken(store: Store, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        monkeypatch.setattr(Store, "put_if", real)
        publish_index(folder, address)  # after the other has read the manifest
        real(store, *arguments, **options)

    monkeypatch.setattr(Store, "put_if", overtaken)
    with pytest.raises(IndexBusyError) as caught:
        publish_index(older, address)
    assert caught.value.message == (
        f"{address}: another process published there at the same time, and this one did not"
    )
    assert documents_at(bucket) == 6


def test_a_put_whose_answer_was_lost_has_succeeded(
    indexed: Indexed, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Store.put_if

    def twice(store: Store, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        real(store, *arguments, **options)
        real(store, *arguments, **options)

    monkeypatch.setattr(Store, "put_if", twice)
    publish_index(indexed(3), f"{bucket.address}/index")
    assert documents_at(bucket) == 3


def test_another_index_is_not_replaced_unasked(indexed: Indexed, bucket: Bucket) -> None:
    address = f"{bucket.address}/index"
    publish_index(indexed(3), address)
    other = indexed(2, "other")
    with pytest.raises(SpaceMismatchError, match="another index of 3 documents is published"):
        publish_index(other, address)
    assert not read_index(other)[1].identity  # nothing was written to it
    clusters = indexed(2, "clusters", task="clustering")
    with pytest.raises(SpaceMismatchError, match="not the embedding space of the index") as caught:
        publish_index(clusters, address)
    assert caught.value.message.startswith(f"{address}: this is not")
    assert caught.value.hint == (
        "to replace what is published there: taskembed publish ADDRESS --recreate"
    )
    assert documents_at(bucket) == 3
    publish_index(clusters, address, recreate=True)
    assert documents_at(bucket) == 2


def test_a_newer_generation_is_not_replaced_by_an_older_one(
    indexed: Indexed, bucket: Bucket
) -> None:
    address, folder = f"{bucket.address}/index", indexed(3)
    publish_index(folder, address)
    copy = Path(shutil.copytree(folder, folder.with_name("copy")))
    publish_index(indexed(4), address)
    with pytest.raises(SpaceMismatchError, match="a newer generation of this index is published"):
        publish_index(copy, address)
    indexed(7, "copy")  # the same number, with other documents
    with pytest.raises(SpaceMismatchError, match="another generation of this index is published"):
        publish_index(copy, address)
    assert documents_at(bucket) == 4


def test_a_view_can_be_added_to_what_is_published_and_not_dropped(
    indexed: Indexed, bucket: Bucket, run: Run
) -> None:
    address, folder = f"{bucket.address}/index", indexed(3)
    publish_index(folder, address)
    assert run("index", "--add-view", "clustering", "--index", folder, "-q").code == 0
    publish_index(folder, address)
    assert run("index", "--drop-view", "clustering", "--index", folder, "-q").code == 0
    with pytest.raises(SpaceMismatchError, match="the index has 'clustering', not 'retrieval'"):
        publish_index(folder, address)


def test_old_files_that_may_not_be_removed_leave_what_was_published(
    indexed: Indexed, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any) -> None:  # noqa: ANN401
        raise AccessDeniedError("the server does not permit it", what="s3://b/files/x")

    monkeypatch.setattr(Store, "remove", denied)
    with pytest.raises(AccessDeniedError) as caught:
        publish_index(indexed(3), f"{bucket.address}/index")
    assert caught.value.message == (
        "s3://b/files/x: the index was published, but the server does not permit to remove old "
        "files"
    )
    assert documents_at(bucket) == 3


def test_files_are_opened_one_by_one_where_few_may_be_open(
    indexed: Indexed, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.verbs.publish.allow_handles", lambda _: False)
    publish_index(indexed(3), f"{bucket.address}/index")
    assert documents_at(bucket) == 3


def test_an_index_that_is_built_again_keeps_its_place(
    indexed: Indexed, bucket: Bucket, run: Run
) -> None:
    address, folder = f"{bucket.address}/index", indexed(3)
    publish_index(folder, address)
    corpus = folder.with_name("corpus.jsonl")
    done = run("index", corpus, "--task", "retrieval", "--index", folder, "--recreate", "-q")
    assert done.code == 0, done.err
    assert publish_index(folder, address).files_sent == 5


def test_a_damaged_file_is_not_published(indexed: Indexed, bucket: Bucket) -> None:
    folder = indexed(3)
    file = next(folder.glob("*.words"))
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(IndexDamagedError, match=r"\.words: its checksum does not match"):
        publish_index(folder, f"{bucket.address}/index")
    assert not [key for key in bucket.keys if ".words" in key or MANIFEST in key]


def test_a_damaged_manifest_is_replaced_when_asked(indexed: Indexed, bucket: Bucket) -> None:
    folder, address = indexed(3), f"{bucket.address}/index"
    bucket.write(f"index/{MANIFEST}", b"{}")
    with pytest.raises(IndexDamagedError) as caught:
        publish_index(folder, address)
    assert caught.value.message == (
        f"the published index is damaged: {address}/{MANIFEST}: its checksum does not match"
    )
    publish_index(folder, address, recreate=True)
    assert documents_at(bucket) == 3


def test_where_nothing_can_be_published(indexed: Indexed, bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no such bucket"):
        publish_index(indexed(1), "s3://no-bucket/index")
    with pytest.raises(UsageError, match="servers over HTTP are only read"):
        publish_index(indexed(1), "https://host/index")
    with pytest.raises(NotFoundError, match="no index at"):
        publish_index(tmp_path / "nothing", bucket.address)


def test_the_command_says_what_was_sent(indexed: Indexed, bucket: Bucket, run: Run) -> None:
    folder, address = indexed(3), f"{bucket.address}/index"
    done = run("publish", address, "--index", folder)
    assert done.code == 0, done.err
    generation, sent = read_index(folder)[0].generation, "5 files of 5 sent"
    assert done.out.startswith(f"generation {generation} at {address}: {sent}, ")
    told = run("publish", address, "--index", folder, "--json").json
    assert told == {
        "address": address,
        "generation": generation,
        "files": 5,
        "files_sent": 0,
        "bytes_sent": 0,
        "files_removed": 0,
    }
    config = folder.with_name("config.toml")
    config.write_text(f'[indexes]\nshared = "{address}"\n')
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TASKEMBED_CONFIG", str(config))
        assert run("publish", "shared", "--index", folder, "-q").out == ""
    refused = run("publish", address, "--index", indexed(1, "other"))
    assert (refused.code, refused.out) == (78, "")
    assert run("publish", "nowhere", "--index", folder).code == 2


def test_a_name_of_a_published_file_is_told_from_others() -> None:
    assert is_key("files/seg-00000001.db.00c0ffee.4096")
    assert not any(map(is_key, ["files/seg-00000001.db", "manifest.json", "files/x/y.00c0ffee.1"]))
