"""Workers without Ray: in this process, with deaths at chosen moments."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import (
    ModelUnavailableError,
    SpaceMismatchError,
    TaskembedError,
    TextTooLongError,
    UsageError,
)
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.reading.rejects import RejectFile
from taskembed.space import PromptType, Task
from taskembed.testing import HashEncoder, fake_models
from taskembed.vectors import Encoded
from taskembed.verbs._indexing.view_encoders import encoder_of_views, spaces_of
from taskembed.verbs.export import export_index
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions, IndexSummary, Watch
from taskembed.verbs.workers import cluster
from taskembed.verbs.workers import encoder as encoders
from taskembed.verbs.workers import pool as pools
from taskembed.verbs.workers.encoder import WorkersEncoder, shards_of
from taskembed.verbs.workers.engine import RayEngine
from taskembed.verbs.workers.job import Job, digest_of
from taskembed.verbs.workers.pool import Pool, WorkerDiedError, WorkerError
from taskembed.verbs.workers.shards import (
    JOB,
    ShardFolder,
    read_shard,
    shard_name,
    text_digest,
    write_shard,
)
from taskembed.verbs.workers.worker import Done, Failed, Opened, Worker
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("models")
DOCUMENTS = [
    Document(f"d{n}", f"text {n} " + "word " * (n % 7 * 9), {}, f"c:{n}") for n in range(60)
]


class Backend:
    """Workers in this process; the answer to a future is computed when it is asked for.

    Args:
        dies: tells, of a worker's number and the texts that it encodes, whether it dies of them;
            of None texts, whether it dies at its start.
        told: changes what a worker says of itself.
    """

    def __init__(
        self,
        dies: Callable[[int, Sequence[str] | None], bool] = lambda _worker, _texts: False,
        told: Callable[[Opened], Opened | Failed] = lambda opened: opened,
    ) -> None:
        self.encoded: list[str] = []
        self.started_workers = 0
        self.most_waited_for = 0
        self._dies = dies
        self._told = told
        self._answers: dict[Hashable, Callable[[], Any]] = {}
        self._workers: dict[int, Worker] = {}
        self._dead: set[int] = set()
        self._numbers = count()

    def start_worker(self, job: Job) -> tuple[Hashable, Hashable]:
        number, self.started_workers = self.started_workers, self.started_workers + 1
        self._workers[number] = Worker()

        def open_() -> Opened | Failed:
            self._kill_if(number, None)
            opened = self._workers[number].open(job)
            return self._told(opened) if isinstance(opened, Opened) else opened

        return number, self._future(open_)

    def submit(self, worker: Any, texts: Sequence[str]) -> Hashable:  # noqa: ANN401  # its number

        def encode() -> Done | Failed:
            self._kill_if(worker, texts)
            self.encoded += texts
            return self._workers[worker].encode(texts)

        return self._future(encode)

    def wait(self, futures: Sequence[Hashable], seconds: float) -> Sequence[Hashable]:
        self.most_waited_for = max(self.most_waited_for, len(futures))
        return list(futures)[:1]

    def result(self, future: Hashable) -> Opened | Done | Failed:
        answer: Opened | Done | Failed = self._answers.pop(future)()
        return answer

    def stop_worker(self, worker: Hashable) -> None:
        pass

    def _future(self, answer: Callable[[], Any]) -> Hashable:
        number = next(self._numbers)
        self._answers[number] = answer
        return number

    def _kill_if(self, worker: int, texts: Sequence[str] | None) -> None:
        if worker in self._dead or self._dies(worker, texts):
            self._dead.add(worker)
            raise WorkerDiedError("killed")


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "SHARD_TEXTS", 5)


def indexed(
    folder: Path,
    documents: Iterable[Document] = DOCUMENTS,
    backend: Backend | None = None,
    *,
    tasks: Sequence[Task] = (Task.RETRIEVAL,),
    chunk: str | None = None,
    watch: Watch | None = None,
    every: int = 20_000,
) -> IndexSummary:
    """Index documents, with workers where there is a backend."""
    encoder: Any = [load_encoder("minilm", task) for task in tasks]
    if backend:
        whole = encoder_of_views(encoder)
        job = Job.of(spaces_of(whole), folder / "shards", EngineSettings())
        encoder = WorkersEncoder(whole, job, 2, lambda job: Pool(backend, job, 2))
    return index_corpus(
        documents,
        encoder,
        folder,
        options=IndexOptions(chunk=chunk, commit_every=every),
        watch=watch,
    )


def stored(folder: Path, task: Task | None = None) -> dict[tuple[str, int], list[float]]:
    """Return the vectors of an index, by the id of the document and the place of the chunk."""
    output = folder.parent / "vectors.parquet"
    with Index.open(folder, task=task) as index:
        export_index(index, output)
    rows = pq.read_table(output).to_pylist()
    found = {(row["doc_id"], row.get("start", 0)): row["vector"] for row in rows}
    assert len(found) == len(rows)
    return found


def require_equal(one: Path, other: Path, task: Task | None = None) -> None:
    ours, theirs = stored(one, task), stored(other, task)
    assert ours.keys() == theirs.keys()
    for key, vector in ours.items():
        assert np.abs(np.subtract(vector, theirs[key])).max() <= 1e-6


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "shards").glob("*.shard"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index that this process made without workers."""
    with fake_models():
        indexed(folder := tmp_path_factory.mktemp("alone") / "index")
    return folder


def test_the_index_is_that_of_one_process(alone: Path, tmp_path: Path) -> None:
    backend = Backend()
    summary = indexed(tmp_path / "i", backend=backend)
    assert (summary.added, summary.encoded, summary.documents) == (60, 60, 60)
    assert (backend.started_workers, len(backend.encoded)) == (2, 60)
    assert backend.most_waited_for <= 2 * pools.IN_FLIGHT
    require_equal(tmp_path / "i", alone)
    assert not (tmp_path / "i" / "shards").exists()
    with Index.open(tmp_path / "i") as index:
        assert index.made_by["engine"] == "fake"


def test_an_unchanged_input_starts_no_worker(tmp_path: Path) -> None:
    indexed(tmp_path / "i")
    backend = Backend()
    assert indexed(tmp_path / "i", backend=backend).unchanged == 60
    assert backend.started_workers == 0
    assert not (tmp_path / "i" / "shards").exists()


@pytest.mark.parametrize("chunk", [None, "16:2"])
def test_views_and_chunks_are_those_of_one_process(tmp_path: Path, chunk: str | None) -> None:
    tasks = (Task.RETRIEVAL, Task.CLUSTERING)
    one = indexed(tmp_path / "one", tasks=tasks, chunk=chunk)
    backend = Backend()
    two = indexed(tmp_path / "two", backend=backend, tasks=tasks, chunk=chunk, every=7)
    assert one == two
    for task in tasks:
        require_equal(tmp_path / "two", tmp_path / "one", task)


def test_the_work_of_a_dead_worker_is_given_to_others(alone: Path, tmp_path: Path) -> None:
    backend = Backend(dies=lambda worker, texts: worker in {0, 2} and texts is not None)
    assert indexed(tmp_path / "i", backend=backend).added == 60
    assert backend.started_workers == 4
    assert sorted(backend.encoded) == sorted(item.text for item in DOCUMENTS)
    require_equal(tmp_path / "i", alone)


def test_a_shard_that_kills_every_worker_ends_the_run(alone: Path, tmp_path: Path) -> None:
    bad = DOCUMENTS[11].text
    backend = Backend(dies=lambda _worker, texts: bad in (texts or ()))
    with pytest.raises(WorkerError) as caught:
        indexed(tmp_path / "i", backend=backend)
    assert "3 workers died while they encoded the same 5 texts" in caught.value.message
    assert caught.value.exit_code == 69
    done = caught.value.safe_documents
    assert done == len(backend.encoded)
    again = Backend()
    assert indexed(tmp_path / "i", backend=again).unchanged == done
    assert len(again.encoded) == 60 - len(backend.encoded)
    require_equal(tmp_path / "i", alone)


def test_workers_that_die_at_their_start_end_the_run(tmp_path: Path) -> None:
    backend = Backend(dies=lambda _worker, texts: texts is None)
    with pytest.raises(ModelUnavailableError, match="6 workers died before they had encoded"):
        indexed(tmp_path / "i", backend=backend)


def test_workers_that_never_start_end_the_run(tmp_path: Path) -> None:
    backend, times = Backend(), count(0, 400)
    backend.wait = lambda _tickets, _seconds: []  # type: ignore[method-assign, assignment]
    job = Job.of((HashEncoder().space,), tmp_path, EngineSettings())
    pool = Pool(backend, job, 2, clock=lambda: next(times))
    with pytest.raises(ModelUnavailableError, match="no worker was ready within"):
        list(pool.run([["a text"]]))


OTHER: dict[str, tuple[Callable[[Opened], Opened | Failed], type[TaskembedError]]] = {
    "space": (lambda opened: replace(opened, spaces=(HashEncoder().space,)), SpaceMismatchError),
    "version": (lambda opened: replace(opened, version="0.0.1"), ModelUnavailableError),
    "folder": (lambda opened: replace(opened, sees_folder=False), UsageError),
    "failed": (lambda opened: Failed(opened.host, "no model", "copy it", 69), WorkerError),
}


@pytest.mark.parametrize("name", OTHER)
def test_a_worker_that_does_not_fit_gets_no_text(tmp_path: Path, name: str) -> None:
    told, kind = OTHER[name]
    backend = Backend(told=told)
    with pytest.raises(TaskembedError) as caught:
        indexed(tmp_path / "i", backend=backend)
    assert type(caught.value) is kind
    assert socket.gethostname() in f"{caught.value.message} {caught.value.hint}"
    assert backend.encoded == []


def test_a_worker_sees_the_folder_of_the_run_or_says_so(tmp_path: Path) -> None:
    job = Job.of((load_encoder("minilm").space,), tmp_path, EngineSettings())
    opened = Worker().open(job)
    assert isinstance(opened, Opened)
    assert not opened.sees_folder
    (tmp_path / JOB).write_text(job.digest())
    opened = Worker().open(job)
    assert isinstance(opened, Opened)
    assert opened.sees_folder
    assert opened.spaces == job.spaces


def test_a_worker_says_why_it_cannot_open_its_model(tmp_path: Path) -> None:
    space = replace(load_encoder("minilm").space, model=str(tmp_path / "gone"))
    failed = Worker().open(Job.of((space,), tmp_path, EngineSettings()))
    assert isinstance(failed, Failed)
    assert failed.exit_code == 69
    assert "gone" in failed.reason


def test_a_shard_whose_worker_died_before_it_said_so_is_not_encoded_again(tmp_path: Path) -> None:
    job = Job.of((load_encoder("minilm").space,), tmp_path, EngineSettings())
    first, second = Worker(), Worker()
    first.open(job)
    done = first.encode(["one", "two"])
    assert isinstance(done, Done)
    second.open(job)
    assert second.encode(["one", "two"]) == Done(done.name, (), {})  # its engine did not start
    assert second.encode(["two", "one"]) != done


def test_a_worker_says_why_it_cannot_write(tmp_path: Path) -> None:
    worker = Worker()
    worker.open(Job.of((load_encoder("minilm").space,), tmp_path / "gone", EngineSettings()))
    failed = worker.encode(["a text"])
    assert isinstance(failed, Failed)
    assert failed.exit_code == 66
    assert "gone" in failed.reason


@pytest.mark.parametrize("stopped_after", [1, 4, 9])
def test_finished_shards_outlive_the_process(
    alone: Path, tmp_path: Path, stopped_after: int
) -> None:
    asked = count(1)

    def stops(_worker: int, texts: Sequence[str] | None) -> bool:
        if texts is not None and next(asked) > stopped_after:
            raise KeyboardInterrupt  # not an Exception: nothing is committed, as after kill -9
        return False

    first, second = Backend(dies=stops), Backend()
    with pytest.raises(KeyboardInterrupt):
        indexed(tmp_path / "i", backend=first)
    assert len(shards(tmp_path / "i")) == stopped_after
    fewer = DOCUMENTS[7:]  # so that other texts are together
    assert indexed(tmp_path / "i", fewer, second).added == len(fewer)
    assert set(first.encoded) & set(second.encoded) == set()
    assert indexed(tmp_path / "i", DOCUMENTS[:7], Backend()).added == 7
    require_equal(tmp_path / "i", alone)


def test_shards_are_removed_once_they_are_committed(tmp_path: Path) -> None:
    left = []

    def looked(_worker: int, _texts: Sequence[str] | None) -> bool:
        left.append(len(shards(tmp_path / "i")))
        return False

    indexed(tmp_path / "i", backend=Backend(dies=looked), every=10)
    assert max(left) <= 4


@pytest.mark.parametrize("changed", ["byte", "end", "empty"])
def test_a_damaged_shard_is_encoded_again(alone: Path, tmp_path: Path, changed: str) -> None:
    asked = count(1)

    def stops(_worker: int, texts: Sequence[str] | None) -> bool:
        if texts is not None and next(asked) > 3:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        indexed(tmp_path / "i", backend=Backend(dies=stops))
    path = shards(tmp_path / "i")[0]
    data = bytearray(path.read_bytes())
    if changed == "byte":
        place = data.index(np.float32(read_vectors(path)[2, 3]).tobytes())
        data[place] ^= 1
    path.write_bytes(data[: {"end": -9, "empty": 0}.get(changed, len(data))])
    backend = Backend()
    assert indexed(tmp_path / "i", backend=backend).documents == 60
    assert len(backend.encoded) == 60 - 10
    require_equal(tmp_path / "i", alone)


def read_vectors(path: Path) -> Any:  # noqa: ANN401  # float32[n, dim]
    return np.stack(pq.read_table(path)["vector"].to_numpy())


def test_what_was_kept_for_another_space_is_removed(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    encoded = Encoded(np.ones((1, 2), np.float32), np.zeros(1, np.bool_))
    name = write_shard(tmp_path / "shards", "a" * 64, ["one"], encoded)
    (tmp_path / "shards" / "tmp-1").write_bytes(b"half")
    folder = ShardFolder(tmp_path / "shards", "b" * 64)
    folder.open()
    assert folder.kept([text_digest("one")]) == {}
    assert not (tmp_path / "shards" / name).exists()
    assert not (tmp_path / "shards" / "tmp-1").exists()


def test_a_shard_is_named_by_its_texts_and_their_space(tmp_path: Path) -> None:
    encoded = Encoded(np.array([[1, 2]], np.float32), np.ones(1, np.bool_))
    name = write_shard(tmp_path, "a" * 64, ["one"], encoded)
    assert name == shard_name("a" * 64, [text_digest("one")])
    assert shard_name("b" * 64, [text_digest("one")]) != name
    digests, again = read_shard(tmp_path / name, "a" * 64) or ([], encoded)
    assert digests == [text_digest("one")]
    assert again.vectors.tolist() == [[1, 2]]
    assert again.truncated.tolist() == [True]
    assert read_shard(tmp_path / name, "b" * 64) is None
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_renamed_model_has_the_same_digest() -> None:
    space = HashEncoder().space
    assert digest_of([space], "auto") == digest_of([replace(space, model="other")], "auto")
    for changed in ({"weights_digest": "1" * 64}, {"document_prompt": ""}, {"task": Task.CODE}):
        other = replace(space, **changed)
        assert digest_of([space], "auto") != digest_of([other], "auto")
    assert digest_of([space], "auto") != digest_of([space], "int8")


def test_shards_have_bounded_sizes_and_the_longest_texts_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoders, "SHARD_CHARACTERS", 10)
    texts = ["a", "bb", "c" * 12, "dddd", "eeee", "ff", "g"]
    cut = [rows.tolist() for rows in shards_of(texts, np.array([0, 1, 2, 3, 4, 5]))]
    assert cut == [[2], [3, 4, 1], [5, 0]]
    assert shards_of(texts, np.array([], np.int64)) == []


def test_texts_that_are_too_long_are_refused_and_the_others_are_not(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from taskembed.encoding._local import LocalEncoder

    before = LocalEncoder.encode_slices

    def refusing(self: Any, texts: Sequence[str], side: PromptType) -> Iterator[Any]:  # noqa: ANN401
        if rows := [row for row, text in enumerate(texts) if text.startswith("text 1")]:
            raise TextTooLongError(texts, rows)
        return before(self, texts, side)

    monkeypatch.setattr(LocalEncoder, "encode_slices", refusing)
    watch = Watch(RejectFile(stop=False))
    summary = indexed(tmp_path / "i", backend=Backend(), watch=watch)
    assert (summary.added, summary.rejected) == (49, 11)  # 1 and 10 to 19


def test_a_run_that_is_stopped_can_go_on_in_the_same_process(tmp_path: Path) -> None:
    (tmp_path / JOB).write_text("")
    job = Job.of((load_encoder("minilm").space,), tmp_path, EngineSettings())
    backend = Backend(told=lambda opened: replace(opened, sees_folder=True))
    pool = Pool(backend, job, 1)
    run = pool.run([["one"], ["two"], ["three"]])
    assert next(run)[0] == 0
    del run
    assert [number for number, _ in pool.run([["four"]])] == [0]
    assert backend.encoded == ["one", "two", "four"]  # two was asked for before


def test_a_hosted_model_is_refused(tmp_path: Path) -> None:
    from taskembed.space import HostedModel

    hosted = HashEncoder(hosted=HostedModel("cohere", "embed"), weights_digest="")
    with (
        pytest.raises(UsageError, match="is behind a server"),
        RayEngine().spread([hosted], tmp_path, EngineSettings()),
    ):
        pass


def test_queries_are_encoded_here(tmp_path: Path) -> None:
    encoder = HashEncoder()
    job = Job.of((encoder.space,), tmp_path, EngineSettings())
    spread = WorkersEncoder(encoder, job, 2, lambda _job: pytest.fail("started"))
    assert len(spread.encode(["one"], PromptType.QUERY).vectors) == 1
    assert len(list(spread.encode_slices(["one"], PromptType.QUERY))) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--workers", "2"], "--workers requires --engine ray"),
        (["--address", "auto"], "--address requires --engine ray"),
        (["--engine", "ray", "--workers", "0"], "'0' is less than 1"),
        (["--engine", "spark"], "spark"),
        (["--engine", "ray", "--address", "ray://there:10001"], "HOST:PORT"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    run: Run, corpus: Path, options: list[str], reason: str
) -> None:
    done = run("index", corpus, "--task", "retrieval", *options)
    assert done.code == 2
    assert reason in done.err


def test_a_view_is_not_added_by_workers(run: Run) -> None:
    done = run("index", "--add-view", "clustering", "--engine", "ray")
    assert done.code == 2
    assert "--add-view" in done.err


def test_without_the_library_it_says_what_to_install(
    run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.extras.find_spec", lambda _name: None)
    done = run("index", corpus, "--task", "retrieval", "--engine", "ray")
    assert done.code == 69
    assert "the library ray is not installed" in done.err
    assert "[ray]" in done.err


def test_shards_are_never_taken_for_a_corpus(run: Run, corpus: Path, tmp_path: Path) -> None:
    encoded = Encoded(np.ones((1, 2), np.float32), np.zeros(1, np.bool_))
    (tmp_path / "taskembed-index" / "shards").mkdir(parents=True)
    write_shard(tmp_path / "taskembed-index" / "shards", "a" * 64, ["one"], encoded)
    (tmp_path / "taskembed-index" / "LOCK").touch()  # of a run that died before its first commit
    done = run("index", tmp_path, "--task", "retrieval", "--index", tmp_path / "i")
    assert done.out.startswith("2 added")


def test_ray_gets_a_folder_with_a_short_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/tmp/" + "long/" * 20)  # noqa: S108
    folder = cluster._folder()
    folder.rmdir()
    assert folder.parent == Path("/tmp")  # noqa: S108


def test_the_job_for_kubernetes_runs_this_command() -> None:
    text = (Path(__file__).parents[2] / "docs" / "scale" / "ray-job.yaml").read_text()
    job = yaml.safe_load(text)
    cluster = job["spec"]["rayClusterSpec"]
    names = [
        place["template"]["spec"]["containers"][0]["name"] for place in cluster["workerGroupSpecs"]
    ]
    assert (job["kind"], names) == ("RayJob", ["ray"])
    program, name, *options = job["spec"]["entrypoint"].split()
    assert (program, name) == ("taskembed", "index")
    known = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    assert [word for word in options if word.startswith("--") and word not in known] == []


def test_a_dry_run_starts_no_worker(run: Run, corpus: Path) -> None:
    done = run("index", corpus, "--task", "retrieval", "--engine", "ray", "--dry-run")
    assert (done.code, done.out[:7]) == (0, "2 added")
