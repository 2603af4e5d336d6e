"""Finds the best sentence of each hit, by the query's words and, with an encoder, by meaning.

Words that are rare among the sentences of a query's hits count more. With an encoder, the best few
sentences of each hit by words are encoded; similarity has a weight of 0.8 and words a weight of
0.2, both scaled to 0..1 within the hit. docs/how-to/show-snippets.md reports the accuracy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np

from taskembed.index.ranking.hits import Hit, Snippet
from taskembed.index.word_tokens import WordTokenizer
from taskembed.reading.sentences import sentences
from taskembed.space import PromptType
from taskembed.vectors import FloatRows, Floats
from taskembed.verbs.protocols import Encoder

READ_CHARACTERS = 50_000  # characters of a text that are searched for sentences
ENCODED_SENTENCES = 8  # most sentences of a hit that are encoded
SIMILARITY_WEIGHT = 0.8


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence of a hit, and the score of its words."""

    text: str
    start: int
    words: frozenset[str]
    score: float = 0


def add_snippets(
    queries: Sequence[str],
    found: Sequence[Sequence[Hit]],
    encoder: Encoder | None = None,
    *,
    tokenizer: str = "",
) -> list[list[Hit]]:
    """Return the hits with the best sentence of each; for a hit with chunks, of its best chunk.

    Args:
        queries: texts, without a prompt.
        found: the hits of each query.
        encoder: an encoder of the index's space; None to choose by words alone. All sentences are
            encoded in one call.
        tokenizer: the name of the word tokenizer, as in `Index.words`; "" for English.

    Raises:
        ValueError: queries and hits differ in number, or there is no such tokenizer.
    """
    words = WordTokenizer.of(tokenizer) if tokenizer else WordTokenizer()
    passages = {hit.passage for hits in found for hit in hits}
    split = {passage: _split(passage, words) for passage in passages}
    scored = [
        _by_words(frozenset(words.words(query)), [split[hit.passage] for hit in hits])
        for query, hits in zip(queries, found, strict=True)
    ]
    if encoder is None:
        best = [[_first(some) for some in each] for each in scored]
    else:
        best = _by_meaning(queries, scored, encoder)
    return [
        [
            replace(hit, snippet=_in_text(hit, snippet))
            for hit, snippet in zip(hits, snippets, strict=True)
        ]
        for hits, snippets in zip(found, best, strict=True)
    ]


def _in_text(hit: Hit, snippet: Snippet | None) -> Snippet | None:
    """Return a snippet of the best chunk with its place in the whole text."""
    if snippet is None or hit.chunk is None:
        return snippet
    begin = hit.chunk.start
    return replace(snippet, start=begin + snippet.start, end=begin + snippet.end)


def _split(text: str, tokenizer: WordTokenizer) -> list[_Sentence]:
    read = text[:READ_CHARACTERS]
    return [
        _Sentence(read[start:end], start, frozenset(tokenizer.words(read[start:end])))
        for start, end in sentences(read)
    ]


def _by_words(
    wanted: frozenset[str], texts: Sequence[Sequence[_Sentence]]
) -> list[list[_Sentence]]:
    """Return the sentences of each text with scores: best first, equal ones in text order."""
    rarity = _rarity([item.words for text in texts for item in text])
    return [
        sorted(
            (
                replace(item, score=sum(sorted(rarity[word] for word in wanted & item.words)))
                for item in text
            ),
            key=lambda item: -item.score,
        )
        for text in texts
    ]


def _rarity(every: Sequence[Iterable[str]]) -> Mapping[str, float]:
    """Return the weight of each word: higher if fewer sentences have the word."""
    counts = Counter(word for words in every for word in words)
    return {
        word: log(1 + (len(every) - count + 0.5) / (count + 0.5)) for word, count in counts.items()
    }


def _by_meaning(
    queries: Sequence[str], scored: Sequence[Sequence[Sequence[_Sentence]]], encoder: Encoder
) -> list[list[Snippet | None]]:
    candidates = [[text[:ENCODED_SENTENCES] for text in each] for each in scored]
    several = [text for each in candidates for text in each if len(text) > 1]
    texts = list(dict.fromkeys(item.text for text in several for item in text))
    if not texts:
        return [[_first(text) for text in each] for each in scored]
    asked = encoder.encode(list(queries), PromptType.QUERY).vectors
    vectors = encoder.encode(texts, PromptType.DOCUMENT).vectors
    rows = {text: row for row, text in enumerate(texts)}
    return [
        [
            _first(text) if len(text) < 2 else _nearest(text, query, rows, vectors)  # noqa: PLR2004  # two
            for text in each
        ]
        for each, query in zip(candidates, asked, strict=True)
    ]


def _nearest(
    text: Sequence[_Sentence], query: Floats, rows: Mapping[str, int], vectors: FloatRows
) -> Snippet | None:
    similar = vectors[[rows[item.text] for item in text]] @ query
    by_words = np.array([item.score for item in text], np.float32)
    scores = SIMILARITY_WEIGHT * _scaled(similar) + (1 - SIMILARITY_WEIGHT) * _scaled(by_words)
    return _first([text[int(np.argmax(scores))]])


def _scaled(scores: Floats) -> Floats:
    """Scale scores to 0..1; if all are equal, all become 0."""
    span = float(np.ptp(scores))
    scaled: Floats = (scores - scores.min()) / (span or 1)
    return scaled


def _first(text: Sequence[_Sentence]) -> Snippet | None:
    if not text:
        return None
    return Snippet(text[0].text, text[0].start, text[0].start + len(text[0].text))
