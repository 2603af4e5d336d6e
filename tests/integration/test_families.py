"""Every family of models.toml, from `taskembed index` to `search`, for every task and side.

Each tiny model stands where the hub's library would have put the real one of that name, in the
layout in which that is published. What the command line prints is compared with vectors that were
computed without taskembed, with prompts that were written by hand.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from taskembed.encoder import load_encoder_of
from taskembed.index import Index
from taskembed.runtime import EngineSettings
from taskembed.space import PromptType
from taskembed.vectors import FloatRows
from tests import tiny_families, tiny_models
from tests.conftest import Run
from tests.integration import references
from tests.known_models import ADAPTERS, MODELS, PROMPTS

TOLERANCE = 1e-5  # fp32, of any number of any vector, and of any score
TRUST = ("--trust-remote-code", "--revision", tiny_models.COMMIT)

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

Reference = Callable[..., FloatRows]
by_st = references.by_sentence_transformers


@dataclass(frozen=True)
class Published:
    """A model of the hub, as a test can make it.

    Attributes:
        save: makes it in a folder.
        name: of the architecture, where the reference must know.
        reference: its right vectors; told the adapter too when it has one.
        options: what the command line must be given to load it.
    """

    save: Callable[[Path], Path]
    reference: Reference = by_st
    options: tuple[str, ...] = ()
    name: str = ""


bert_mean = Published(partial(tiny_models.save_bert, pooling="mean"))
bert_cls = Published(partial(tiny_models.save_bert, pooling="cls"))
xlm_mean = Published(tiny_models.save_xlm_roberta)
xlm_cls = Published(partial(tiny_models.save_xlm_roberta, pooling="cls"))
modernbert = Published(partial(tiny_families.save_modernbert, normalize=False))
qwen3 = Published(tiny_models.save_qwen3)
own_code = Published(tiny_families.save_with_code, partial(by_st, trust=True), TRUST)
own_code_cls = Published(
    partial(tiny_families.save_with_code, pooling="cls"), partial(by_st, trust=True), TRUST
)

# one model of each family, or more where their architectures differ
MODELS_MADE: dict[str, Published] = {
    "sentence-transformers/all-MiniLM-L6-v2": bert_mean,
    "intfloat/e5-small-v2": bert_mean,
    "intfloat/e5-base": bert_mean,
    "intfloat/multilingual-e5-small": bert_mean,
    "intfloat/multilingual-e5-base": xlm_mean,
    "intfloat/multilingual-e5-large-instruct": xlm_mean,
    "Alibaba-NLP/gte-Qwen2-1.5B-instruct": Published(
        tiny_families.save_gte_qwen2, references.by_gte_qwen2, TRUST
    ),
    "Qwen/Qwen3-Embedding-0.6B": qwen3,
    "BAAI/bge-small-en-v1.5": bert_cls,
    "BAAI/bge-small-zh-v1.5": bert_cls,
    "Snowflake/snowflake-arctic-embed-s": bert_cls,
    "Snowflake/snowflake-arctic-embed-m-long": own_code_cls,
    "Snowflake/snowflake-arctic-embed-m-v1.5": bert_cls,
    "Snowflake/snowflake-arctic-embed-m-v2.0": own_code_cls,
    "Snowflake/snowflake-arctic-embed-l-v2.0": xlm_cls,
    "mixedbread-ai/mxbai-embed-large-v1": bert_cls,
    "BAAI/bge-m3": xlm_cls,
    "thenlper/gte-small": bert_mean,
    "Alibaba-NLP/gte-base-en-v1.5": own_code_cls,
    "Alibaba-NLP/gte-modernbert-base": modernbert,
    "ibm-granite/granite-embedding-small-english-r2": modernbert,
    "ibm-granite/granite-embedding-97m-multilingual-r2": modernbert,
    "ibm-granite/granite-embedding-311m-multilingual-r2": modernbert,
    "hkunlp/instructor-base": Published(tiny_families.save_t5, references.by_instructor),
    "google/embeddinggemma-300m": Published(tiny_families.save_gemma),
    "nomic-ai/nomic-embed-text-v1.5": Published(tiny_families.save_nomic),
    "nomic-ai/nomic-embed-text-v2-moe": own_code,
    "zeroentropy/zembed-1-embedding": Published(tiny_families.save_zembed, references.by_zembed),
    **{
        f"jinaai/jina-embeddings-v5-text-{size}": Published(
            partial(tiny_families.save_jina_v5, size=size), references.by_jina_v5, name=size
        )
        for size in ("small", "nano")
    },
    **{
        f"jinaai/jina-embeddings-v5-text-{size}-{task}": Published(
            partial(tiny_families.save_jina_v5_base, size=size)
        )
        for size in ("small", "nano")
        for task in tiny_families.JINA_V5_TASKS
    },
    "jinaai/jina-embeddings-v3-hf": Published(tiny_families.save_jina_v3, references.by_jina_v3),
}
# what the default run has
QUICK = {  # a prompt, an instruction at the last token; test_adapters.py has LoRA
    "intfloat/e5-small-v2",
    "Qwen/Qwen3-Embedding-0.6B",
}


def test_every_family_that_runs_here_is_made() -> None:
    of = {model: family for model, family, _ in MODELS}
    runs = {case[0] for case in [*PROMPTS, *ADAPTERS]}
    # jina-v3 has its adapters inside its own code: refused, see test_model_trust.py; the bundled
    # model is not made: see test_parity.py
    assert {of[model] for model in MODELS_MADE} == runs - {"jina-v3", "minilm"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in MODELS_MADE],
)
def test_index_and_search_give_the_scores_of_an_independent_reference(
    name: str, run: Run, tmp_path: Path, cache: Path, hub: Path
) -> None:
    made = MODELS_MADE[name]
    folder = made.save(tmp_path / "model")
    tiny_models.publish(folder, hub, name)
    corpus, queries = tmp_path / "corpus.jsonl", tmp_path / "queries.jsonl"
    write(corpus, DOCUMENTS)
    write(queries, QUERIES)
    for task, prompts, adapters in tasks_of(name):
        started = time.monotonic()
        options = ("--model", name, "--task", task, "--precision", "fp32", "--offline")
        index = tmp_path / f"index-{task}"
        assert run("index", corpus, *options, *made.options, "--index", index).code == 0
        seconds = time.monotonic() - started
        found = run(
            *("search", "--queries", queries, "--index", index, "-k", str(len(DOCUMENTS))),
            *("--precision", "fp32", "--offline"),  # a compiled model needs no code to run
        )
        assert found.code == 0, found.err
        expected = {
            side: reference_of(made, folder, tmp_path, adapter)(prompt, texts)
            for side, texts, prompt, adapter in zip(
                PromptType, (QUERIES, DOCUMENTS), prompts, adapters, strict=True
            )
        }
        scores = np.full((len(QUERIES), len(DOCUMENTS)), np.nan)
        for hit in found.lines:
            scores[int(str(hit["query_id"])), int(str(hit["doc_id"]))] = hit["score"]
        wanted = expected[PromptType.QUERY] @ expected[PromptType.DOCUMENT].T
        assert np.abs(scores - wanted).max() < TOLERANCE
        check_vectors(name, index, cache, expected, seconds)


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
        assert worst < TOLERANCE
        assert truncated.any() == True  # noqa: E712  # a numpy bool
        task, engine = encoder.space.task.value, encoder.made_by["engine"]
        if path := os.environ.get("PARITY_TABLE"):
            with Path(path).open("a") as stream:
                stream.write(
                    f"{name}\t{task}\t{side.value}\t{worst:.1e}\t{engine}\t{seconds:.1f}\n"
                )


def tasks_of(name: str) -> list[tuple[str, tuple[str, str], tuple[str, str]]]:
    """Return the tasks of a model, each with its two prompts and its two adapters, by hand."""
    family = next(case[1] for case in MODELS if case[0] == name)
    found = [(case[1], case[2:4], ("", "")) for case in PROMPTS if case[0] == family]
    found += [(case[1], case[2:4], case[4:6]) for case in ADAPTERS if case[0] == family]
    return found


def reference_of(
    made: Published, folder: Path, tmp_path: Path, adapter: str
) -> Callable[[str, Sequence[str]], FloatRows]:
    if made.reference is references.by_jina_v5:
        # the stock configuration, which the published repository does not have
        base = tmp_path / "base"
        if not base.exists():
            tiny_families.save_stock_view(folder, base, "small" if "small" in made.name else "nano")
        return partial(references.by_jina_v5, folder, base=base, adapter=adapter)
    if made.reference is references.by_jina_v3:
        return partial(references.by_jina_v3, folder, adapter=adapter)
    return partial(made.reference, folder)


def write(path: Path, texts: Sequence[str]) -> None:
    lines = [json.dumps({"id": str(row), "text": text}) for row, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n")
