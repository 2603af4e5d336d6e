"""Hosted models, against servers on this machine that answer in the shape of each vendor."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from taskembed import Document, index_corpus
from taskembed.activity import looking_on
from taskembed.encoding._http import VendorClient
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.encoding.vendors import SERVERS, RequestBody, portions
from taskembed.errors import BadVectorError, ModelUnavailableError, TaskembedError, UsageError
from taskembed.extras import install_hint
from taskembed.models.resolve import PromptOverrides
from taskembed.space import EmbeddingSpace, HostedModel, PromptType, Task
from taskembed.vectors import FloatRows
from tests.conftest import Run
from tests.early_spaces import HOSTED as VERSION_1
from tests.fakes import HashEncoder
from tests.known_models import KNOWN, Known

if find_spec("openai") is None:  # not imported here: that would take a second of each worker
    pytest.skip("the extra for hosted models is not installed", allow_module_level=True)

KEY = "secret-of-this-test"
PROMPTS = ("--query-prompt", "q: ", "--document-prompt", "d: ")


def vector_of(text: str, told: str, dim: int) -> list[float]:
    """Return what the fake model says of a text that is told so: any numbers, always the same."""
    seed = int.from_bytes(hashlib.sha256(f"{told}|{text}".encode()).digest()[:8], "big")
    return [float(number) for number in np.random.default_rng(seed).standard_normal(dim) * 3]


class Vendor(ThreadingHTTPServer):
    """A server that answers as a vendor's does, and remembers what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.troubles: list[tuple[int, str]] = []  # status and body, each answered once, first
        self.refused_text = ""
        self.dim = 24
        self.normalises = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Answers(BaseHTTPRequestHandler):
    server: Vendor

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers, body))
        if self.server.troubles:
            self.answer(*self.server.troubles.pop(0))
        elif self.server.refused_text and self.server.refused_text in json.dumps(body):
            self.answer(400, json.dumps({"error": {"message": "a text is too long"}}))
        else:
            self.answer(200, json.dumps(self.vectors(body)))

    def answer(self, status: int, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.send_header("retry-after-ms", "1")
        if status in {301, 307}:
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
        with contextlib.suppress(ConnectionError):  # the client has gone, with its first refusal
            self.end_headers()
            self.wfile.write(content)

    def vectors(self, body: Any) -> Any:  # noqa: ANN401  # JSON
        if "requests" in body:  # Gemini
            return {
                "embeddings": [
                    {
                        "values": vector_of(
                            one["content"]["parts"][0]["text"],
                            one.get("task_type", ""),
                            one.get("output_dimensionality", self.server.dim),
                        )
                    }
                    for one in body["requests"]
                ]
            }
        told = body.get("input_type", body.get("task", ""))
        dim = body.get("dimensions", body.get("output_dimension", self.server.dim))
        rows = [vector_of(text, told, dim) for text in body.get("input", body.get("texts"))]
        if self.server.normalises:
            rows = [list(np.asarray(row) / np.linalg.norm(row)) for row in rows]
        if "texts" in body:  # Cohere
            return {"id": "x", "embeddings": {"float": rows}, "texts": body["texts"]}
        if self.path.endswith("/models/embed"):  # ZeroEntropy
            return {"results": [{"embedding": row} for row in rows], "usage": {}}
        data = [
            {"object": "embedding", "index": row, "embedding": vector}
            for row, vector in enumerate(rows)
        ]
        return {"object": "list", "data": data[::-1], "model": body["model"]}  # told by index

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"id": str(row), "text": text}) for row, text in enumerate(TEXTS)]
    path.write_text("\n".join(lines))
    return path


DENSE = ("--mode", "dense")  # by the vectors alone, whose scores are known by hand
TEXTS = ["a fox", "", "the moon", *(f"text {number}" for number in range(200))]

# model, task, path, what the texts are under, what the two sides are told, an offered size
FAMILIES = [
    ("embed-v4.0", "retrieval", "/embed", ("search_query", "search_document"), 256),
    ("voyage-4", "retrieval", "/embeddings", ("query", "document"), 256),
    ("voyage-code-3", "code", "/embeddings", ("query", "document"), 512),
    ("text-embedding-3-small", "retrieval", "/embeddings", ("", ""), None),
    ("text-embedding-3-small", "retrieval", "/embeddings", ("", ""), 512),
    ("text-embedding-3-large", "similarity", "/embeddings", ("", ""), 256),
    (
        *("gemini-embedding-001", "code", "/models/gemini-embedding-001:batchEmbedContents"),
        *(("CODE_RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT"), 768),
    ),
    (
        *("jina-embeddings-v5-text-nano", "retrieval", "/embeddings"),
        *(("retrieval.query", "retrieval.passage"), 64),
    ),
    ("zembed-1", "retrieval", "/models/embed", ("query", "document"), 40),
    ("embed-v4.0", "clustering", "/embed", ("clustering", "clustering"), 256),
    ("voyage-4", "similarity", "/embeddings", ("", ""), 256),
]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"{family[0]}-{family[1]}")
def test_every_vendor_is_told_the_task_and_the_side(
    family: tuple[str, str, str, tuple[str, str], int | None],
    vendor: Vendor,
    corpus: Path,
    run: Run,
    tmp_path: Path,
) -> None:
    model, task, path, told, size = family
    sized = ("--dim", str(size)) if size else ()
    vendor.dim = 1536
    words = ("--api-base", vendor.url, "--index", tmp_path / "index", "--quiet")
    done = run("index", corpus, "--task", task, "--model", model, *sized, *words)
    assert done.code == 0, done.err
    found = run("search", "a fox?", *words, *DENSE, "--format", "jsonl", "-k", "300")
    assert found.code == 0, found.err
    assert {asked_path for asked_path, _, _ in vendor.asked} == {"/v1" + path}

    # by hand: cosines of what the server gives each side
    def unit(text: str, side: str) -> Any:  # noqa: ANN401  # an array
        vector = np.array(vector_of(text or " ", side, size or 1536))
        return vector / np.linalg.norm(vector)

    query = unit("a fox?", told[0])
    expected = {str(row): float(query @ unit(text, told[1])) for row, text in enumerate(TEXTS)}
    scores = {str(hit["doc_id"]): float(str(hit["score"])) for hit in found.lines}
    assert scores == pytest.approx(expected, abs=1e-5)
    value: Any = run("info", "--index", tmp_path / "index", "--json").json
    assert value["space"]["dim"] == (size or 1536)
    assert value["space"]["hosted"]["server_model"] == model
    again = run("index", corpus, *words)
    assert again.code == 0, again.err


class Noted(VendorClient):
    """A line whose other end answers with ones, and that notes the body of each request."""

    bodies: ClassVar[list[Any]] = []

    def answers(self, asks: Iterable[RequestBody]) -> Generator[list[FloatRows]]:
        for ask in asks:
            self.bodies.append(self.server.body(ask))
            yield [np.ones((len(ask.texts), ask.numbers or 1), np.float32)]


@pytest.mark.parametrize(
    "known", [family for family in KNOWN if family.facts["server"]], ids=lambda known: known.name
)
def test_every_hosted_model_is_sent_its_prompts_and_told_its_tasks(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.encoding._hosted.VendorClient", Noted)
    settings = EngineSettings(api_base="http://127.0.0.1:1/v1")
    for (model, dim), task in itertools.product(known.models.items(), known.tasks):
        encoder = load_encoder(model, task.task, settings=settings)
        for side, prompt, value in zip(
            PromptType, (task.query, task.document), task.values, strict=True
        ):
            Noted.bodies.clear()
            assert encoder.encode(["a fox"], side).vectors.shape == (1, dim)
            (body,) = Noted.bodies
            told = {known.facts["hosted_parameter"]: value} if value else {}
            assert sent_and_told(body) == (prompt + "a fox", told)


def sent_and_told(body: Any) -> tuple[str, dict[str, str]]:  # noqa: ANN401  # JSON
    """Return the one text of a request, and the fields that are not the same in every one."""
    if "requests" in body:  # Gemini
        ((one),) = body["requests"]
        told = {key: one[key] for key in one.keys() - {"model", "content"}}
        return one["content"]["parts"][0]["text"], told
    same = {"model", "input", "texts", "encoding_format", "embedding_types"}
    (text,) = body.get("input") or body["texts"]
    return text, {key: body[key] for key in body.keys() - same}


def test_a_search_for_another_task_of_a_hosted_index_is_refused(
    vendor: Vendor, corpus: Path, run: Run, tmp_path: Path
) -> None:
    vendor.dim = 1536
    words = ("--api-base", vendor.url, "--index", tmp_path / "index")
    made = run("index", corpus, "--task", "retrieval", "--model", "embed-v4.0", *words)
    assert made.err.splitlines()[0] == "taskembed: note: the texts are sent to 127.0.0.1"
    done = run("search", "fox", *words, "--task", "clustering")
    assert done.code == 78
    done = run("index", corpus, "--model", "text-embedding-3-small", *words)
    assert done.code == 78
    assert done.err.splitlines()[1:-1] == [
        "  model: the index has 'embed-v4.0', not 'text-embedding-3-small'",
        "  server: the index has 'cohere', not 'openai'",
        "  server_model: the index has 'embed-v4.0', not 'text-embedding-3-small'",
        "  parameter: the index has 'input_type', not ''",
        "  query_value: the index has 'search_query', not ''",
        "  document_value: the index has 'search_document', not ''",
        "  vectors of different spaces cannot be compared: their scores would mean nothing",
    ]


def test_an_index_of_a_hosted_model_by_an_early_version_is_used(
    vendor: Vendor, corpus: Path, run: Run, tmp_path: Path
) -> None:
    vendor.dim = 1536
    words = ("--api-base", vendor.url, "--index", tmp_path / "index", "--quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmbeddingSpace, "to_json", lambda _: VERSION_1)  # in the manifest
        made = run("index", corpus, "--task", "retrieval", "--model", "embed-v4.0", *words)
    assert made.code == 0, made.err
    del vendor.asked[:]

    assert run("search", "a fox", *words).code == 0
    ((_, _, body),) = vendor.asked
    assert (body["texts"], body["input_type"]) == (["a fox"], "search_query")

    for other in (("--task", "clustering"), ("--model", "text-embedding-3-small")):
        assert run("search", "a fox", *words, *other).code == 78
    again: Any = run("index", corpus, *words, "--json").json
    assert again["unchanged"] == len(TEXTS)
    changed = tmp_path / "more.jsonl"
    changed.write_text('{"id": "new", "text": "a badger"}\n')
    updated: Any = run("index", changed, *words, "--json").json
    assert updated["added"] == 1
    value: Any = run("info", "--index", tmp_path / "index", "--json").json
    assert value["space"]["weights_digest"] == ""
    assert value["space"]["hosted"]["query_value"] == "search_query"


def test_a_server_of_one_s_own_is_sent_the_prompt(
    vendor: Vendor, corpus: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_API_BASE", vendor.url)
    monkeypatch.setenv("TASKEMBED_INDEX", str(tmp_path / "index"))
    vendor.dim = 384
    done = run("index", corpus, "--task", "retrieval", "--model", "intfloat/e5-small-v2")
    assert done.code == 0, done.err
    sent = [text for _, _, body in vendor.asked for text in body["input"]]
    assert sorted(sent) == sorted(f"passage: {text}" for text in TEXTS)
    assert max(len(body["input"]) for _, _, body in vendor.asked) == 32
    del vendor.asked[:]
    assert run("search", "fox").code == 0
    (path, _, body), *rest = vendor.asked
    assert (path, body["input"], rest) == ("/v1/embeddings", ["query: fox"], [])
    monkeypatch.delenv("TASKEMBED_API_BASE")
    done = run("search", "fox")
    assert done.code == 2
    assert done.err.splitlines() == [
        "taskembed: error: intfloat/e5-small-v2 is behind a server, but its address is not given",
        "taskembed: hint: --api-base URL, or TASKEMBED_API_BASE",
    ]


def test_a_server_of_one_s_own_is_told_the_name_that_was_given(
    vendor: Vendor, corpus: Path, run: Run, tmp_path: Path
) -> None:
    vendor.dim = 768
    words = ("--index", tmp_path / "index", "--api-base", vendor.url)
    make = ("index", corpus, "--task", "retrieval", "--model", "all-mpnet-base-v2", *words)
    assert run(*make).code == 0
    assert (
        run("search", "fox", *words, "--model", "sentence-transformers/all-mpnet-base-v2").code == 0
    )
    assert {body["model"] for _, _, body in vendor.asked} == {"all-mpnet-base-v2"}


def test_a_model_that_nobody_knows_is_asked_for_its_size(vendor: Vendor, tmp_path: Path) -> None:
    encoder = load_encoder(
        "mine",
        Task.CODE,
        stated=PromptOverrides(query_prompt="q: ", document_prompt=""),
        settings=EngineSettings(api_base=vendor.url),
    )
    assert (encoder.space.dim, encoder.space.hosted) == (24, HostedModel("own", "mine"))
    assert encoder.made_by["engine"] == "127.0.0.1"
    vectors = encoder.encode(["x"], PromptType.QUERY).vectors
    raw = np.array(vector_of("q: x", "", 24))
    assert vectors[0] == pytest.approx(raw / np.linalg.norm(raw), abs=1e-6)
    assert encoder.encode([], PromptType.QUERY).vectors.shape == (0, 24)


@pytest.mark.parametrize("model", ["intfloat/e5-small-v2", "served-as-this"])
def test_where_a_server_of_one_s_own_cuts_is_unknown_under_any_name(
    model: str, vendor: Vendor
) -> None:
    vendor.dim = 384
    settings = EngineSettings(api_base=vendor.url)
    stated = PromptOverrides(family="e5")
    assert load_encoder(model, stated=stated, settings=settings).space.max_length == 0
    assert load_encoder("embed-v4.0", settings=settings).space.max_length == 128_000


def test_a_cut_vector_of_another_model_is_refused(vendor: Vendor) -> None:
    encoder = load_encoder(
        "mixedbread-ai/mxbai-embed-large-v1",
        dim=512,
        settings=EngineSettings(api_base=vendor.url),
    )
    vendor.dim = 768
    with pytest.raises(BadVectorError) as refusal:
        encoder.encode(["x"], PromptType.QUERY)
    assert refusal.value.message == (
        "127.0.0.1 returned vectors of 768 numbers, but vectors of "
        "mixedbread-ai/mxbai-embed-large-v1 "
        "have 1024"
    )


@pytest.mark.parametrize(
    ("family", "method"), [("mxbai", "slice"), ("nomic-v1.5", "layer-norm"), ("e5", "slice")]
)
def test_a_server_of_one_s_own_gives_whole_vectors_that_are_cut_here(
    family: str, method: str, vendor: Vendor
) -> None:
    encoder = load_encoder(
        "mine",
        Task.RETRIEVAL,
        stated=PromptOverrides(family=family, query_prompt="", document_prompt=""),
        dim=8,
        force_dim=True,
        settings=EngineSettings(api_base=vendor.url),
    )
    vectors = encoder.encode(["x"], PromptType.QUERY).vectors
    raw = np.array(vector_of("x", "", 24))
    if method == "layer-norm":
        raw = (raw - raw.mean()) / np.sqrt(raw.var() + 1e-5)
    assert encoder.space.truncation == method
    assert vectors[0] == pytest.approx(raw[:8] / np.linalg.norm(raw[:8]), abs=1e-6)


# Keys: from the environment, to their own server, and to no other place.


def test_a_key_goes_to_its_own_server_only(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*(server.key for server in SERVERS.values()), "OPENAI_ORG_ID"):
        monkeypatch.setenv(name, f"key of {name}")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "key of an admin")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "a project")
    for name, server in SERVERS.items():
        VendorClient(name, "m", vendor.url).send([RequestBody("m", ["x"])])
        _, headers, _ = vendor.asked[-1]
        sent = headers.get(server.key_header or "authorization")
        assert sent == ("" if server.key_header else "Bearer ") + "key of TASKEMBED_API_KEY"
        everything = json.dumps(headers)
        assert everything.count("key of") == 1
        assert "a project" not in everything
    monkeypatch.delenv("TASKEMBED_API_KEY")
    VendorClient("own", "m", vendor.url).send([RequestBody("m", ["x"])])
    assert "authorization" not in vendor.asked[-1][1]


@pytest.mark.parametrize(
    ("model", "name", "host"),
    [
        ("embed-v4.0", "CO_API_KEY", "api.cohere.com"),
        ("voyage-4", "VOYAGE_API_KEY", "api.voyageai.com"),
        ("text-embedding-3-small", "OPENAI_API_KEY", "api.openai.com"),
        ("gemini-embedding-001", "GEMINI_API_KEY", "generativelanguage.googleapis.com"),
        ("jina-embeddings-v5-text-small", "JINA_API_KEY", "api.jina.ai"),
        ("zembed-1", "ZEROENTROPY_API_KEY", "api.zeroentropy.dev"),
    ],
)
def test_without_its_key_a_server_is_not_asked(
    model: str, name: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelUnavailableError) as refusal:
        load_encoder(model, Task.RETRIEVAL)
    assert refusal.value.message == f"{model} is behind {host}, which needs a key"
    assert refusal.value.hint == (f"export {name}=KEY; it is never stored")
    monkeypatch.setenv(name, "two\nlines")
    with pytest.raises(UsageError, match=f"^{name} is not a valid key: it has characters"):
        load_encoder(model, Task.RETRIEVAL)


def test_a_key_is_never_printed_nor_stored(
    vendor: Vendor, corpus: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_API_KEY", KEY)
    vendor.dim = 1536
    words = ("--api-base", vendor.url, "--index", tmp_path / "index")
    make = ("index", corpus, "--task", "retrieval", "--model", "embed-v4.0", *words)
    vendor.troubles = [(401, json.dumps({"message": f"no such key: {KEY}"}))]
    done = run(*make)
    assert done.code == 69
    assert done.err.splitlines()[-3:] == [
        "taskembed: error: 127.0.0.1 refuses (401): no such key: ***",
        "taskembed: 0 documents are safe in the index",
        "taskembed: hint: check the key in TASKEMBED_API_KEY",
    ]
    assert run(*make).code == 0
    for path in (tmp_path / "index").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


# Trouble on the way.


def test_a_request_is_sent_again_while_there_is_hope(vendor: Vendor) -> None:
    vendor.troubles = [(429, "{}"), (500, "{}"), (503, "not JSON"), (408, "{}")]
    rows = VendorClient("own", "m", vendor.url).send([RequestBody("m", ["x"])])
    assert rows[0][0].tolist() == pytest.approx(vector_of("x", "", 24))
    assert len(vendor.asked) == 5


def test_whoever_looks_on_sees_for_whom_is_waited_and_what_it_answered(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.troubles = [(503, "{}")]
    seen: list[list[str]] = []
    answer = Answers.do_POST

    def look(self: Answers) -> None:
        seen.append([step.what for step in steps if step.waits_for_others])
        answer(self)

    monkeypatch.setattr(Answers, "do_POST", look)
    with looking_on() as steps:
        VendorClient("own", "m", vendor.url).send([RequestBody("m", ["x"])])
        assert steps == []
    assert seen == [["waiting for 127.0.0.1"], ["waiting for 127.0.0.1, which answered 503"]]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_request_is_not_sent_again_when_there_is_none(status: int, vendor: Vendor) -> None:
    vendor.troubles = [(status, '{"error": {"message": "no"}}')]
    with pytest.raises(ModelUnavailableError, match=rf"127.0.0.1 refuses \({status}\): no"):
        VendorClient("own", "m", vendor.url).send([RequestBody("m", ["x"])])
    assert len(vendor.asked) == 1


def test_what_was_encoded_before_a_server_gave_up_is_kept(
    vendor: Vendor, corpus: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.encoding._http.RETRIES", 1)
    vendor.dim = 384
    words = ("--api-base", vendor.url, "--index", tmp_path / "index")
    make = ("index", corpus, "--task", "similarity", "--model", "BAAI/bge-small-en-v1.5", *words)
    answer = Answers.do_POST

    def until_a_hundred(self: Answers) -> None:
        if sum(len(body["input"]) for _, _, body in self.server.asked) > 100:
            self.server.troubles = [(503, '{"message": "in maintenance"}')] * 2
        answer(self)

    monkeypatch.setattr(Answers, "do_POST", until_a_hundred)
    done = run(*make)
    assert done.code == 69
    assert "127.0.0.1 refuses (503): in maintenance" in done.err
    assert "the same command goes on from what was indexed" in done.err
    monkeypatch.setattr(Answers, "do_POST", answer)
    del vendor.asked[:], vendor.troubles[:]
    again = run(*make)
    assert again.code == 0, again.err
    sent = sum(len(body["input"]) for _, _, body in vendor.asked)
    assert sent == len(TEXTS) - 128  # 4 requests of 32 texts are one window


def test_all_requests_of_a_run_share_a_few_connections(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: set[int] = set()
    answer = Answers.do_POST

    def counted(self: Answers) -> None:
        connections.add(self.client_address[1])
        answer(self)

    monkeypatch.setattr(Answers, "protocol_version", "HTTP/1.1")  # connections are kept
    monkeypatch.setattr(Answers, "do_POST", counted)
    settings = EngineSettings(api_base=vendor.url)
    prompts = PromptOverrides(query_prompt="", document_prompt="")
    encoder = load_encoder("mine", Task.RETRIEVAL, stated=prompts, settings=settings)
    connections.clear()
    texts = [f"text {number}" for number in range(32 * 4 * 5)]
    slices = list(encoder.encode_slices(texts, PromptType.DOCUMENT))
    assert [len(rows) for rows, _ in slices] == [32 * 4] * 5
    assert 1 <= len(connections) <= 4  # as many as requests are under way at once


def test_a_program_that_runs_an_event_loop_can_encode(vendor: Vendor) -> None:
    wire = VendorClient("own", "m", vendor.url)
    begun = wire.answers([RequestBody("m", ["a"]) for _ in range(8)])
    next(begun)

    async def notebook() -> int:
        begun.close()  # as the garbage collector may, wherever it runs
        return len(wire.send([RequestBody("m", ["a", "b"])])[0])

    assert asyncio.run(notebook()) == 2


def test_a_text_that_a_server_refuses_is_named(vendor: Vendor) -> None:
    vendor.refused_text = "text 17"
    asks = [RequestBody("m", [f"text {number}" for number in range(20)])]
    with pytest.raises(ModelUnavailableError) as refusal:
        VendorClient("own", "m", vendor.url).send(asks)
    assert refusal.value.message == (
        "127.0.0.1 refuses the text that begins 'text 17' (400): a text is too long"
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"data": 3}', "answered with something other than a list of vectors"),
        ("[]", "answered with something other than a list of vectors"),
        ('"hello"', "answered with something other than a list of vectors"),
        ('{"data": [{"embedding": [1, "x"]}]}', "answered with something other than a list"),
        ('{"data": []}', "answered 1 text with 0 vectors"),
        ('{"data": [{"embedding": [1]}, {"embedding": [2]}]}', "answered 1 text with 2 vectors"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(answer: str, said: str, vendor: Vendor) -> None:
    vendor.troubles = [(200, answer)]
    with pytest.raises(ModelUnavailableError, match=f"^127.0.0.1 {said}"):
        VendorClient("own", "m", vendor.url).send([RequestBody("m", ["x"])])


def test_vectors_of_another_size_than_the_index_s_are_refused(
    vendor: Vendor, corpus: Path, run: Run, tmp_path: Path
) -> None:
    words = ("--api-base", vendor.url, "--index", tmp_path / "index", "--task", "retrieval")
    done = run("index", corpus, "--model", "mine", *words, *PROMPTS)
    assert done.code == 0, done.err
    vendor.dim = 12
    done = run("search", "fox", *words)
    assert done.code == 65
    assert "the model returned float32[1, 12] for the query 'fox', not float32[1, 24]" in done.err


PAGE = "<!doctype html><html><head><title>Sign\n in</title></head><body>please</body></html>"
ADDRESS = "check --api-base: the address of most servers ends in /v1"
BOTH = f"{ADDRESS}; and check the name of the model"


@pytest.mark.parametrize(
    ("status", "said", "hint"),
    [
        (200, "answered with a web page, 'Sign in'", ADDRESS),
        (
            302,
            "refuses (302): a web page, 'Sign in'",
            f"{ADDRESS}; and check the name of the model",
        ),
        (
            404,
            "refuses (404): a web page, 'Sign in'",
            f"{ADDRESS}; and check the name of the model",
        ),
        (403, "refuses (403): a web page, 'Sign in'", "check the key in TASKEMBED_API_KEY"),
    ],
)
def test_a_web_page_in_place_of_an_answer_is_called_so(
    status: int, said: str, hint: str, vendor: Vendor
) -> None:
    vendor.troubles = [(status, PAGE)]
    with pytest.raises(ModelUnavailableError) as refusal:
        VendorClient("own", "m", vendor.url).send([RequestBody("m", ["x"])])
    assert refusal.value.message == f"127.0.0.1 {said}"
    assert refusal.value.hint == hint


def test_a_password_that_is_refused_is_what_to_check(vendor: Vendor) -> None:
    vendor.troubles = [(401, "{}")]
    with pytest.raises(ModelUnavailableError) as refusal:
        VendorClient("own", "m", vendor.url.replace("://", "://me:sesame@")).send(
            [RequestBody("m", ["x"])]
        )
    assert refusal.value.hint == "check the user and password in --api-base"


def test_a_redirection_is_not_followed(vendor: Vendor) -> None:
    vendor.troubles = [(307, "{}")]
    with pytest.raises(ModelUnavailableError, match=r"127\.0\.0\.1 refuses \(307\)"):
        VendorClient("own", "m", vendor.url).send([RequestBody("m", ["x"])])


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskembed.encoding._http.RETRIES", 0)
    with pytest.raises(ModelUnavailableError) as refusal:
        VendorClient("own", "m", "http://127.0.0.1:1/v1").send([RequestBody("m", ["x"])])
    assert refusal.value.message.startswith("127.0.0.1 cannot be reached: ")


def test_inner_products_need_vectors_at_their_own_lengths(
    run: Run, vendor: Vendor, corpus: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "mine.toml"
    prompts.write_text('metric = "dot"\n[tasks]\nretrieval = { query = "q: ", document = "" }\n')
    words = ("index", corpus, "--task", "retrieval", "--model", "me/mine", "--prompts", prompts)
    server = ("--api-base", vendor.url)
    assert run(*words, *server, "--index", tmp_path / "index").code == 0
    found = run("search", "fox", "-k", "300", "--index", tmp_path / "index", *server, *DENSE).lines

    query = np.asarray(vector_of("q: fox", "", 24))
    expected = {
        str(row): float(query @ np.asarray(vector_of(text or " ", "", 24)))
        for row, text in enumerate(TEXTS)
    }
    assert {hit["doc_id"]: hit["score"] for hit in found} == pytest.approx(expected, abs=1e-4)
    assert max(expected.values()) > 1

    vendor.normalises = True
    refused = run(*words, *server, "--index", tmp_path / "other")
    assert refused.code == 69
    assert (
        "error: 127.0.0.1 normalises the vectors of me/mine, which are compared by their inner "
        "product without normalisation\n"
    ) in refused.err


@pytest.mark.slow
@pytest.mark.real_models
def test_a_real_server_with_openai_s_interface(
    run: Run, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LitServe serves the bundled model; what comes back is what runs here."""
    monkeypatch.setenv("TASKEMBED_API_KEY", KEY)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    program = [sys.executable, str(Path(__file__).with_name("openai_server.py")), str(port)]
    with subprocess.Popen(program, start_new_session=True, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(port, server)
            remote, local = tmp_path / "remote", tmp_path / "local"
            words = ("index", corpus, "--task", "retrieval", "--model", "minilm", "--no-adapter")
            done = run(*words, "--index", remote, "--api-base", url)
            assert done.code == 0, done.err
            assert run(*words, "--index", local, "--precision", "fp32").code == 0
            found = [
                run("search", "the sky at night", "--index", index, "-k", "300", *more).lines
                for index, more in (
                    (remote, ("--api-base", url)),
                    (local, ("--precision", "fp32")),
                )
            ]
        finally:
            os.killpg(server.pid, signal.SIGKILL)
    there, here = ({hit["doc_id"]: float(str(hit["score"])) for hit in hits} for hits in found)
    del there["1"], here["1"]  # the empty text, which is a space there
    assert len(there) == len(TEXTS) - 1
    assert there == pytest.approx(here, abs=1e-5)


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the server did not start")


# What is refused before anything is sent.


@pytest.mark.parametrize(
    ("model", "options", "error", "said"),
    [
        (None, {}, UsageError, "--api-base needs the name of a model there"),
        (
            "mine",
            {},
            ModelUnavailableError,
            "mine is not a known model and its files have no prompts for the task 'retrieval'",
        ),
        (
            "embed-v4.0",
            {"revision": "main"},
            UsageError,
            "embed-v4.0 is behind a server, which takes no --revision",
        ),
        (
            "embed-v4.0",
            {"stated": PromptOverrides(adapter="mine")},
            UsageError,
            "embed-v4.0 is behind a server, where no adapter can be merged",
        ),
        (
            "embed-v4.0",
            {"dim": 100},
            UsageError,
            "--dim 100: embed-v4.0 offers 256, 512, 1024, 1536",
        ),
        (
            "text-embedding-3-small",
            {"dim": 100},
            UsageError,
            "--dim 100: text-embedding-3-small offers 256, 512, 1024, 1536",
        ),
        (
            "text-embedding-3-small",
            {"dim": 3072},
            UsageError,
            "--dim 3072: the vectors of text-embedding-3-small have 1536 numbers",
        ),
        (
            "zeroentropy/zembed-1-embedding",
            {},
            ModelUnavailableError,
            "zeroentropy/zembed-1-embedding cannot be used through a server: the suffix "
            "'<|im_end|>\\n' must follow a text after truncation, which the server does",
        ),
        (
            "hkunlp/instructor-base",
            {},
            ModelUnavailableError,
            "hkunlp/instructor-base cannot be used through a server: the prompt must be left out "
            "of the pooling, which the server does",
        ),
        (
            "jinaai/jina-embeddings-v5-text-small",
            {},
            ModelUnavailableError,
            "jinaai/jina-embeddings-v5-text-small cannot be used through a server: its adapter "
            "'retrieval' cannot be merged by a server",
        ),
    ],
)
def test_what_no_server_can_be_told_is_refused(
    model: str | None,
    options: dict[str, Any],
    error: type[TaskembedError],
    said: str,
    vendor: Vendor,
) -> None:
    settings = EngineSettings(api_base=vendor.url)
    with pytest.raises(error) as refusal:
        load_encoder(model, Task.RETRIEVAL, settings=settings, **options)
    assert refusal.value.message == said
    assert vendor.asked == []


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x/v1", "http://", "file:///etc"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as refusal:
        VendorClient("own", "m", url)
    assert refusal.value.message == f"--api-base {url.rstrip('/')!r}: not an http or https address"


def test_offline_is_offline(run: Run, corpus: Path, tmp_path: Path, vendor: Vendor) -> None:
    words = ("--index", tmp_path / "index", "--api-base", vendor.url)
    make = ("index", corpus, "--task", "retrieval", "--model", "mine", *PROMPTS, *words)
    for command in (make, ("search", "fox", *words)):
        done = run(*command, "--offline")
        assert done.code == 69
        assert done.err.splitlines() == [
            "taskembed: error: mine is behind a server, but the network may not be used",
            "taskembed: hint: leave out --offline",
        ]
        assert run(*make).code == 0
    assert len(vendor.asked) > 0


def test_an_index_of_a_model_on_this_machine_is_not_searched_through_a_server(
    run: Run, tmp_path: Path, vendor: Vendor
) -> None:
    index = tmp_path / "index"
    index_corpus([Document("a", "fox")], HashEncoder(), index)
    done = run("search", "fox", "--index", index, "--api-base", vendor.url)
    assert done.code == 2
    assert done.err.splitlines() == [
        "taskembed: error: --api-base: the vectors of this index were made on this machine, by "
        "hash",
        "taskembed: hint: leave it out, or unset TASKEMBED_API_BASE",
    ]


def test_without_the_library_it_is_said_what_to_install(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(ModelUnavailableError) as refusal:
        VendorClient("own", "m", vendor.url).send([RequestBody("m", ["x"])])
    assert refusal.value.message == (
        "hosted models need the openai library, which is not installed"
    )
    assert refusal.value.hint == install_hint("hosted")


def test_a_request_holds_no_more_texts_and_characters_than_it_may() -> None:
    server = SERVERS["gemini"]
    texts = ["", "x" * 60_000, "y" * 60_000, "z" * 300_000, *["short"] * 150]
    found = list(portions(texts, server))
    assert [text for some in found for text in some] == [" ", *texts[1:]]
    assert [len(some) for some in found] == [2, 1, 1, 100, 50]
