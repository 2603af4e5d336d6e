"""Cuts documents into chunks by the rule of an index, before they are encoded."""

from __future__ import annotations

from itertools import islice

import numpy as np
import orjson

from taskembed.errors import UsageError
from taskembed.index.chunking import DEFINITIONS, SENTENCES, Chunking, require_parsers
from taskembed.reading.chunks import find_chunks
from taskembed.reading.definitions import Definition, find_definitions
from taskembed.vectors import Rows
from taskembed.verbs.protocols import DocumentTokens, Encoder, document_tokens

MOST_CHUNKS = 65_536  # chunks of one document; bounds the memory for its vectors


class Cutter:
    """Cuts the texts of documents.

    Args:
        rule: the chunk rule of the index.
        tokens: locates the tokens of a document.

    Raises:
        UsageError: the model reads fewer tokens than a chunk has.
        MissingLibraryError: a parser that the rule names is not installed.
    """

    def __init__(self, rule: Chunking, tokens: DocumentTokens) -> None:
        if rule.tokens > tokens.text_room:
            raise UsageError(
                f"--chunk {rule}: the model reads only {tokens.text_room:,} tokens of a text, in "
                "addition to the prompt",
                hint=f"use --chunk {max(1, tokens.text_room // 2)}",
            )
        require_parsers(rule)
        self._rule = rule
        self._tokens = tokens

    @classmethod
    def of(cls, rule: Chunking | None, encoder: Encoder) -> Cutter | None:
        """Return a cutter by the rule of an index; None if its documents are not cut.

        Raises:
            ModelUnavailableError: the tokenizer does not report the positions of tokens.
            UsageError: the encoder has no tokenizer, or reads fewer tokens than a chunk has.
            MissingLibraryError: a parser that the rule names is not installed.
        """
        return cls(rule, document_tokens(encoder)) if rule else None

    def cut(self, text: str, metadata: str) -> Rows:
        """Return where the chunks of a text begin and end, int64[n, 2].

        Args:
            text: the text of a document.
            metadata: JSON; its field `language` selects the parser of source code.

        Raises:
            ValueError: there are too many chunks, or the tokenizer fails on the text.
        """
        rule = self._rule
        chunks = find_chunks(
            text,
            self._tokens.offsets,
            tokens=rule.tokens,
            overlap=rule.overlap,
            definitions=self._definitions(text, metadata),
        )
        found = list(islice(chunks, MOST_CHUNKS + 1))
        if len(found) > MOST_CHUNKS:
            raise ValueError(
                f"the text has more than {MOST_CHUNKS:,} chunks of {rule.tokens} tokens"
            )
        return np.array(found, np.int64).reshape(-1, 2)

    def _definitions(self, text: str, metadata: str) -> list[Definition] | None:
        """Return the positions of definitions in source code; None for prose."""
        if self._rule.method == SENTENCES:
            return None
        language = orjson.loads(metadata).get("language") if metadata else None
        if not isinstance(language, str):
            return []
        return find_definitions(text, language, tree_sitter=self._rule.method == DEFINITIONS)


def find_kept(text: str, cuts: Rows, stored_text: str, stored_cuts: Rows) -> tuple[Rows, Rows]:
    """Find the chunks of a text that are equal to a chunk of the stored text.

    A chunk is encoded without the text around it, so equal chunks have the same vector.

    Args:
        text: the new text of the document.
        cuts: int64[n, 2]: where the new chunks begin and end.
        stored_text: the stored text of the document.
        stored_cuts: int64[m, 2]: where the stored chunks begin and end.

    Returns:
        int64[k] twice: the numbers of these chunks, and of the equal stored chunks.
    """
    stored = {stored_text[begin:end]: at for at, (begin, end) in enumerate(stored_cuts.tolist())}
    pairs = [
        (at, stored[text[begin:end]])
        for at, (begin, end) in enumerate(cuts.tolist())
        if text[begin:end] in stored
    ]
    kept = np.array(pairs, np.int64).reshape(-1, 2)
    return kept[:, 0], kept[:, 1]
