"""Measures the effect of prompts and adapters: the right ones, none, and wrong ones.

right            the task's own prompts and adapter
no prompt        the same without any prompt
no adapter       the same without the adapter
swapped roles    queries encoded as documents, documents as queries
as TASK          another task's prompts and adapter
words            no vectors: ranked by the words of the texts (BM25); retrieval and code only
hybrid           ranked by the right vectors and by words, as in a hybrid search
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from taskembed.activity import doing
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ModelUnavailableError
from taskembed.evaluation.compare import measure_run
from taskembed.evaluation.data import Judged, Ranking
from taskembed.evaluation.evaluate import evaluate, indexed, rank_index
from taskembed.evaluation.measured import Measured, ScoreDifference, paired_difference
from taskembed.evaluation.remembering import RememberingEncoder
from taskembed.index.ranking.modes import Mode
from taskembed.index.reader import Index
from taskembed.models.resolve import PromptOverrides
from taskembed.space import SYMMETRIC_TASKS, EmbeddingSpace, PromptType, Task
from taskembed.vectors import Encoded, Rows
from taskembed.verbs.opening.wrapping import WrappingEncoder
from taskembed.verbs.protocols import Encoder

RIGHT = "right"
_OTHER_SIDE = {PromptType.QUERY: PromptType.DOCUMENT, PromptType.DOCUMENT: PromptType.QUERY}


@dataclass(frozen=True, slots=True)
class Ablated:
    """One way of encoding the data, and its figures.

    Attributes:
        name: name of the way, such as "no prompt".
        space: the space of its vectors; for "swapped roles", with the two sides exchanged.
        measured: its figures.
        difference: its main figure minus that of the right way; None for the right way itself.
        same_as: the earlier way that gives the same vectors; "" if there is none.
        mode: how the documents are ranked: by vectors, except for "words" and "hybrid".
    """

    name: str
    space: EmbeddingSpace
    measured: Measured
    difference: ScoreDifference | None
    same_as: str = ""
    mode: Mode = Mode.DENSE

    def to_json(self) -> dict[str, object]:
        """Return the row as a JSON object; a number that does not exist is NaN."""
        return {
            "name": self.name,
            "mode": self.mode.value,
            "query_prompt": self.space.query_prompt,
            "document_prompt": self.space.document_prompt,
            "query_adapter": self.space.query_adapter,
            "document_adapter": self.space.document_adapter,
            "query_request": self.space.request(PromptType.QUERY),
            "document_request": self.space.request(PromptType.DOCUMENT),
            "values": dict(self.measured.values),
            "difference": self.difference.value if self.difference else None,
            "interval": [self.difference.low, self.difference.high] if self.difference else None,
            "same_as": self.same_as or None,
        }


def ablate(
    model: str | None,
    task: Task,
    data: Judged,
    *,
    revision: str | None = None,
    stated: PromptOverrides | None = None,
    settings: EngineSettings | None = None,
) -> Iterator[Ablated]:
    """Evaluate a model in the right way, in each wrong way that applies to it, and with words.

    Args:
        model: the model's name, as for `load_encoder`.
        task: the task of the data.
        data: the data.
        revision: branch, tag or commit of the model.
        stated: the right prompts and adapter, instead of the known ones.
        settings: where and how the model runs; `notify` is called with each way, and with each task
            that is left out.

    Yields:
        One row for each way, the right way first.

    Raises:
        ModelUnavailableError: the model cannot be loaded, or has no prompts for the task.
        MissingLibraryError: a library of the extra `evaluate` is not installed.
    """
    settings = settings or EngineSettings()
    ways = _ways(model, task, revision, stated or PromptOverrides(), settings)
    name, encoder = next(ways)
    if isinstance(data, Ranking):  # an index of the documents is also needed for rankings by words
        encoder = RememberingEncoder(encoder)
    right = _measured(name, lambda: evaluate(encoder, data), settings)
    yield Ablated(name, encoder.space, right, None)
    seen = {_key(encoder): (name, right)}
    for name, other in ways:
        same_as, measured = seen.get(_key(other), ("", None))
        if measured is None:
            measured = _measured(name, partial(evaluate, other, data), settings)
            seen[_key(other)] = name, measured
        yield Ablated(name, other.space, measured, paired_difference(right, measured), same_as)
    if not isinstance(data, Ranking):
        return
    with indexed(encoder, data) as index:
        for mode in (Mode.WORDS, Mode.HYBRID):
            measured = _measured(
                mode.value, partial(_measured_by, mode, index, encoder, data), settings
            )
            difference = paired_difference(right, measured)
            yield Ablated(mode.value, encoder.space, measured, difference, mode=mode)


def _measured_by(mode: Mode, index: Index, encoder: Encoder, data: Ranking) -> Measured:
    return measure_run(data.judgements, rank_index(index, encoder, data, mode=mode))


def _measured(name: str, measure: Callable[[], Measured], settings: EngineSettings) -> Measured:
    settings.notify(f"evaluating: {name}")
    with doing(f"evaluating: {name}"):
        return measure()


def _ways(
    model: str | None,
    task: Task,
    revision: str | None,
    stated: PromptOverrides,
    settings: EngineSettings,
) -> Iterator[tuple[str, Encoder]]:
    def encoder(stated: PromptOverrides, task: Task = task) -> Encoder:
        return load_encoder(model, task, revision=revision, stated=stated, settings=settings)

    right = encoder(stated)
    space = right.space
    yield RIGHT, right
    if space.query_prompt or space.document_prompt:
        none = replace(stated, query_prompt="", document_prompt="", instruction=None)
        yield "no prompt", encoder(none)
    if space.adapter_digest:
        yield "no adapter", encoder(replace(stated, adapter=""))
    if task not in SYMMETRIC_TASKS:
        yield "swapped roles", _Swapped(right)
    unstated = replace(stated, query_prompt=None, document_prompt=None, adapter=None)
    for other in Task:
        if other is task:
            continue
        try:
            yield f"as {other.value}", encoder(unstated, other)
        except ModelUnavailableError as error:
            settings.notify(f"left out: as {other.value}: {error.message}")


class _Swapped(WrappingEncoder):
    """An encoder that encodes queries as documents, and documents as queries."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space with its two sides exchanged."""
        return self._encoder.space.swapped()

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Encode texts as if they were on the other side."""
        return self._encoder.encode(texts, _OTHER_SIDE[prompt_type])

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Encode texts as if they were on the other side: see `Encoder.encode_slices`."""
        return self._encoder.encode_slices(texts, _OTHER_SIDE[prompt_type])


def _key(encoder: Encoder) -> object:
    """Return a key that is equal for encoders with the same vectors for the same texts."""
    space = encoder.space
    return replace(space, task=Task.RETRIEVAL, model="", revision="")
