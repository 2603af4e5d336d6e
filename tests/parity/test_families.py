"""Every family of models.toml, from `taskembed index` to `search`, for every task and side.

Each tiny model stands where the hub's library would have put the real one of that name, in the
layout in which that is published. What the command line prints is compared with vectors that were
computed without taskembed, with prompts that were written by hand.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from taskembed.encoding.load import load_encoder_of
from taskembed.encoding.settings import EngineSettings
from taskembed.index.reader import Index
from taskembed.space import PromptType
from taskembed.vectors import FloatRows
from tests import tiny_models
from tests.conftest import Run
from tests.known_models import KNOWN, Tiny, known_of
from tests.parity.layouts import LAYOUTS

ANY_LENGTH = 10**9  # tokens: what models.toml says of a model that reads them all
TOLERANCE = 1e-5  # fp32, of any number of any vector, and of any score

DOCUMENTS = [
    "fox",
    "the quick brown fox jumps over the lazy dog",
    "def add(left, right):\n    return left + right",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
    "white space  and lines\n\nwithin",
    "long " * 200 + "text",  # is cut
    "query: a text that looks like a prompt",
    "search the relevant passage number seven, and then answer the web query",
]
QUERIES = ["which animal jumps?", "add two numbers", "wizards " * 150 + "brew"]

MADE = {tiny.model: tiny for family in KNOWN for tiny in family.tiny}


def test_every_family_that_runs_here_is_made() -> None:
    """One model of each, or more where their architectures differ.

    Jina v3 has its adapters in its own code: refused, see test_model_trust.py. The bundled
    model is not made: see test_parity.py.
    """
    made = {known_of(model).name for model in MADE}
    runs = {family.name for family in KNOWN if not family.facts["server"]}
    assert made == runs - {"jina-v3", "minilm"}
    assert all(model in known_of(model).models for model in MADE)


@pytest.mark.parametrize(
    "tiny",
    [
        pytest.param(t, marks=[] if t.quick else [pytest.mark.slow], id=t.model)
        for t in MADE.values()
    ],
)
def test_index_and_search_give_the_scores_of_an_independent_reference(
    tiny: Tiny, run: Run, tmp_path: Path, cache: Path, hub: Path
) -> None:
    layout = LAYOUTS[tiny.layout]
    folder = layout.save(tmp_path / "model", **tiny.options)
    as_they_are = known_of(tiny.model).facts["metric"] == "dot"
    if as_they_are:
        tiny_models.vary_lengths(folder)
    tiny_models.publish(folder, hub, tiny.model)
    corpus, queries = tmp_path / "corpus.jsonl", tmp_path / "queries.jsonl"
    write(corpus, DOCUMENTS)
    write(queries, QUERIES)
    for known in known_of(tiny.model).tasks:
        started = time.monotonic()
        options = ("--model", tiny.model, "--task", known.task, "--precision", "fp32", "--offline")
        index = tmp_path / f"index-{known.task}"
        made = run("index", corpus, *options, *layout.options, "--index", index)
        assert made.code == 0, made.err
        seconds = time.monotonic() - started
        found = run(
            *("search", "--queries", queries, "--index", index, "-k", str(len(DOCUMENTS))),
            *("--mode", "dense"),
            *("--precision", "fp32", "--offline"),  # a compiled model needs no code to run
        )
        assert found.code == 0, found.err
        expected = {
            side: layout.reference(
                folder,
                prompt,
                texts,
                **({"adapter": adapter} if adapter else {}),
                **({"normalize": False} if as_they_are else {}),
            )
            for side, texts, prompt, adapter in zip(
                *(PromptType, (QUERIES, DOCUMENTS), (known.query, known.document), known.adapters),
                strict=True,
            )
        }
        lengths = np.concatenate([np.linalg.norm(rows, axis=1) for rows in expected.values()])
        assert (lengths.std() > 0.01) == as_they_are
        scores = np.full((len(QUERIES), len(DOCUMENTS)), np.nan)
        for hit in found.lines:
            scores[int(str(hit["query_id"])), int(str(hit["doc_id"]))] = hit["score"]
        wanted = expected[PromptType.QUERY] @ expected[PromptType.DOCUMENT].T
        assert np.abs(scores - wanted).max() < TOLERANCE * max(1, np.abs(wanted).max())
        check_vectors(tiny.model, index, cache, expected, seconds)


def check_vectors(
    name: str, folder: Path, cache: Path, expected: dict[PromptType, FloatRows], seconds: float
) -> None:
    """Compare every number of every vector, and note the differences when they are asked for."""
    settings = EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache)
    with Index.open(folder) as index:
        encoder = load_encoder_of(index.space, settings)
    for side, texts in zip(PromptType, (QUERIES, DOCUMENTS), strict=True):
        vectors, truncated = encoder.encode(texts, side)
        worst = float(np.abs(vectors - expected[side]).max())
        assert worst < TOLERANCE * max(1, np.abs(expected[side]).max())
        assert bool(truncated.any()) == (known_of(name).facts["max_length"] < ANY_LENGTH)
        task, engine = encoder.space.task.value, encoder.made_by["engine"]
        assert engine in {"openvino", "static"}  # and not torch, which is slower
        if path := os.environ.get("PARITY_TABLE"):
            with Path(path).open("a") as stream:
                stream.write(
                    f"{name}\t{task}\t{side.value}\t{worst:.1e}\t{engine}\t{seconds:.1f}\n"
                )


def write(path: Path, texts: Sequence[str]) -> None:
    lines = [json.dumps({"id": str(row), "text": text}) for row, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n")
