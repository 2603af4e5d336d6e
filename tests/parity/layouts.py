"""The layouts in which models are published, by the names that tests/known_models.toml uses.

A layout makes a tiny model in a folder, and knows how to get its right vectors without taskembed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from taskembed.vectors import FloatRows
from tests import tiny_families, tiny_models
from tests.parity import references

TRUST = ("--trust-remote-code", "--revision", tiny_models.COMMIT)

Save = Callable[..., Path]
Reference = Callable[..., FloatRows]
by_st = references.by_sentence_transformers


@dataclass(frozen=True)
class Layout:
    """An architecture and the files around it.

    Attributes:
        save: makes a model in a folder; told the options of the model in known_models.toml.
        reference: its right vectors: of the folder, a prompt and texts; where the model has
            adapters, told `adapter` too.
        options: what the command line must be given to load it.
    """

    save: Save
    reference: Reference = by_st
    options: tuple[str, ...] = ()


LAYOUTS: Mapping[str, Layout] = {
    "bert": Layout(tiny_models.save_bert),
    "bert-dense": Layout(partial(tiny_families.save_with_dense, save=tiny_models.save_bert)),
    "distilbert-dense": Layout(
        partial(tiny_families.save_with_dense, save=tiny_families.save_distilbert)
    ),
    "distilbert": Layout(tiny_families.save_distilbert),
    "embedding-gemma2": Layout(tiny_families.save_gemma2, references.by_embedding_gemma2),
    "gemma3": Layout(tiny_families.save_gemma),
    "gte-qwen2": Layout(tiny_families.save_gte_qwen2, references.by_gte_qwen2, TRUST),
    "jina-v3": Layout(tiny_families.save_jina_v3, references.by_jina_v3),
    "mistral": Layout(tiny_families.save_mistral, references.by_mistral),
    "modernbert": Layout(tiny_families.save_modernbert),
    "mpnet": Layout(tiny_families.save_mpnet),
    "multilingual-bert": Layout(tiny_models.save_multilingual_bert),
    "nomic-bert": Layout(tiny_families.save_nomic),
    # loads only with Python code of its own, which computes otherwise than the stock class
    "own-code": Layout(tiny_families.save_with_code, partial(by_st, trust=True), TRUST),
    "qwen2": Layout(tiny_families.save_qwen2),
    "qwen3": Layout(tiny_models.save_qwen3),
    "model2vec": Layout(tiny_families.save_model2vec),
    "static": Layout(tiny_families.save_static),
    "roberta": Layout(tiny_families.save_roberta),
    "t5": Layout(tiny_families.save_t5, references.by_instructor),
    "xlm-roberta": Layout(tiny_models.save_xlm_roberta),
    "zembed": Layout(tiny_families.save_zembed, references.by_zembed),
    **{
        f"jina-v5-{size}": Layout(
            partial(tiny_families.save_jina_v5, size=size),
            partial(references.by_jina_v5, size=size),
        )
        for size in ("small", "nano")
    },
    **{
        f"jina-v5-{size}-merged": Layout(partial(tiny_families.save_jina_v5_base, size=size))
        for size in ("small", "nano")
    },
}
