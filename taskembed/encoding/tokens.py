"""Tokenises texts: special tokens + prompt + text (truncated to fit) + suffix + special tokens.

Prompt and text are tokenised as one string, as in sentence-transformers and by the models' authors:
a tokenizer may join the last characters of the prompt with the first of the text. The suffix is
appended after truncation (zEmbed-1), and the special tokens are added last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import takewhile
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from taskembed.encoding._chat import Chat
from taskembed.encoding._offsets import find_fault, offsets_of
from taskembed.encoding._prefixes import LONGEST_BYTES, SHORTEST_CHARS, LongTextTokenizer, grouped
from taskembed.errors import (
    BadInputError,
    ModelUnavailableError,
    TextTooLongError,
    first_line,
    is_panic,
)

_MOST_PROBES = 1_000

Ints = npt.NDArray[np.int64]
Result = TypeVar("Result")
# names of the tables of positions in models
POSITIONS = re.compile(r"(^|\.)(position_embeddings?|embed_positions|wpe)(\.weight)?$")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one text, as the model reads them."""

    ids: list[int]
    prompt_length: int  # leading tokens that are not pooled; 0 if all tokens are pooled
    truncated: bool
    types: list[int] | None = None  # for pairs: 0 for tokens of the query, 1 for the document


class PromptTokenizer:
    """The tokenizer of one side of a space. Thread-safe."""

    def __init__(  # noqa: PLR0913  # all but the first are named, most are optional
        self,
        tokenizer: Tokenizer,
        *,
        prompt: str,
        suffix: str = "",
        max_length: int,
        prompt_in_pooling: bool = True,
        special_tokens: bool = True,
        cut_left: bool = False,
        chat: Chat | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._long = LongTextTokenizer(tokenizer)
        self._prompt, self._ending = (chat and chat.around(prompt)) or (prompt, "")
        self._strips = chat is not None and chat.strips_text
        self._tail = self._common_end() if chat else []
        self._begin, specials = _special_tokens(tokenizer) if special_tokens else ([], [])
        self._end = [*self._ids([suffix])[0], *specials] if suffix else specials
        self._room = max(max_length - len(self._begin) - len(self._end), 0)
        self._cut_left = cut_left
        self._prompt_length = 0
        if prompt and not prompt_in_pooling and chat is None:
            alone = [*self._begin, *self._cut(self._ids([prompt])[0])]
            self._prompt_length = len(alone) + _surplus(alone, specials, tokenizer)

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of each text.

        Raises:
            TextTooLongError: some texts would take too much memory.
            ValueError: the tokenizer fails on a text.
        """
        encode = partial(self._long.encode, room=self._room, from_end=self._cut_left)
        try:
            found = _without_panic(encode, [self._whole(text) for text in texts])
        except TextTooLongError as error:
            raise TextTooLongError(texts, list(error.reasons)) from None
        return [
            Tokens(
                [*self._begin, *self._cut(ids), *self._end],
                self._prompt_length,
                len(ids) > self._room,
            )
            for ids in found
        ]

    @cached_property
    def text_room(self) -> int:
        """The number of tokens read of a text, without its prompt and the special tokens."""
        return max(self._room - len(self._ids([self._whole("")])[0]), 0)

    def offsets(self, text: str) -> Ints:
        """Return int64[n, 2]: the begin and end of each token of a text, in characters.

        Raises:
            ValueError: the tokenizer fails on the text.
        """
        return _without_panic(lambda texts: [offsets_of(self._tokenizer, texts[0])], [text])[0]

    def offsets_fault(self) -> str:
        """Return why the positions that `offsets` returns are wrong; "" if they are right."""
        return find_fault(self._tokenizer)

    def pieces(self, text: str) -> list[str]:
        """Return the tokens of a text as strings; raises the errors of `tokenize`."""
        ids = self.tokenize([text])[0].ids
        return [self._tokenizer.id_to_token(token) or f"[{token}]" for token in ids]

    def _whole(self, text: str) -> str:
        return self._prompt + (text.strip() if self._strips else text) + self._ending

    def _cut(self, ids: list[int]) -> list[int]:
        """Return the tokens that the model reads: the first ones, or the last if it cuts left.

        The end of a chat template replaces the last tokens, as in sentence-transformers.
        """
        kept = ids[max(len(ids) - self._room, 0) :] if self._cut_left else ids[: self._room]
        if self._tail and len(ids) >= self._room:
            end = self._tail[-self._room :]
            kept[len(kept) - len(end) :] = end
        return kept

    def _common_end(self) -> list[int]:
        """Return the tokens that end every text, which belong to the chat template."""
        one, other = self._ids([self._whole("0"), self._whole("1 2 3 4")])
        pairs = zip(reversed(one), reversed(other), strict=False)
        count = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return one[len(one) - count :] if count < min(len(one), len(other)) else []

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]


class PairTokenizer:
    """Joins query and document for a cross-encoder, with the model's own tokenizer.

    If both are too long together, the longer one is truncated, as in transformers.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_length: int) -> None:
        self._max_length = max_length
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(max_length, strategy="longest_first")

    def tokenize(self, query: str, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of the query with each text.

        Raises:
            BadInputError: the query would take too much memory.
            TextTooLongError: some texts would take too much memory.
            ValueError: the tokenizer fails on a text.
        """
        if len(query.encode()) > LONGEST_BYTES:
            raise BadInputError(
                f"the query has {len(query):,} characters, which is too long for reranking"
            )
        if any(len(text) > SHORTEST_CHARS for text in texts):
            texts = self._shortened(query, texts)

        def encode(some: Sequence[str]) -> list[Tokens]:
            encodings = self._tokenizer.encode_batch([(query, text) for text in some])
            return [
                Tokens(item.ids, 0, bool(item.overflowing), item.type_ids) for item in encodings
            ]

        # in groups, to bound memory: the library tokenises whole texts before truncation
        groups = grouped(texts, lambda text: query + text)
        return [one for some in groups for one in _without_panic(encode, some)]

    def _shortened(self, query: str, texts: Sequence[str]) -> list[str]:
        """Return the texts, shortened to more tokens than the model reads or the query has."""
        query_length = len(self._whole.encode(query, add_special_tokens=False).ids)
        return self._long.shortened(texts, max(self._max_length, query_length))

    @cached_property
    def _whole(self) -> Tokenizer:
        """A copy of the tokenizer without truncation, which takes up to a second to create."""
        return load_tokenizer(self._tokenizer.to_str())

    @cached_property
    def _long(self) -> LongTextTokenizer:
        return LongTextTokenizer(self._whole)


def load_tokenizer(json_text: str) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json, without truncation and padding.

    Raises:
        ValueError: the JSON is not a tokenizer, or cannot tokenise any text.
    """
    return _without_panic(_loaded, [json_text])[0]


def _loaded(json_texts: Sequence[str]) -> list[Tokenizer]:
    found = []
    for json_text in json_texts:
        tokenizer = Tokenizer.from_str(json_text)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode("a")
        found.append(tokenizer)
    return found


def _without_panic(
    encode: Callable[[Sequence[str]], list[Result]], texts: Sequence[str]
) -> list[Result]:
    """Return `encode(texts)`; a panic of the Rust library becomes a ValueError.

    For example, a regular expression of a tokenizer.json may fail on a text.

    Raises:
        ValueError: the tokenizer fails on a text.
    """
    try:
        return encode(texts)
    except TextTooLongError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        if len(texts) > 1:
            return [one for text in texts for one in _without_panic(encode, [text])]
        raise ValueError(f"its tokenizer fails on {texts[0][:40]!r}: {first_line(error)}") from None


def _surplus(prompt: list[int], specials: list[int], tokenizer: Tokenizer) -> int:
    """Return the difference in tokens that sentence-transformers skips for a prompt.

    sentence-transformers tokenises the prompt alone, with special tokens, and subtracts one if the
    last token is special. The difference may be negative.
    """
    if specials:
        return len(specials) - 1
    last = tokenizer.get_added_tokens_decoder().get(prompt[-1]) if prompt else None
    return -1 if last is not None and last.special else 0


def _special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the ids of the special tokens before and after a text."""
    for text in _probes(tokenizer):
        bare = tokenizer.encode(text, add_special_tokens=False).ids
        full = tokenizer.encode(text, add_special_tokens=True).ids
        for start in range(len(full) - len(bare) + 1 if bare else 0):
            if full[start : start + len(bare)] == bare:
                return full[:start], full[start + len(bare) :]
    raise ModelUnavailableError(
        "the model's tokenizer changes a text when it adds special tokens",
        hint="name another model with --model",
    )


def _probes(tokenizer: Tokenizer) -> Iterator[str]:
    """Yield texts to try until one has a token, since a vocabulary may lack letters."""
    yield "a"
    yield from sorted(tokenizer.get_vocab())[:_MOST_PROBES]
