"""Explains what a model would encode: strings, tokens, sources; needs no weights and no network."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from taskembed.encoding.tokens import POSITIONS, PromptTokenizer, load_tokenizer
from taskembed.errors import ModelUnavailableError, NotFoundError, from_library
from taskembed.index.contents import read_index
from taskembed.models.adapters import CONFIG
from taskembed.models.catalogue import Family, Identified, identify
from taskembed.models.files import Hub, own_adapters, place_of
from taskembed.models.folder import SavedPrompts, renders_chat, saved_prompts, walk
from taskembed.models.lengths import NO_LIMIT
from taskembed.models.resolve import ModelSpec, PromptOverrides, resolve
from taskembed.models.saved_json import read_saved
from taskembed.models.sides import Side
from taskembed.models.stock_views import static_folder
from taskembed.space import EmbeddingSpace, HostedModel, PromptType, Task
from taskembed.verbs.opening.encoders import find_moved, require_task

DEFAULT_MAX_LENGTH = 512
_AFTER_TWO = {"bart", "mbart", "mpnet", "opt"}
# RoBERTa and these count positions from the padding token on: 514 of them hold 512 tokens
_AFTER_PADDING = {"camembert", "data2vec-text", "ibert", "longformer", "luke"}


@dataclass(frozen=True, slots=True)
class ExplainedSide:
    """What a model would encode for a text on one side of a task.

    Attributes:
        prompt: the string put before the text.
        source: the place that the prompt comes from, for people.
        adapter: the LoRA adapter merged into the weights; "" for none.
        request: the request field that tells the server of a hosted model whether a text is a
            query or a document, such as "input_type=search_query"; "" for none.
        encoded: the exact string: prompt, text and suffix.
        tokens: the tokens as in the vocabulary; None if the tokenizer is not on this machine.
        truncated: whether the model would truncate the text.
        max_length: the number of tokens that the model reads.
    """

    prompt: str
    source: str
    adapter: str
    request: str
    encoded: str
    tokens: tuple[str, ...] | None
    truncated: bool
    max_length: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a model would encode for a text on both sides of a task.

    Attributes:
        model: the full name of the model.
        task: the task.
        sides: what is encoded for a query, and for a document.
        notes: sentences for people, such as why no tokens are shown.
    """

    model: str
    task: Task
    sides: Mapping[PromptType, ExplainedSide]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return the explanation as a JSON object."""
        sides = {prompt_type.value: asdict(side) for prompt_type, side in self.sides.items()}
        return {"model": self.model, "task": self.task.value, **sides, "notes": list(self.notes)}


def explain_model(  # all but the first three are optional and named
    model: str,
    task: Task,
    text: str,
    *,
    revision: str | None = None,
    stated: PromptOverrides | None = None,
) -> Explanation:
    """Explain what a model would read of a text for a task.

    Args:
        model: "minilm", a folder, a Hugging Face id, or a hosted model.
        task: the task.
        text: the text to explain, without a prompt.
        revision: a branch, tag or commit of a Hugging Face model.
        stated: prompts, adapter and family, instead of the known ones.

    Raises:
        ModelUnavailableError: the model has no prompts for the task, or is not known at all.
    """
    known = identify(model)
    folder = _local_folder(known, revision)
    stated = stated or PromptOverrides()
    says_all = stated.query_prompt is not None or stated.family or stated.prompts
    if folder is None and known.family is None and not says_all:
        raise ModelUnavailableError(
            f"{model!r} is neither a known model nor on this machine",
            hint="`taskembed models` lists the known ones",
        )
    saved = saved_prompts(folder) if folder else SavedPrompts()
    spec = resolve(known, task, stated, saved=saved)
    limits = {side: _max_length(folder, side) for side in PromptType} if folder else {}
    explained = _explanation(spec, known.family, text, folder, limits)
    adapter = stated.adapter_for(task)
    note = _adapter_note(adapter, folder) if adapter else ""
    return replace(explained, notes=(*explained.notes, note)) if note else explained


def _adapter_note(name: str, model_folder: Path | None) -> str:
    """Return a note if the named adapter is not on this machine; otherwise "".

    Raises:
        ModelUnavailableError: the name is that of a folder without an adapter.
    """
    own = own_adapters(model_folder) if model_folder else ()
    if any((place / name / CONFIG).is_file() for place in own):
        return ""
    folder = _local_folder(identify(name), None)
    if folder is None:
        return f"the adapter {name!r} is not on this machine"
    if not (folder / CONFIG).is_file():
        raise ModelUnavailableError(
            f"the adapter {name!r} has no {CONFIG}: {folder}",
            hint="give a folder that PEFT saved",
        )
    return ""


def explain_index(
    index_folder: Path, text: str, *, task: Task | None = None, model: str | None = None
) -> Explanation:
    """Explain what a search or an update of an index would encode for a text.

    Args:
        index_folder: the folder of the index.
        text: the text to explain.
        task: the task that the index is expected to be for; None for any.
        model: the expected model of the index, or the folder to which that model was moved.

    Raises:
        NotFoundError: there is no index.
        SpaceMismatchError: the index is for another task, or of another model.
        ModelUnavailableError: there is no such model on this machine.
    """
    live = read_index(index_folder)[1].live
    space: EmbeddingSpace = live.of_task(task).space
    require_task(index_folder, space, task, views=live.tasks)
    moved_to = find_moved(space, model)
    known = identify(space.model)
    stated = PromptOverrides(
        query_prompt=space.query_prompt,
        document_prompt=space.document_prompt,
        adapter=space.document_adapter or None,
    )
    hosted = space.hosted or HostedModel("", "")
    source = f"the space of the index {index_folder}"
    sides = {
        side: Side(space.prompt(side), space.adapter(side), value, source)
        for side, value in (
            (PromptType.QUERY, hosted.query_value),
            (PromptType.DOCUMENT, hosted.document_value),
        )
    }
    spec = resolve(known, space.task, stated)
    spec = replace(spec, suffix=space.suffix, sides=sides, parameter=hosted.parameter)
    folder = moved_to or _local_folder(known, space.revision or None)
    limits = dict.fromkeys(PromptType, space.max_length)
    return _explanation(spec, known.family, text, folder, limits)


def describe_folder(name: str) -> dict[str, object]:
    """Describe an unknown model on this machine by its files: for people, or as JSON.

    Args:
        name: a folder, or a Hugging Face id.

    Raises:
        NotFoundError: there is no such model on this machine.
    """
    known = identify(name)
    folder = _local_folder(known, None)
    if folder is None:
        raise NotFoundError(
            f"{name!r} is neither a known model nor on this machine",
            hint="`taskembed models` lists the known ones",
        )
    saved = saved_prompts(folder)
    tasks: dict[str, object] = {}
    for task in Task:
        try:
            spec = resolve(known, task, saved=saved)
        except ModelUnavailableError:
            continue
        tasks[task.value] = {f"{side}_prompt": spec.prompt(side) for side in PromptType}
    return {
        "model": name,
        "folder": str(folder),
        "max_length": _max_length(folder),
        "prompts": dict(saved.prompts),
        "suffix": saved.suffix,
        "tasks": tasks,
    }


def _explanation(
    spec: ModelSpec,
    family: Family | None,
    text: str,
    folder: Path | None,
    limits: Mapping[PromptType, int | None],
) -> Explanation:
    notes = []
    tokenizer = _tokenizer(folder) if folder else None
    if tokenizer is None:
        notes.append(
            _server_note(spec)
            if spec.server
            else "the model is not on this machine, so its tokens are not shown"
        )
    if folder and renders_chat(walk(folder)):
        notes.append("the model puts every text into its chat template, which is not shown here")
    if not (spec.suffix or _differs_by_task(spec, family)):
        notes.append(
            "the model has no prompts: every task gives the same vectors. The task is still part "
            "of the space, so an index records its purpose"
        )
    has_specials = folder is None or static_folder(folder) is None
    sides = {
        prompt_type: _explained_side(
            spec, prompt_type, text, tokenizer, limits.get(prompt_type), special_tokens=has_specials
        )
        for prompt_type in PromptType
    }
    return Explanation(spec.model, spec.task, sides, tuple(notes))


def _server_note(spec: ModelSpec) -> str:
    where = f"the model runs on the server of {spec.server}"
    if any(side.value for side in spec.sides.values()):
        return f"{where}, which adds its own prompts"
    return f"{where}, which receives no task, only the text that is shown here"


def _differs_by_task(spec: ModelSpec, family: Family | None) -> bool:
    """Return whether any task has a prompt, an adapter, or a value for a server."""
    tasks = [spec.sides, *(family.tasks.values() if family else ())]
    return any(
        side.prompt or side.adapter or side.value for sides in tasks for side in sides.values()
    )


def _explained_side(  # one for each thing that is shown
    spec: ModelSpec,
    prompt_type: PromptType,
    text: str,
    tokenizer: Tokenizer | None,
    limit: int | None,
    *,
    special_tokens: bool,
) -> ExplainedSide:
    side, max_length = spec.sides[prompt_type], limit or DEFAULT_MAX_LENGTH
    explained = ExplainedSide(
        prompt=side.prompt,
        source=side.source,
        adapter=side.adapter,
        request=spec.request(prompt_type),
        encoded=f"{side.prompt}{text}{spec.suffix}",
        tokens=None,
        truncated=False,
        max_length=max_length,
    )
    if tokenizer is None:
        return explained
    try:
        prompted = PromptTokenizer(
            tokenizer,
            prompt=side.prompt,
            suffix=spec.suffix,
            max_length=max_length,
            special_tokens=special_tokens,
        )
        truncated = prompted.tokenize([text])[0].truncated
        pieces = tuple(prompted.pieces(text))
    except ValueError as error:
        raise ModelUnavailableError(f"the text has no tokens: {error}") from error
    return replace(explained, tokens=pieces, truncated=truncated)


def _local_folder(model: Identified, revision: str | None) -> Path | None:
    try:
        return Hub(offline=True).folder(place_of(model), revision=revision)[0]
    except ModelUnavailableError:
        return None


def _tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a model.

    Raises:
        ModelUnavailableError: the tokenizer's files are damaged, or it needs its own Python code.
    """
    path = (static_folder(folder) or folder) / "tokenizer.json"
    try:
        if path.exists():
            return load_tokenizer(path.read_text(encoding="utf-8"))
        from transformers import AutoTokenizer  # 2 s; only for models without a tokenizer.json

        slow = AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
        return load_tokenizer(slow.backend_tokenizer.to_str())
    except Exception as error:  # a model's files can make a library raise anything
        hint = "download the model again, or name another one"
        raise from_library(
            error, f"the tokenizer in {folder} cannot be loaded", hint=hint
        ) from error


def _max_length(folder: Path, side: PromptType | None = None) -> int | None:
    """Return the number of tokens that a model reads, from its files, without loading the model."""
    if static := static_folder(folder):
        truncation = (read_saved(static / "tokenizer.json") or {}).get("truncation")
        limit = _length(truncation.get("max_length")) if isinstance(truncation, dict) else None
        return limit or NO_LIMIT
    saved = read_saved(folder / "sentence_bert_config.json") or {}
    config = read_saved(folder / "config.json") or {}
    tokenizer = read_saved(folder / "tokenizer_config.json") or {}
    own = _length(saved.get(f"{side.value}_length")) if side else None
    said = _length(saved.get("max_seq_length")) or _length(tokenizer.get("model_max_length"))
    table = _position_table(folder, config)
    told = _length(config.get("max_position_embeddings"))
    return min(own or said or table, table) if table else own or said or told


def _position_table(folder: Path, config: Mapping[str, object]) -> int | None:
    """Return the number of position embeddings of a model; None if it has none."""
    kind, padding = str(config.get("model_type")), config.get("pad_token_id", 1)
    skips_padding = isinstance(padding, int) and ("roberta" in kind or kind in _AFTER_PADDING)
    unused = int(str(padding)) + 1 if skips_padding else 2 * (kind in _AFTER_TWO)
    told = _length(config.get("max_position_embeddings"))
    for path in sorted(folder.glob("*.safetensors")):
        with contextlib.suppress(SafetensorError), safe_open(path, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # it is no dict
                if POSITIONS.search(name):
                    held = int(tensors.get_slice(name).get_shape()[0]) - unused
                    return min(held, told) if told else held
    return None


def _length(value: object) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 < value < NO_LIMIT else None  # type: ignore[operator,call-overload]  # a number
