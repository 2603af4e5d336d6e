"""Reading a published index by its copy: what is fetched, when it is not, and who may watch."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import zlib
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from taskembed.errors import (
    AccessDeniedError,
    IndexBusyError,
    IndexDamagedError,
    NewerFormatError,
    NotFoundError,
    ServerUnavailableError,
    TaskembedError,
)
from taskembed.index.published import MANIFEST, read_published
from taskembed.index.reader import Index
from taskembed.objects import Store, open_store
from taskembed.verbs.publish import publish_index
from taskembed.verbs.publishing.copies import list_copies
from taskembed.verbs.publishing.fetch import fetch_index
from tests.conftest import Run
from tests.indexing import Indexed
from tests.stores import Bucket

pytestmark = pytest.mark.slow  # the S3 server takes two seconds to start


def ids_of(folder: Path) -> list[str]:
    with Index.open(folder) as index:
        return sorted(document.doc_id for document in index)


def test_only_what_is_new_is_fetched(indexed: Indexed, bucket: Bucket, tmp_path: Path) -> None:
    address, cache = f"{bucket.address}/index", tmp_path / "cache"
    publish_index(indexed(3), address)
    first = fetch_index(address, cache=cache)
    assert (first.files_fetched, ids_of(first.folder)) == (5, ["0", "1", "2"])
    again = fetch_index(f"{address}/", cache=cache)
    assert (again.files_fetched, again.bytes_fetched) == (0, 0)
    assert again.folder == first.folder
    publish_index(indexed(3), address)
    remembered = fetch_index(address, cache=cache)
    assert remembered.files_fetched == 0
    assert 0 < remembered.bytes_fetched < 4_000  # a manifest
    publish_index(indexed(4), address)
    assert fetch_index(address, cache=cache).files_fetched == 5
    assert ids_of(first.folder) == ["0", "1", "2", "3"]


def test_old_generations_of_a_copy_are_removed(
    indexed: Indexed, bucket: Bucket, tmp_path: Path
) -> None:
    address = f"{bucket.address}/index"
    for documents in range(1, 11):  # eight segments become one
        publish_index(indexed(documents), address)
        folder = fetch_index(address, cache=tmp_path / "cache").folder
        assert len(list(folder.glob("manifest-*"))) <= 2
    copy = fetch_index(address, cache=tmp_path / "cache")
    assert len(list(copy.folder.glob("seg-*.db"))) == 3
    assert len(ids_of(copy.folder)) == 10


def test_without_the_network_the_copy_answers(
    indexed: Indexed, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, cache = f"{bucket.address}/index", tmp_path / "cache"
    publish_index(indexed(3), address)
    with pytest.raises(NotFoundError) as caught:
        fetch_index(address, cache=cache, offline=True)
    assert caught.value.message == f"there is no copy of {address}"
    fetched = fetch_index(address, cache=cache)
    publish_index(indexed(4), address)
    copy = fetch_index(address, cache=cache, offline=True)
    assert (copy.generation, ids_of(copy.folder)) == (fetched.generation, ["0", "1", "2"])

    def unreachable(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise ServerUnavailableError("the server cannot be reached", what=address)

    monkeypatch.setattr(Store, "get", unreachable)
    with pytest.raises(ServerUnavailableError) as refused:
        fetch_index(address, cache=cache)
    assert str(refused.value.hint).startswith("TASKEMBED_OFFLINE=1 uses the copy of 20")


def test_where_there_is_no_index(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        fetch_index(f"{bucket.address}/x", cache=tmp_path)
    assert caught.value.message == f"no index is published at {bucket.address}/x"
    with pytest.raises(NotFoundError, match="there is no such bucket"):
        fetch_index("s3://no-bucket/x", cache=tmp_path)


@pytest.mark.parametrize(("data", "reason"), [(b"", "checksum"), (None, "it is missing")])
def test_a_damaged_file_is_named_and_leaves_no_copy(
    indexed: Indexed, bucket: Bucket, tmp_path: Path, data: bytes | None, reason: str
) -> None:
    address = f"{bucket.address}/index"
    publish_index(indexed(3), address)
    key = next(key for key in bucket.keys if ".words." in key)
    if data is None:
        bucket.delete(key)
    else:
        bucket.write(key, b"x" * len(bucket.read(key)))
    with pytest.raises(IndexDamagedError, match=reason) as caught:
        fetch_index(address, cache=tmp_path / "cache")
    assert f"the published index is damaged: {bucket.address}/{key}: " in caught.value.message
    assert list_copies(tmp_path / "cache") == []
    publish_index(indexed(3).parent / "index", address, recreate=True)


@pytest.mark.parametrize(
    ("manifest", "expected", "reason"),
    [
        (b"<html>", IndexDamagedError, rf"/index/{MANIFEST}: its checksum does not match"),
        (b" " * 9000, IndexDamagedError, rf"/index/{MANIFEST}: it has 9,000 bytes, more than 8,"),
        ({"identity": ""}, IndexDamagedError, "its manifest does not identify an index"),
        ({"format": 99}, NewerFormatError, "written by a newer taskembed: format 99"),
        ({"name": "../../x"}, IndexDamagedError, "'../../x' is not the name of a file"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused(
    indexed: Indexed,
    bucket: Bucket,
    tmp_path: Path,
    manifest: Any,  # noqa: ANN401  # its bytes, or what is changed in a good one
    expected: type[TaskembedError],
    reason: str,
) -> None:
    address, key = f"{bucket.address}/index", f"index/{MANIFEST}"
    if isinstance(manifest, dict):
        publish_index(indexed(1), address)
        good = json.loads(bucket.read(key)[:-16])
        for place in (good, good["body"], good["files"][0]):
            place.update({name: value for name, value in manifest.items() if name in place})
        text = json.dumps(good).encode() + b"\n"
        manifest = text + b"#crc32 %08x\n" % zlib.crc32(text)
    bucket.write(key, manifest)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("taskembed.index.published.MOST_MANIFEST_BYTES", 8000)
        with pytest.raises(expected, match=reason):
            fetch_index(address, cache=tmp_path / "cache")
    assert list_copies(tmp_path / "cache") == []


def test_a_generation_that_is_replaced_again_and_again_is_given_up(
    indexed: Indexed, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = f"{bucket.address}/index", indexed(1)
    publish_index(folder, address)

    def gone(*_: Any) -> None:  # noqa: ANN401
        publish_index(indexed(1), address)  # each run makes a new generation
        raise NotFoundError("there is no such object")

    monkeypatch.setattr(Store, "stream", gone)
    with pytest.raises(IndexBusyError) as caught:
        fetch_index(address, cache=tmp_path / "cache")
    assert caught.value.message.startswith(f"{address}: it was replaced by newer generations")
    assert caught.value.hint == "run the same command again"


def test_a_file_of_another_length_is_damage(
    indexed: Indexed, bucket: Bucket, tmp_path: Path
) -> None:
    publish_index(indexed(1), f"{bucket.address}/index")
    key = next(key for key in bucket.keys if ".db." in key)
    for data in (bucket.read(key) + b"more", bucket.read(key)[:-1]):
        bucket.write(key, data)
        with pytest.raises(IndexDamagedError, match="its checksum does not match"):
            fetch_index(f"{bucket.address}/index", cache=tmp_path / "cache")


def test_a_manifest_that_is_replaced_meanwhile_is_read_again(
    indexed: Indexed, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = f"{bucket.address}/index", indexed(3)
    publish_index(folder, address)
    real = Store.stream

    def replaced(store: Store, name: str) -> Any:  # noqa: ANN401
        monkeypatch.setattr(Store, "stream", real)
        publish_index(indexed(2, "other"), address, recreate=True)
        for key in bucket.keys:
            if name in key:
                bucket.delete(key)
        return real(store, name)

    monkeypatch.setattr(Store, "stream", replaced)
    copy = fetch_index(address, cache=tmp_path / "cache")
    assert ids_of(copy.folder) == ["0", "1"]


def test_a_fetch_that_was_killed_is_continued(
    indexed: Indexed, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, cache = f"{bucket.address}/index", tmp_path / "cache"
    publish_index(indexed(3), address)
    real, asked = Store.stream, list[str]()

    class Killed(BaseException):
        pass

    def killed(store: Store, name: str) -> Any:  # noqa: ANN401
        asked.append(name)
        if len(asked) == 4:
            raise Killed
        return real(store, name)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "stream", killed)
        with pytest.raises(Killed):
            fetch_index(address, cache=cache)
    assert fetch_index(address, cache=cache).files_fetched == 2


def test_an_index_that_went_its_own_way_gets_a_copy_of_its_own(
    indexed: Indexed, bucket: Bucket, tmp_path: Path
) -> None:
    address, cache = f"{bucket.address}/index", tmp_path / "cache"
    publish_index(indexed(2), address)
    shutil.copytree(tmp_path / "index", tmp_path / "twin")
    publish_index(indexed(3), address)
    first = fetch_index(address, cache=cache)
    publish_index(indexed(4, "twin"), address, recreate=True)  # the same names, other bytes
    second = fetch_index(address, cache=cache)
    assert (len(ids_of(second.folder)), second.folder != first.folder) == (4, True)
    assert not first.folder.exists()
    publish_index(tmp_path / "index", address, recreate=True)
    assert len(ids_of(fetch_index(address, cache=cache).folder)) == 3


def test_a_reader_that_is_overtaken_keeps_the_newer_copy(
    indexed: Indexed, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, cache = f"{bucket.address}/index", tmp_path / "cache"
    publish_index(indexed(1), address)
    answers = [read_published(open_store(address))]  # what a slow reader has read
    publish_index(indexed(2), address)
    newer = fetch_index(address, cache=cache)
    monkeypatch.setattr(
        "taskembed.verbs.publishing.fetch.read_published",
        lambda store: answers.pop() if answers else read_published(store),
    )
    assert fetch_index(address, cache=cache).folder == newer.folder
    assert ids_of(newer.folder) == ["0", "1"]


def test_readers_see_whole_generations_while_an_index_is_published(
    indexed: Indexed, bucket: Bucket, tmp_path: Path
) -> None:
    address, seen, failures = f"{bucket.address}/index", set[int](), list[BaseException]()
    publish_index(indexed(1), address)
    done = threading.Event()

    def read(cache: Path) -> None:
        try:
            while not done.is_set():
                seen.add(len(ids_of(fetch_index(address, cache=cache).folder)))
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    caches = [tmp_path / "a", tmp_path / "a", tmp_path / "b"]
    threads = [threading.Thread(target=read, args=(cache,)) for cache in caches]
    for thread in threads:
        thread.start()
    later = datetime.now(UTC) + timedelta(hours=49)
    for documents in range(2, 12):
        publish_index(indexed(documents), address, now=later)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert seen <= set(range(1, 12))
    assert len(seen) > 2


def test_a_copy_that_others_can_write_to_is_not_used(
    indexed: Indexed, bucket: Bucket, tmp_path: Path
) -> None:
    address = f"{bucket.address}/index"
    publish_index(indexed(1), address)
    (tmp_path / "cache" / "indexes").mkdir(parents=True)
    (tmp_path / "cache" / "indexes").chmod(0o777)
    with pytest.raises(AccessDeniedError, match="can be written by other users") as caught:
        fetch_index(address, cache=tmp_path / "cache")
    assert caught.value.hint == "choose another cache folder with TASKEMBED_CACHE"


def test_an_index_is_read_from_a_plain_server(
    indexed: Indexed, bucket: Bucket, tmp_path: Path
) -> None:
    publish_index(indexed(3), f"{bucket.address}/index")
    for key in bucket.keys:
        path = tmp_path / "site" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bucket.read(key))

    class Site(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:  # noqa: ANN401
            super().__init__(*arguments, directory=str(tmp_path / "site"))

        def log_message(self, *_: Any) -> None:  # noqa: ANN401
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/index"
        copy = fetch_index(f"{address}?sig=secret", cache=tmp_path / "cache")
        server.shutdown()
    assert ids_of(copy.folder) == ["0", "1", "2"]
    assert copy.address == f"{address}?***"
    stored = (path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert not any(b"secret" in data for data in stored)


def test_commands_read_a_published_index(
    indexed: Indexed, bucket: Bucket, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_CACHE", str(tmp_path / "cache"))
    address, folder = f"{bucket.address}/index", indexed(3)
    publish_index(folder, address)
    found = run("search", "text 1", "--index", address, "--json")
    assert found.code == 0, found.err
    assert found.err.startswith("taskembed: fetched generation ")
    assert f"of {address}: 5 files, " in found.err
    assert found.out == run("search", "text 1", "--index", folder, "--json").out
    assert run("count", "--index", address).out == "3\n"
    assert run("get", "1", "--index", address).out == run("get", "1", "--index", folder).out
    assert run("list", "--index", address).out == run("list", "--index", folder).out
    assert run("verify", "--index", address).code == 0
    info: Any = run("info", "--index", address, "--json").json
    assert info["documents"] == 3
    config = folder.with_name("config.toml")
    config.write_text(f'[indexes]\nshared = "{address}"\n')
    monkeypatch.setenv("TASKEMBED_CONFIG", str(config))
    assert run("count", "--index", "shared").out == "3\n"
    monkeypatch.setenv("TASKEMBED_OFFLINE", "1")
    offline = run("count", "--index", "shared")
    assert offline.out == "3\n"
    assert offline.err.startswith("taskembed: note: offline: generation ")
    listed = run("cache", "list")
    assert f"{address} (generation " in listed.out
    assert ", 1 copy of an index, " in listed.out
    entries: Any = run("cache", "list", "--json").json
    assert [entry["address"] for entry in entries if "address" in entry] == [address]
    assert run("cache", "clear", address, "--json").lines[0]["copies_deleted"] == 1
    missing = run("count", "--index", "shared")
    assert (missing.code, missing.err) == (
        66,
        f"taskembed: error: there is no copy of {address}\n"
        "taskembed: hint: fetch it once without --offline and TASKEMBED_OFFLINE\n",
    )


def test_commands_end_with_the_code_of_what_is_wrong_there(
    indexed: Indexed, bucket: Bucket, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_CACHE", str(tmp_path / "cache"))
    address, folder = f"{bucket.address}/index", indexed(1)

    def codes(place: str = address) -> tuple[int, int]:
        """Return how a reader ends, and then a publisher."""
        done = run("count", "--index", place), run("publish", place, "--index", folder)
        assert not any("Traceback" in one.err for one in done)
        return done[0].code, done[1].code

    assert codes() == (66, 0)
    assert codes("s3://no-bucket/index") == (66, 66)
    assert codes("s3://key:secret@bucket/index") == (2, 2)
    with monkeypatch.context() as patched:
        patched.setattr("taskembed.objects.RETRIES", 0)
        patched.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        assert codes() == (69, 69)
        patched.delenv("AWS_ALLOW_HTTP")
        assert codes() == (2, 2)
    with monkeypatch.context() as patched:
        denied = AccessDeniedError("the server does not permit it", what=address)
        patched.setattr(Store, "get", lambda *_, **__: (_ for _ in ()).throw(denied))
        assert codes() == (77, 77)
    bucket.write(f"index/{MANIFEST}", b"{}")
    assert codes() == (76, 76)


def test_the_hint_for_a_damaged_copy_fetches_it_again(
    indexed: Indexed, bucket: Bucket, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_CACHE", str(tmp_path / "cache"))
    address = f"{bucket.address}/index"
    publish_index(indexed(2), address)
    file = next(fetch_index(address, cache=tmp_path / "cache").folder.glob("*.words"))
    file.write_bytes(bytes(file.stat().st_size))
    done = run("verify", "--index", address)
    assert done.code == 76
    hint = f"taskembed cache clear {address}"
    assert done.err.endswith(
        f"taskembed: hint: delete the copy, so that it is fetched again: {hint}\n"
    )
    assert run(*hint.split()[1:]).code == 0
    assert run("verify", "--index", address).code == 0


def test_a_cache_that_cannot_be_written_is_no_damage(indexed: Indexed, bucket: Bucket) -> None:
    publish_index(indexed(1), f"{bucket.address}/index")
    with pytest.raises(NotFoundError, match="No such file or directory"):
        fetch_index(f"{bucket.address}/index", cache=Path("/proc/nowhere"))


def test_copies_that_were_not_used_for_days_are_cleared(
    indexed: Indexed, bucket: Bucket, run: Run, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    for name, days in (("a", 0), ("b", 40)):
        publish_index(indexed(1), f"{bucket.address}/{name}")
        copy = fetch_index(f"{bucket.address}/{name}", cache=cache)
        then = time.time() - days * 86_400
        os.utime(copy.folder.parent / "used", (then, then))
    done = run("cache", "clear", "--unused", "30", "--cache", cache)
    assert done.out.startswith("0 compiled models, 1 copy of an index deleted, ")
    assert [one.copy.address for one in list_copies(cache)] == [f"{bucket.address}/a"]
    assert run("cache", "clear", f"{bucket.address}/b", "--cache", cache).code == 66
    assert run("cache", "clear", "--cache", cache).code == 0
    assert list_copies(cache) == []


def test_a_server_for_agents_names_a_published_index_by_its_address(
    indexed: Indexed, bucket: Bucket, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []
    monkeypatch.setattr(
        "taskembed.server.serve.serve", lambda folders, *_, **__: served.append(list(folders))
    )
    monkeypatch.setenv("TASKEMBED_CACHE", str(tmp_path / "cache"))
    publish_index(indexed(1), f"{bucket.address}/notes")
    assert run("mcp", f"{bucket.address}/notes").code == 0
    assert run("mcp", "--index", f"{bucket.address}/notes/").code == 0
    assert served == [["notes"], ["notes"]]


@pytest.mark.parametrize(
    "command",
    [
        ["delete", "1"],
        ["compact"],
        ["tune"],
        ["publish", "s3://b/x"],
        ["dedup", "--apply", "--yes"],
        ["index", "corpus.jsonl", "--task", "retrieval"],
    ],
)
def test_commands_that_change_an_index_refuse_a_published_one(run: Run, command: list[str]) -> None:
    done = run(*command, "--index", "s3://bucket/index")
    assert done.code == 2
    assert done.err == (
        f"taskembed: error: s3://bucket/index: {command[0]} changes an index, but a published "
        "index can only be read\n"
        "taskembed: hint: change the index in its folder, then: taskembed publish ADDRESS\n"
    )
