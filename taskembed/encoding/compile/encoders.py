"""Loads embedding models with sentence-transformers.

Since the import takes seconds, a model is loaded once and then converted, or kept in memory on an
accelerator. Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from torch import nn

from taskembed.encoding.compile._end_token import keep_end_token
from taskembed.encoding.compile._facts import (
    chats_of,
    facts_of,
    keep_within_positions,
    reads_messages,
    varies,
)
from taskembed.encoding.compile._loading import loading
from taskembed.encoding.compile._lora import merge_adapter
from taskembed.encoding.compile._pooled import PooledModel, is_static, pooling_modes, side_modules
from taskembed.encoding.facts import ModelFacts, RerankerFacts
from taskembed.errors import (
    ModelUnavailableError,
)
from taskembed.models.adapters import AdapterFiles
from taskembed.models.files import Located
from taskembed.models.folder import model_files, walk
from taskembed.models.plausible import require_plausible
from taskembed.models.saved_json import require_json
from taskembed.models.stock_views import refuse_other_kinds, stock_view
from taskembed.space import PromptType
from taskembed.vectors import FloatRows

# modules that `PooledModel` supports
KNOWN_MODULES = {
    *("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout"),
    *("WeightedLayerPooling", "Router", "Asym", "StaticEmbedding"),
}


class Loaded(NamedTuple):
    """A model in memory, on the CPU and in fp32.

    `reference` is the library's own object with the same weights; None for a reranker. `table` is
    float32[tokens, dim] for static embeddings.
    """

    model: nn.Module
    facts: ModelFacts | RerankerFacts
    tokenizer_json: str
    reference: SentenceTransformer | None = None
    table: FloatRows | None = None


def load_encoder_model(
    files: Located,
    adapter: AdapterFiles | None,
    *,
    trust_remote_code: bool,
    side: PromptType = PromptType.DOCUMENT,
    notify: Callable[[str], None] = lambda _: None,
) -> Loaded:
    """Load an embedding model from its folder, with an adapter merged into its weights.

    Args:
        files: the files of the model.
        adapter: the adapter to merge; None for none.
        trust_remote_code: whether to run the model's own Python code.
        side: the side, if queries and documents have different models.
        notify: called with a sentence if tokens are added that the library alone would omit.

    Raises:
        ModelUnavailableError: the model cannot be loaded, or needs its own code, which may not run.
    """
    model = load_sentence_transformer(files, trust_remote_code=trust_remote_code, notify=notify)
    with loading(files, trust_remote_code=trust_remote_code):
        return _loaded(model, files, adapter, side)


def _loaded(
    model: SentenceTransformer, files: Located, adapter: AdapterFiles | None, side: PromptType
) -> Loaded:
    modules = side_modules(model, side)
    first = modules[0]
    if adapter and is_static(first):
        raise ModelUnavailableError(
            f"the adapter {adapter.name!r} cannot be merged: {files.name} has static embeddings, "
            "and no layers",
            hint="name the model that the adapter was trained on with --model",
        )
    if adapter:
        merge_adapter(first.auto_model, adapter)
    tokenizer_json = backend_tokenizer(first).to_str()
    modality = "message" if reads_messages(first) else "text"
    pooled = PooledModel(modules, model.truncate_dim, modality).eval()
    facts = facts_of(model, side)
    table = first.embedding.weight.detach().numpy() if facts.table else None
    return Loaded(pooled, facts, tokenizer_json, model, table)


def load_sentence_transformer(
    files: Located, *, trust_remote_code: bool, notify: Callable[[str], None] = lambda _: None
) -> SentenceTransformer:
    """Load a model from its folder as the library's own object, on the CPU and in fp32.

    `notify` is called with a sentence if tokens are added that the library alone would omit.

    Raises:
        ModelUnavailableError: the model cannot be loaded, needs its own code, which may not run, or
            does not compute one vector for each text.
    """
    refuse_other_kinds(files.name, files.folder)
    require_json(model_files(walk(files.folder)))
    require_plausible(files.name, files.folder)
    with loading(files, trust_remote_code=trust_remote_code), stock_view(files.folder) as folder:
        model = SentenceTransformer(
            str(folder),
            device="cpu",
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
        model.float()  # static embeddings keep the type in which they were saved
        sides = [side_modules(model, side) for side in PromptType]  # a side may have no branch
    restored: set[str] = set()
    with loading(files, trust_remote_code=trust_remote_code):
        for modules in sides:
            _require_known(files.name, modules, trust_remote_code=trust_remote_code)
            first = modules[0]
            if is_static(first):
                continue
            if any("lasttoken" in pooling_modes(module) for module in modules):
                end = keep_end_token(first.tokenizer, files.folder)
                restored.update([end] if end else [])
            keep_within_positions(first)
    for end in restored:
        notify(
            f"note: {end} is put after every text, as the files of {files.name} say "
            "(add_eos_token in tokenizer_config.json); transformers by itself leaves it out"
        )
    return model


def _require_known(name: str, modules: list[Any], *, trust_remote_code: bool) -> None:
    """Refuse modules that are not supported, or would compute other vectors here."""
    first, kinds = modules[0], [type(module).__name__ for module in modules]
    strange = [kind for kind in kinds if kind not in KNOWN_MODULES]
    if not _is_readable(first):
        why = f"has no fast tokenizer, or is not a transformer: its first module is {kinds[0]}"
    elif strange and not trust_remote_code:
        why = f"has a module that is not supported, {strange[0]} in modules.json"
    elif why := _too_few_rows(first):
        pass
    elif is_static(first):
        return
    elif "message" in first.modality_config and None in chats_of(first).values():
        why = (
            "puts its texts into a chat template that changes them, or that it does not have: "
            '"message" in the modality_config of sentence_bert_config.json'
        )
    elif getattr(first, "query_expansion", None):
        why = "pads its queries with tokens (query_expansion in sentence_bert_config.json)"
    elif what := varies(first):
        why = f"computes vectors that depend on the other texts of a batch ({what} in config.json)"
    else:
        return
    raise ModelUnavailableError(f"the model {name!r} {why}", hint="name another model with --model")


def _is_readable(first: Any) -> bool:  # noqa: ANN401  # of sentence-transformers
    tokenizer: Any = getattr(first, "tokenizer", None)
    is_transformer = hasattr(first, "auto_model") and hasattr(tokenizer, "backend_tokenizer")
    return is_static(first) or is_transformer


def _too_few_rows(first: Any) -> str:  # noqa: ANN401  # of sentence-transformers
    """Return what is wrong if the tokenizer has ids that the model has no vectors for."""
    table = first.embedding if is_static(first) else first.auto_model.get_input_embeddings()
    rows = table.weight.shape[0]
    highest = max(first.tokenizer.get_vocab().values(), default=0)
    if highest < rows:
        return ""
    return (
        f"has the token id {highest} in its tokenizer.json, and vectors for only {rows} ids: "
        "texts with such tokens would have arbitrary vectors"
    )


def backend_tokenizer(first: Any) -> Tokenizer:  # noqa: ANN401  # of sentence-transformers
    """Return the tokenizer of a model; static embeddings store it differently from transformers."""
    return cast(
        "Tokenizer", first.tokenizer if is_static(first) else first.tokenizer.backend_tokenizer
    )
