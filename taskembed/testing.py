"""Fakes for tests of programs that use taskembed: no model is run, and nothing is downloaded.

    from taskembed.testing import HashEncoder

    index_corpus([Document("a", "the moon")], HashEncoder(), tmp_path / "index")

Commands, and functions that open a model by its name, run fake models within `fake_models`:

    from taskembed.cli.main import main
    from taskembed.testing import fake_models

    with fake_models():
        code = main(["index", "corpus.jsonl", "--task", "retrieval"])

In a shell, `python -m taskembed.testing index corpus.jsonl --task retrieval` does the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from taskembed.space import EmbeddingSpace, PromptType, Task
from taskembed.vectors import Encoded, Rows

__all__ = ["HASH_SPACE", "HashEncoder", "fake_models"]

HASH_SPACE = EmbeddingSpace(
    model="hash",
    revision="",
    weights_digest="0" * 64,
    query_adapter="",
    document_adapter="",
    adapter_digest="",
    task=Task.RETRIEVAL,
    query_prompt="query: ",
    document_prompt="passage: ",
    suffix="",
    pooling="mean",
    max_length=32,
    dim=16,
    truncation="none",
    normalize=True,
    metric="cosine",
    template="{title?} {text}",
)
SLICE = 8  # texts encoded at once


class HashTokens:
    """The positions of words in texts; words are the tokens of a `HashEncoder`.

    Attributes:
        text_room: the number of words that are read of a text.
    """

    def __init__(self, text_room: int) -> None:
        self.text_room = text_room

    def offsets(self, text: str) -> Rows:
        """Return int64[n, 2]: the begin and end of each word, in characters."""
        places = [match.span() for match in re.finditer(r"\S+", text)]
        return np.array(places, np.int64).reshape(-1, 2)


class HashEncoder:
    """An `Encoder` without a model: a text's vector is the sum of a random vector for each word.

    Texts with common words are near each other; the prompt does not change the vector.

    Attributes:
        space: the space of the vectors; texts are truncated after `max_length` words.
        prompted: every text that was encoded, with its prompt, in order.
    """

    def __init__(self, space: EmbeddingSpace = HASH_SPACE, **changes: object) -> None:
        """Create an encoder of a space; `changes` replace fields of the space: `dim=8`."""
        self.space = replace(space, **changes)  # type: ignore[arg-type]  # fields of the space
        self.prompted: list[str] = []
        self._words: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]] = {}

    @property
    def made_by(self) -> Mapping[str, str]:
        """The engine, for people."""
        return {"engine": "hash", "precision": "fp32", "taskembed": "test"}

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Return vectors, float32[n, dim], and bool[n]: whether texts exceed `max_length` words."""
        self.prompted += [self.space.prompt(prompt_type) + text for text in texts]
        vectors = np.empty((len(texts), self.space.dim), np.float32)
        for row, text in enumerate(texts):
            words = text.lower().split()[: self.space.max_length]
            vectors[row] = sum((self._word(word) for word in words), start=self._word("") * 0.01)
        if self.space.normalize:
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        truncated = np.array([len(text.split()) > self.space.max_length for text in texts])
        return Encoded(vectors, truncated.astype(np.bool_))

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Yield int64[m] positions of texts and the m encoded texts, the longest texts first.

        `LocalEncoder` uses the same order.
        """
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]), reverse=True)
        for start in range(0, len(order), SLICE):
            rows = order[start : start + SLICE]
            yield np.array(rows, np.int64), self.encode([texts[row] for row in rows], prompt_type)

    def document_tokens(self) -> HashTokens:
        """Return the tokenizer of documents, whose tokens are words."""
        return HashTokens(self.space.max_length)

    def _word(self, word: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        if word not in self._words:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
            vector = np.random.default_rng(seed).standard_normal(self.space.dim)
            self._words[word] = vector.astype(np.float32)
        return self._words[word]


@contextmanager
def fake_models() -> Iterator[None]:
    """Return a context within which models are opened without being run.

    A model's files, tokenizer, prompts, adapters and space are real; only its numbers are fake: a
    text's vector is the sum of one random vector for each token. The context affects the whole
    process, all threads, and every way to open a model on this machine: `load_encoder`,
    `load_reranker`, commands, and the workers of `--engine ray`. Hosted models are not replaced.
    """
    from taskembed.encoding import fake  # numpy and tokenizers: 0.1 s
    from taskembed.verbs.workers.job import prepared_by

    prepared_by.append(fake.run_fakes_only)
    try:
        with fake.fake_models():
            yield
    finally:
        prepared_by.remove(fake.run_fakes_only)


def _main() -> int:
    from taskembed.cli.main import main

    with fake_models():
        return main()


if __name__ == "__main__":
    raise SystemExit(_main())
