"""Loading a model with sentence-transformers, which is the field's library for it.

It costs seconds to import, so it happens once per model: what comes out is converted, or kept in
memory on an accelerator. Importing this module imports torch.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

# Every file is on this machine by now, so nothing here may ask a server for anything. The hub's
# library reads the setting once, when it is imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn
from transformers import PreTrainedModel

from taskembed.encoding._chat import Chat, chat_of
from taskembed.encoding.cache import MEAN, UNIT_MEAN, Facts
from taskembed.encoding.compile._lora import merge_adapter
from taskembed.encoding.compile._pooled import PooledModel, is_static, pooling_modes, side_modules
from taskembed.encoding.tokens import POSITIONS, Batch
from taskembed.errors import (
    ModelUnavailableError,
    TaskembedError,
    first_line,
    from_library,
    is_panic,
    system_error,
)
from taskembed.models.adapters import AdapterFiles
from taskembed.models.catalogue import NO_LIMIT
from taskembed.models.files import ModelFiles, model_files
from taskembed.models.plausible import require_plausible
from taskembed.models.saved_json import read_saved, require_json
from taskembed.models.stock_views import refuse_other_kinds, stock_view
from taskembed.space import PromptType
from taskembed.vectors import FloatRows

SELF_TEST_LENGTH = 200  # tokens
SELF_TEST_TOLERANCE = 1e-4  # between torch and what OpenVINO made of it, both in fp32
# whose activations exceed 65,504: Gemma 3's by its authors' warning, T5's by its users' reports
FP16_OVERFLOWS = {"gemma3_text", "t5"}


# what these compute of token ids and a mask, `PooledModel` computes too
KNOWN_MODULES = {
    *("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout"),
    *("WeightedLayerPooling", "Router", "Asym", "StaticEmbedding"),
}


SCALED_TO_LONGEST = {"dynamic", "longrope"}  # of a batch: rope_type


class Loaded(NamedTuple):
    """A model in memory: on the CPU, in fp32.

    `reference` is the library's own object, of the same weights; None for a reranker. `table` is
    float32[tokens, dim] of static embeddings.
    """

    model: nn.Module
    facts: Facts
    tokenizer_json: str
    reference: SentenceTransformer | None = None
    table: FloatRows | None = None


def load_encoder_model(
    files: ModelFiles,
    adapter: AdapterFiles | None,
    *,
    trust_remote_code: bool,
    side: PromptType = PromptType.DOCUMENT,
    notify: Callable[[str], None] = lambda _: None,
) -> Loaded:
    """Load an embedding model from its folder, with an adapter merged into its weights.

    Args:
        files: the model's.
        adapter: what is merged; None for nothing.
        trust_remote_code: run the model's own Python code.
        side: whose branch is taken, where the two sides are not the same model.
        notify: told where the library alone would read other tokens.

    Raises:
        ModelUnavailableError: it cannot be loaded from its files, or not without its own code.
    """
    model = load_sentence_transformer(files, trust_remote_code=trust_remote_code, notify=notify)
    with loading(files.name):
        return _loaded(model, files, adapter, side)


def _loaded(
    model: SentenceTransformer, files: ModelFiles, adapter: AdapterFiles | None, side: PromptType
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
    modality = "message" if _reads_messages(first) else "text"
    pooled = PooledModel(modules, model.truncate_dim, modality).eval()
    facts = _facts(model, side)
    table = first.embedding.weight.detach().numpy() if facts.table else None
    return Loaded(pooled, facts, tokenizer_json, model, table)


def load_sentence_transformer(
    files: ModelFiles, *, trust_remote_code: bool, notify: Callable[[str], None] = lambda _: None
) -> SentenceTransformer:
    """Load a model from its folder as the library's own object, on the CPU and in fp32.

    `notify` is told where it reads other tokens than the library alone would.

    Raises:
        ModelUnavailableError: it cannot be loaded from its files, or not without its own code, or
            it is no model that gives one vector a text.
    """
    refuse_other_kinds(files.name, files.folder)
    require_json(model_files(files.folder))
    require_plausible(files.name, files.folder)
    with loading(files.name), stock_view(files.folder) as folder:
        model = SentenceTransformer(
            str(folder),
            device="cpu",
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
        model.float()  # static embeddings come as they were saved
        sides = [side_modules(model, side) for side in PromptType]  # a side may have no branch
    restored: set[str] = set()
    with loading(files.name):
        for modules in sides:
            _require_known(files.name, modules, trust_remote_code=trust_remote_code)
            first = modules[0]
            if is_static(first):
                continue
            if any("lasttoken" in pooling_modes(module) for module in modules):
                end = _keep_end_token(first.tokenizer, files.folder)
                restored.update([end] if end else [])
            _keep_within_positions(first)
    for end in restored:
        notify(
            f"note: {end} is put after every text, as the files of {files.name} say "
            "(add_eos_token in tokenizer_config.json); transformers by itself leaves it out"
        )
    return model


def _require_known(name: str, modules: list[Any], *, trust_remote_code: bool) -> None:
    """Refuse modules that we would compute otherwise, or not at all."""
    first, kinds = modules[0], [type(module).__name__ for module in modules]
    strange = [kind for kind in kinds if kind not in KNOWN_MODULES]
    if not _is_readable(first):
        why = f"has no fast tokenizer, or is no transformer: it begins with {kinds[0]}"
    elif strange and not trust_remote_code:
        why = f"has a module that is not supported, {strange[0]} in modules.json"
    elif why := _too_few_rows(first):
        pass
    elif is_static(first):
        return
    elif "message" in first.modality_config and None in _chats(first).values():
        why = (
            "puts its texts into a chat template that changes them, or that it does not have: "
            '"message" in the modality_config of sentence_bert_config.json'
        )
    elif getattr(first, "query_expansion", None):
        why = "pads its queries with tokens (query_expansion in sentence_bert_config.json)"
    elif what := _varies(first):
        why = f"gives a text another vector in another batch ({what} in config.json)"
    else:
        return
    raise ModelUnavailableError(f"the model {name!r} {why}", hint="name another model with --model")


def _is_readable(first: Any) -> bool:  # noqa: ANN401  # of sentence-transformers
    tokenizer: Any = getattr(first, "tokenizer", None)
    is_transformer = hasattr(first, "auto_model") and hasattr(tokenizer, "backend_tokenizer")
    return is_static(first) or is_transformer


def _too_few_rows(first: Any) -> str:  # noqa: ANN401  # of sentence-transformers
    """Return what is wrong where the tokenizer has ids that the model has no vectors for."""
    table = first.embedding if is_static(first) else first.auto_model.get_input_embeddings()
    rows = table.weight.shape[0]
    highest = max(first.tokenizer.get_vocab().values(), default=0)
    if highest < rows:
        return ""
    return (
        f"has the token id {highest} in its tokenizer.json, and vectors for only {rows} ids: "
        "such a text would be encoded as anything"
    )


def backend_tokenizer(first: Any) -> Tokenizer:  # noqa: ANN401  # of sentence-transformers
    """Return the tokenizer behind the library's own object, which static embeddings do not have."""
    return cast(
        "Tokenizer", first.tokenizer if is_static(first) else first.tokenizer.backend_tokenizer
    )


def _varies(first: Any) -> str:  # noqa: ANN401  # of sentence-transformers
    """Return what makes a text's vector depend on the texts beside it, or before it; "" for none.

    Positions are scaled to the longest text; BigBird's attention is another after a short text.
    """
    config = first.config
    if getattr(config, "attention_type", "") == "block_sparse":
        return "attention_type 'block_sparse'"
    rope = getattr(config, "rope_parameters", None) or {}
    longest = max(_side_length(first, side) for side in PromptType)
    for scaling in (rope, *rope.values()):
        kind = scaling.get("rope_type") if isinstance(scaling, dict) else None
        if kind in SCALED_TO_LONGEST:
            trained = scaling.get("original_max_position_embeddings")
            if longest > (trained or config.max_position_embeddings):
                return f"rope_type {kind!r}"
    return ""


def _reads_messages(first: Any) -> bool:  # noqa: ANN401  # of sentence-transformers
    return not is_static(first) and "message" in first.modality_config


def _chats(first: Any) -> dict[PromptType, Chat | None]:  # noqa: ANN401  # of sentence-transformers
    """Return the template that a text of each side is put into; None where it is not understood."""
    declares, formatter = first._chat_template_declares_task(), first.input_formatter  # noqa: SLF001  # its only way to say
    given = dict((getattr(first, "processing_kwargs", None) or {}).get("chat_template", {}))

    def render(side: PromptType, prompt: str, text: str) -> str:
        _, made = formatter.batch_to_message("text", {"text": [text]})
        messages = made["message"]
        if prompt:
            messages = formatter.prepend_prompt_to_messages(messages, prompt)
        task = {"task": side.value} if declares else {}
        return str(
            first.processor.apply_chat_template(messages[0], tokenize=False, **task, **given)
        )

    with quiet():
        return {side: chat_of(partial(render, side)) for side in PromptType}


def _keep_within_positions(first: Any) -> None:  # noqa: ANN401  # of sentence-transformers
    """Cut texts where the model's positions end, and the library would raise an IndexError."""
    table = _position_table(first.auto_model)
    if table is None:
        return
    if table < (first.max_seq_length or 0) < NO_LIMIT:
        first.tokenizer.model_max_length = table
    for side in PromptType:
        if (getattr(first, f"{side.value}_length", None) or 0) > table:
            setattr(first, f"{side.value}_length", table)


def _position_table(model: nn.Module) -> int | None:
    """Return how many tokens a model has positions for; None when it does not look them up.

    RoBERTa, MPNet and others count from behind the padding token's number on, BART and OPT from 2:
    514 positions hold 512 tokens.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and POSITIONS.search(name):
            pad = module.padding_idx
            unused = int(getattr(module, "offset", 0)) if pad is None else pad + 1
            told = getattr(model.config, "max_position_embeddings", None)
            held = module.num_embeddings - unused
            return min(held, told) if isinstance(told, int) and told > 0 else held
    return None


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """Load within it: what a model's files make a library raise becomes an error of ours.

    A weight that the files do not have is such an error too: a library would go on with random
    numbers in its place.
    """
    report = _MissingWeights()
    logger = logging.getLogger("transformers")
    logger.addHandler(report)
    try:
        with quiet(logging.INFO):
            yield
    except BaseException as error:  # whatever a model's files make a library raise
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        what = f"the model {name!r} cannot be loaded"
        if report.misfits and not isinstance(error, TaskembedError):
            raise ModelUnavailableError(
                f"{what}: its weights {report.misfits[0]} have another size than config.json says",
                hint="the download is not whole, or the files are not of this architecture",
            ) from error
        raise from_library(error, what, hint=_hint(first_line(error))) from error
    finally:
        logger.removeHandler(report)
    if report.missing:
        raise ModelUnavailableError(
            f"the model {name!r} cannot be loaded: its files have no weights for "
            f"{report.missing[0]} ({len(report.missing)} are missing)",
            hint="the download is not whole, or the files are not of this architecture",
        )


def _hint(reason: str) -> str:
    if "trust_remote_code" in reason:
        return (
            "it needs Python code of its own: read that code, then give --trust-remote-code and "
            "--revision COMMIT; or name another model"
        )
    return "download it again, or name another model with --model: a file is damaged, or not known"


class _MissingWeights(logging.Handler):
    """Reads the report that transformers logs after loading."""

    _ROW = re.compile(r"^(\S.*?)\s*\|\s*(?:\x1b\[[0-9;]*m)*(MISSING|MISMATCH)", re.MULTILINE)

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.missing: list[str] = []
        self.misfits: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        found = self._ROW.findall(record.getMessage())
        # a pooler is BERT's own, for its pre-training: no embedding goes through it
        self.missing += [key for key, _ in found if not key.startswith("pooler.")]
        self.misfits += [key for key, what in found if what == "MISMATCH"]


def _keep_end_token(tokenizer: Any, folder: Path) -> str:  # noqa: ANN401  # transformers' own
    """Put the end token after every text, where a model says so and its tokenizer has lost it.

    Return that token; "" where nothing was lost.

    Since its version 5, transformers does not act on `add_eos_token` any more; a model that is
    pooled on that token would silently be pooled on the text's last one.
    """
    backend = tokenizer.backend_tokenizer
    config = read_saved(folder / "tokenizer_config.json") or {}
    end = tokenizer.eos_token_id
    if config.get("add_eos_token") is not True or end is None:
        return ""
    if backend.encode("a").ids[-1] == end:
        return ""
    token = {"id": tokenizer.eos_token, "type_id": 0}
    ids = {"id": tokenizer.eos_token, "ids": [end], "tokens": [tokenizer.eos_token]}
    # Subtle: of two templates in a row the second does nothing: the one that is there is added to.
    empty = json.loads(Tokenizer(BPE()).to_str())
    processors = _processors(json.loads(backend.to_str())["post_processor"])
    template = next(item for item in processors if item["type"] == "TemplateProcessing")
    template["single"].append({"SpecialToken": token})
    template["special_tokens"][tokenizer.eos_token] = ids
    empty["post_processor"] = {"type": "Sequence", "processors": processors}
    backend.post_processor = Tokenizer.from_str(json.dumps(empty)).post_processor
    return str(tokenizer.eos_token)


def _processors(state: Any) -> list[Any]:  # noqa: ANN401  # of tokenizer.json
    """Return what a tokenizer does with a text's tokens, one after another; a template is there."""
    found: list[Any] = [] if state is None else state.get("processors", [state])
    if any(item["type"] == "TemplateProcessing" for item in found):
        return found
    nothing = TemplateProcessing(single="$A")
    return [*found, json.loads(nothing.__getstate__())]


def to_openvino(model: nn.Module, longest: int) -> tuple[bytes, str]:
    """Convert a model for the CPU engine and compare the two: in one way after another.

    Args:
        model: what was loaded; it comes back as it was.
        longest: tokens that it reads.

    Returns:
        The blob and ""; or no blob, and why the model has to run on torch.
    """
    test, reason = _example(3, _self_test_length(model, longest)), ""
    for attention, convert in _WAYS:
        try:
            with quiet():
                with torch.inference_mode():
                    expected = model(*test.tensors).numpy()
                with _attention(model, attention):
                    blob = convert(model, longest)
            reason = _disagreement(blob, test, expected)
        except Exception as error:  # whatever an unusual model makes the converter raise
            if isinstance(error, MemoryError) or system_error(error):  # another time, it may
                raise from_library(error, "OpenVINO cannot convert the model", hint="") from error
            reason = f"OpenVINO cannot convert it ({type(error).__name__})"
        else:
            if not reason:
                return blob, ""
    return b"", reason


def _traced(model: nn.Module, _longest: int) -> bytes:
    from taskembed.encoding.engines.openvino import compile_blob

    with torch.inference_mode():
        return compile_blob(model, _example(2, 7).tensors)


def _exported(model: nn.Module, longest: int) -> bytes:
    """Export a model, which takes longer than tracing it, and also holds Gemma 3's masks."""
    from taskembed.encoding.engines.openvino import compile_blob

    axes = {0: torch.export.Dim("n", min=1), 1: torch.export.Dim("length", min=2, max=longest)}
    with torch.no_grad():
        program = torch.export.export(model, _example(2, 7).tensors, dynamic_shapes=(axes,) * 3)
    return compile_blob(program, None)


# Subtle: where a padding token sees nothing, which happens in a window, OpenVINO's own attention
# gives no number, which the next layer spreads to every token. transformers' plain attention,
# "eager", has a number there; no other token's result depends on it.
_WAYS = ((None, _traced), ("eager", _traced), ("eager", _exported))


@contextlib.contextmanager
def _attention(model: nn.Module, name: str | None) -> Iterator[None]:
    """Compute attention in another way within it; None for the model's own."""
    parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    before = [part.config._attn_implementation for part in parts]  # noqa: SLF001  # its only way to say
    if name:
        for part in parts:
            part.set_attn_implementation(name)
    try:
        yield
    finally:
        for part, own in zip(parts, before, strict=True):
            if name and own:
                part.set_attn_implementation(own)


def _self_test_length(model: nn.Module, longest: int) -> int:
    """Return the tokens of a text in the test: beyond the model's window, where it has one.

    Texts of more than half a batch are never padded: each is a batch of its own.
    """
    from taskembed.encoding.engines.openvino import TOKEN_BUDGET

    configs = [part.config for part in model.modules() if isinstance(part, PreTrainedModel)]
    windows = [
        window
        for config in configs
        for key in ("sliding_window", "local_attention")
        if isinstance(window := getattr(config, key, None), int)
    ]
    wanted = min(
        max(SELF_TEST_LENGTH, *(window + 8 for window in (0, *windows))), TOKEN_BUDGET // 2
    )
    return min(wanted, longest)


def _disagreement(blob: bytes, test: _Example, expected: FloatRows) -> str:
    """Return how a blob computes otherwise than torch; "" when it does not."""
    from taskembed.encoding.engines.openvino import OpenVinoEngine

    engine = OpenVinoEngine(memoryview(blob), precision="fp32", threads=None, one_query=True)
    _, converted = next(iter(engine.run(iter([test.batch]))))
    difference = float(np.abs(expected - converted).max() / max(1.0, np.abs(expected).max()))
    if not np.isfinite(difference):
        return "OpenVINO computes no numbers for it"
    if not difference < SELF_TEST_TOLERANCE:
        return f"OpenVINO computes it {difference:.1g} differently"
    return ""


class _Example(NamedTuple):
    batch: Batch
    tensors: tuple[Tensor, Tensor, Tensor]


def _example(rows: int, length: int) -> _Example:
    """Return a batch with padding; its ids are small, so that every vocabulary has them."""
    ids = np.arange(1, rows * length + 1, dtype=np.int64).reshape(rows, length) % 50 + 1
    mask = np.ones_like(ids)
    mask[-1, 3:] = 0  # beyond the window of a model with local attention: nothing is seen there
    tensors = (torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(mask.copy()))
    return _Example(Batch(np.arange(rows), ids, mask, mask), tensors)


def _facts(model: SentenceTransformer, side: PromptType) -> Facts:
    """Return what a model says of itself: of both sides alike, but for how it cuts this one."""
    both = {prompt_type: side_modules(model, prompt_type) for prompt_type in PromptType}
    lengths = {prompt_type: _side_length(both[prompt_type][0], prompt_type) for prompt_type in both}
    first = both[side][0]
    chats = _chats(first) if _reads_messages(first) else {}
    dim = int(model.get_embedding_dimension() or 0)
    if min(dim, shortest := min(lengths.values())) < 1:
        raise ValueError(f"it reads {shortest} tokens, and its vectors have {dim} numbers")
    pooled = dict.fromkeys(_pooling(modules) for modules in both.values())
    return Facts(
        dim=dim,
        max_length=max(lengths.values()),
        pooling="|".join(pooled),
        prompt_in_pooling=bool(chats)
        or all(
            getattr(module, "include_prompt", True)
            for modules in both.values()
            for module in modules
        ),
        fp16_overflows=any(
            not is_static(modules[0]) and modules[0].config.model_type in FP16_OVERFLOWS
            for modules in both.values()
        ),
        query_length=lengths[PromptType.QUERY],
        document_length=lengths[PromptType.DOCUMENT],
        special_tokens=(
            not (is_static(first) or chats)
            and bool(_tokenizing(first).get("add_special_tokens", True))
        ),
        cut_left=_cuts_left(first),
        query_chat=chats.get(PromptType.QUERY),
        document_chat=chats.get(PromptType.DOCUMENT),
        table=_table_kind(both[side], model.truncate_dim),
    )


def _table_kind(modules: list[Any], dim: int | None) -> str:
    """Return how static embeddings become a vector; "" for what a table alone does not give."""
    first, *rest = modules
    kinds = {type(module).__name__ for module in rest} - {"Dropout"}
    if not is_static(first) or dim is not None or not kinds <= {"Normalize"}:
        return ""
    return UNIT_MEAN if kinds else MEAN


def _cuts_left(first: Any) -> bool:  # noqa: ANN401  # of sentence-transformers
    if is_static(first):
        return bool((first.tokenizer.truncation or {}).get("direction") == "left")
    return bool(first.tokenizer.truncation_side == "left")


def _pooling(modules: list[Any]) -> str:
    if is_static(modules[0]):
        return MEAN
    modes = next((pooling_modes(module) for module in modules if pooling_modes(module)), ("none",))
    return "+".join(modes)


def _tokenizing(first: Any) -> dict[str, Any]:  # noqa: ANN401  # of sentence-transformers
    """Return what the tokenizer is called with: the file's `processing_kwargs`."""
    given = getattr(first, "processing_kwargs", None) or {}
    return {**given.get("text", {}), **given.get("common", {})}


def _side_length(first: Any, side: PromptType) -> int:  # noqa: ANN401  # of sentence-transformers
    """Return the tokens that are read of a text of a side."""
    if is_static(first):  # its tokenizer.json is obeyed
        return int((first.tokenizer.truncation or {}).get("max_length", NO_LIMIT))
    own = getattr(first, f"{side.value}_length", None)
    wanted = _tokenizing(first).get("max_length") or own
    return int(wanted or max_length(first.max_seq_length, first.auto_model))


def max_length(limit: int | None, model: nn.Module) -> int:
    """Return how many tokens a model reads: its tokenizer's limit, or that of its positions."""
    known = limit if limit and limit < NO_LIMIT else None
    table = _position_table(model)
    if table is not None:
        return int(min(known or table, table))
    positions: Any = getattr(model.config, "max_position_embeddings", None)
    # T5 and XLNet count no positions
    return int(known or (positions if isinstance(positions, int) and positions > 0 else NO_LIMIT))


@contextlib.contextmanager
def quiet(below: int = logging.ERROR) -> Iterator[None]:
    """Keep libraries from writing on our stdout, and from warning about what we know.

    Args:
        below: records up to that level go nowhere; the others only to handlers of ours.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # not ours
    transformers_logging.disable_default_handler()
    transformers_logging.disable_propagation()
    previous = logging.root.manager.disable
    logging.disable(below)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
