"""Documents are cut into chunks by the rule of an index, before they are encoded."""

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
        rule: of the index.
        tokens: where the tokens of a document are.

    Raises:
        UsageError: the model does not read as many tokens as a chunk has.
        MissingLibraryError: a parser that the rule names is not installed.
    """

    def __init__(self, rule: Chunking, tokens: DocumentTokens) -> None:
        if rule.tokens > tokens.text_room:
            raise UsageError(
                f"--chunk {rule}: the model reads {tokens.text_room:,} tokens of a text, beside "
                "its prompt",
                hint=f"--chunk {max(1, tokens.text_room // 2)}",
            )
        require_parsers(rule)
        self._rule = rule
        self._tokens = tokens

    @classmethod
    def of(cls, rule: Chunking | None, encoder: Encoder) -> Cutter | None:
        """Return a cutter by the rule of an index; None where documents are not cut.

        Raises:
            ModelUnavailableError: the tokenizer does not tell where tokens are.
            UsageError: the encoder does not tell its tokens, or reads fewer than a chunk has.
            MissingLibraryError: a parser that the rule names is not installed.
        """
        return cls(rule, document_tokens(encoder)) if rule else None

    def cut(self, text: str, metadata: str) -> Rows:
        """Return where the chunks of a text begin and end, int64[n, 2].

        Args:
            text: of a document.
            metadata: JSON; its field `language` says how the definitions of source code are found.

        Raises:
            ValueError: there are too many, or the tokenizer fails on the text.
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
        """Return where the definitions of source code are; None for prose."""
        if self._rule.method == SENTENCES:
            return None
        language = orjson.loads(metadata).get("language") if metadata else None
        if not isinstance(language, str):
            return []
        return find_definitions(text, language, tree_sitter=self._rule.method == DEFINITIONS)


def find_kept(text: str, cuts: Rows, stored_text: str, stored_cuts: Rows) -> tuple[Rows, Rows]:
    """Return which chunks of a text have the same text as a chunk of the stored one.

    A chunk is encoded without the text around it, so that such a chunk has the same vector.

    Args:
        text: of the document as it is now.
        cuts: int64[n, 2]: where its chunks begin and end.
        stored_text: of the document as the index has it.
        stored_cuts: int64[m, 2]: where its chunks begin and end.

    Returns:
        int64[k] twice: the number of each such chunk, and that of the stored chunk.
    """
    stored = {stored_text[begin:end]: at for at, (begin, end) in enumerate(stored_cuts.tolist())}
    pairs = [
        (at, stored[text[begin:end]])
        for at, (begin, end) in enumerate(cuts.tolist())
        if text[begin:end] in stored
    ]
    kept = np.array(pairs, np.int64).reshape(-1, 2)
    return kept[:, 0], kept[:, 1]
