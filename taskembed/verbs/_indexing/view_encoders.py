"""Combines the encoders of several views into one.

The vectors of a text for all views are concatenated into one row, in the order of the views, so
that they are encoded, stored and written together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from taskembed.errors import BadVectorError, TextTooLongError
from taskembed.space import EmbeddingSpace, PromptType
from taskembed.vectors import Encoded, FloatRows, Rows
from taskembed.verbs.protocols import (
    DocumentTokens,
    Encoder,
    SeveralSpaces,
    document_tokens,
    require_encoder,
)


def encoder_of_views(encoder: Encoder | Sequence[Encoder]) -> Encoder:
    """Combine the encoders of several views; a single encoder is returned unchanged.

    Raises:
        TypeError: an argument is not an encoder.
        ValueError: there is no encoder, or two are for the same task.
    """
    encoders: list[Encoder] = list(encoder) if isinstance(encoder, Sequence) else [encoder]
    for one in encoders:
        require_encoder(one)
    if not encoders:
        raise ValueError("there is no encoder")
    if len({one.space.task for one in encoders}) < len(encoders):
        raise ValueError("two encoders are for the same task: an index has one view for each task")
    return encoders[0] if len(encoders) == 1 else ViewsEncoder(tuple(encoders))


def spaces_of(encoder: Encoder) -> tuple[EmbeddingSpace, ...]:
    """Return the spaces of the views that an encoder is for."""
    return encoder.spaces if isinstance(encoder, SeveralSpaces) else (encoder.space,)


def shortest(spaces: Sequence[EmbeddingSpace]) -> int:
    """Return the number of tokens that the models of all views read; 0 if that is not known."""
    return min(space.max_length for space in spaces)


def by_view(vectors: FloatRows, spaces: Sequence[EmbeddingSpace]) -> list[FloatRows]:
    """Split concatenated vectors, float32[n, sum of dims], into those of each view."""
    if len(spaces) == 1:
        return [vectors]
    ends = np.cumsum([space.dim for space in spaces])
    return np.split(vectors, ends[:-1], axis=1)


def has_same_documents(one: EmbeddingSpace, other: EmbeddingSpace) -> bool:
    """Return whether documents have the same vectors in two spaces; queries may differ."""
    hosted = one.hosted and other.hosted
    if hosted:
        hosted = replace(hosted, query_value=one.hosted.query_value if one.hosted else "")
    same = replace(
        other,
        task=one.task,
        query_prompt=one.query_prompt,
        query_adapter=one.query_adapter,
        hosted=hosted,
    )
    return not one.differences(same)


@dataclass(frozen=True, slots=True)
class ViewsEncoder:
    """The encoders of several views as one, whose rows are their concatenated vectors."""

    encoders: tuple[Encoder, ...]

    @property
    def space(self) -> EmbeddingSpace:
        """The space of the first view."""
        return self.encoders[0].space

    @property
    def spaces(self) -> tuple[EmbeddingSpace, ...]:
        """The spaces of all views."""
        return tuple(one.space for one in self.encoders)

    @property
    def made_by(self) -> Mapping[str, str]:
        """The engine, its precision and the version."""
        return self.encoders[0].made_by

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Return concatenated vectors, and which texts are truncated in at least one view."""
        return self._joined(self.encoders[0].encode(texts, prompt_type), texts, prompt_type)

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Encode a few texts at a time: see `Encoder.encode_slices`."""
        for some, encoded in self.encoders[0].encode_slices(texts, prompt_type):
            rows = np.asarray(some, np.int64).tolist()
            try:
                joined = self._joined(encoded, [texts[row] for row in rows], prompt_type)
            except TextTooLongError as error:
                raise TextTooLongError(texts, [rows[at] for at in error.reasons]) from None
            yield some, joined

    def document_tokens(self) -> DocumentTokens:
        """Return an object that locates the tokens of a document, for the first view's model."""
        tokens = [document_tokens(one) for one in self.encoders]
        return _CommonTokens(tokens[0], min(one.text_room for one in tokens))

    def _joined(self, first: Encoded, texts: Sequence[str], side: PromptType) -> Encoded:
        """Return the vectors of all views, given those of the first.

        A model that encodes documents for two tasks in the same way does so once.
        """
        done: list[tuple[EmbeddingSpace, Encoded]] = [(self.space, first)]
        for one in self.encoders[1:]:
            alike = (encoded for space, encoded in done if has_same_documents(space, one.space))
            is_document = side is PromptType.DOCUMENT
            encoded = next(alike, None) if is_document else None
            done.append((one.space, encoded or one.encode(texts, side)))
        for space, encoded in done:
            if encoded.vectors.shape != (len(texts), space.dim):
                shape = f"{encoded.vectors.dtype}{list(encoded.vectors.shape)}"
                raise BadVectorError(
                    f"the model returned {shape} for {len(texts)} texts of the task {space.task}"
                )
        vectors = np.hstack([encoded.vectors for _, encoded in done])
        return Encoded(vectors, np.any([encoded.truncated for _, encoded in done], axis=0))


@dataclass(frozen=True, slots=True)
class _CommonTokens:
    """The tokens of the first view's model, limited to what the models of all views read."""

    first: DocumentTokens
    text_room: int

    def offsets(self, text: str) -> Rows:
        return self.first.offsets(text)
