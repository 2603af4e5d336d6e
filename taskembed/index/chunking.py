"""How long documents are cut into chunks: what a caller asks for, and the rule of an index."""

from __future__ import annotations

import re
from dataclasses import dataclass

from taskembed.errors import MissingLibraryError, UsageError

# Names of the ways to choose where to cut; a changed way gets a new name.
SENTENCES = "sentences-1"
PYTHON_DEFINITIONS = "definitions-1 (ast)"  # Python at its definitions, others at blank lines
DEFINITIONS = "definitions-1 (ast, tree-sitter)"
_METHODS = (SENTENCES, PYTHON_DEFINITIONS, DEFINITIONS)
LEAST_TOKENS = 16  # tokens of a chunk, at least; with fewer it is not a passage
_NUMBERS = re.compile(r"([0-9]{1,7})(?::([0-9]{1,7}))?")
OFF, AUTO = "off", "auto"
FORMS = "auto, or the tokens of a chunk and those that it shares with the next: 128 or 128:25"


@dataclass(frozen=True, slots=True)
class Chunking:
    """The rule by which the documents of an index are cut into chunks.

    Attributes:
        tokens: the largest number of tokens in a chunk, without the prompt and special tokens.
        overlap: about how many of these tokens are repeated at the start of the next chunk.
        method: the name of the way in which the places to cut are chosen.

    Raises:
        ValueError: a chunk has too few tokens, or shares more than half of them with the next one.
    """

    tokens: int
    overlap: int
    method: str = SENTENCES

    def __post_init__(self) -> None:
        if self.tokens < LEAST_TOKENS:
            raise ValueError(f"a chunk must have at least {LEAST_TOKENS} tokens, not {self.tokens}")
        if not 0 <= self.overlap <= self.tokens // 2:
            raise ValueError(
                f"two chunks of {self.tokens} tokens can share 0 to {self.tokens // 2} tokens, "
                f"not {self.overlap}"
            )

    def __str__(self) -> str:
        return f"{self.tokens}:{self.overlap}"

    def to_json(self) -> dict[str, object]:
        """Return the rule as a JSON object."""
        return {"tokens": self.tokens, "overlap": self.overlap, "method": self.method}

    @classmethod
    def from_json(cls, values: object) -> Chunking:
        """Read the output of `to_json`.

        Raises:
            ValueError: `values` has another form.
        """
        types = {"tokens": int, "overlap": int, "method": str}
        found = {key: type(item) for key, item in values.items()} if isinstance(values, dict) else 0
        if not isinstance(values, dict) or found != types:
            raise ValueError("the settings of its chunks have wrong values")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """How a caller asks for documents to be cut into chunks.

    Attributes:
        tokens: the tokens of a chunk; 0 for half of what the model reads; None for no chunks.
        overlap: the tokens that two neighbouring chunks share; None for a fifth of a chunk.
    """

    tokens: int | None = 0
    overlap: int | None = None

    @classmethod
    def parse(cls, text: str) -> ChunkRequest:
        """Parse "auto", "off", "128" or "128:25".

        Raises:
            UsageError: the string is none of these, or its numbers are impossible.
        """
        if text in {OFF, AUTO}:
            return cls(None if text == OFF else 0)
        found = _NUMBERS.fullmatch(text)
        if not found:
            raise UsageError(f"--chunk {text}: expected {FORMS}", hint="--chunk auto")
        tokens, overlap = int(found[1]), None if found[2] is None else int(found[2])
        try:
            Chunking(tokens, tokens // 5 if overlap is None else overlap)
        except ValueError as error:
            raise UsageError(f"--chunk {text}: {error}", hint="--chunk auto") from error
        return cls(tokens, overlap)

    def rule(self, max_length: int, method: str = SENTENCES) -> Chunking | None:
        """Return the rule for a model; None for no chunks.

        Args:
            max_length: the tokens that the model reads; 0 if only its server knows.
            method: the name of the way in which the places to cut are chosen.
        """
        if self.tokens is None:
            return None
        tokens = self.tokens or max(max_length // 2, LEAST_TOKENS)
        return Chunking(tokens, tokens // 5 if self.overlap is None else self.overlap, method)


def require_parsers(rule: Chunking) -> None:
    """Check that the libraries are installed that the rule of an index needs to cut source code.

    Raises:
        MissingLibraryError: one is not installed.
    """
    if rule.method != DEFINITIONS:
        return
    from taskembed.extras import CODE, install_hint  # needed only for this rule
    from taskembed.reading.definitions import has_tree_sitter

    if not has_tree_sitter():
        raise MissingLibraryError(
            "the source files of this index are cut at definitions by tree-sitter, which is not "
            "installed",
            hint=f"{install_hint(CODE)}; or cut only Python at its "
            f"definitions: --chunk {rule} --recreate",
        )


def require_same_rule(before: Chunking | None, asked: Chunking | None) -> None:
    """Check that a run asks for the rule by which the documents of an index are cut.

    Raises:
        UsageError: it asks for another rule, or this version does not know the rule of the index.
        MissingLibraryError: a library that the rule needs is not installed.
    """
    if before == asked:
        if before and before.method not in _METHODS:
            raise UsageError(
                f"the documents of this index are cut into chunks by {before.method}, which this "
                "version does not know",
                hint=f"build it again: --chunk {before} --recreate",
            )
        if before:
            require_parsers(before)
        return
    current = f"cut into chunks: --chunk {before}" if before else "not cut into chunks"
    requested = asked or OFF
    raise UsageError(
        f"--chunk {requested}: the documents of this index are {current}",
        hint=f"leave --chunk out to add to it; or build it again: --chunk {requested} --recreate; "
        "or another one: --index OTHER. Nothing was changed",
    )
