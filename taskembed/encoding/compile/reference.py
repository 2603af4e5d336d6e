"""Compares the encoding of texts, from string to vector, with sentence-transformers.

    compare(model, side, name="me/mine", prompt="query: ", ours=encode, ...)

A model whose vectors differ is refused when it is compiled, whatever causes the difference. Imports
torch and sentence-transformers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from taskembed.encoding.compile._pooled import is_static, side_modules
from taskembed.encoding.compile.encoders import KNOWN_MODULES, backend_tokenizer
from taskembed.encoding.compile.quiet import quiet
from taskembed.errors import ModelUnavailableError, TaskembedError, first_line, is_panic
from taskembed.space import PromptType
from taskembed.vectors import FloatRows

TOLERANCE = 1e-3  # largest difference of a number of a vector, in fp32
MOST_TOKENS = 40_000  # tokens of a text that is truncated
# Tokens encoded of a long text: as many as two cores encode in some seconds, but at least 300.
# Attention windows, and other special treatment of long texts, begin below 2,000 tokens.
LEAST_LENGTH, MOST_LENGTH, LONG_WORK = 300, 2_000, 4e11
_WORDS = 400  # different words in a long text
_TEXTS = (
    "fox",
    "the quick brown fox jumps over the lazy dog",
    "  White Space\n\nand \t LINES ",
    "ZWÖLF ÉTAIENT À \u0130stan Stra\u00dfe e\u0301 \ufb01n",
    "",
    "彗星とは何ですか。什么是彗星",
    "12,345.67 x² — “don't” 🙂 a@b.com",
)


@dataclass(frozen=True, slots=True)
class Way:
    """How taskembed encodes texts of a side, for the comparison.

    Attributes:
        name: the name of the model, for messages.
        side: the side of the texts.
        prompt: the prompt before each text.
        suffix: the suffix after each text, which the library does not support.
        leaves_prompt: whether the prompt's tokens are excluded from pooling although the model's
            files do not say so.
        limit: the number of tokens that are read of a text.
        tokens: returns the token ids of a text.
        vectors: returns the vectors of n texts, float32[n, dim].
        finish: shortens and normalises vectors of the library as taskembed does its own.
    """

    name: str
    side: PromptType
    prompt: str
    suffix: str
    leaves_prompt: bool
    limit: int
    tokens: Callable[[str], list[int]]
    vectors: Callable[[Sequence[str]], FloatRows]
    finish: Callable[[FloatRows], FloatRows]


def compare(model: SentenceTransformer, way: Way) -> None:
    """Compare the vectors of a few texts, and the tokens of a text that is too long.

    The suffix is passed to the library as part of the text, which is equivalent if the text is not
    truncated.

    Raises:
        ModelUnavailableError: they differ, or the library cannot encode a text.
    """
    first: Any = side_modules(model, way.side)[0]
    if not way.suffix:
        words = _vocabulary(first)
        _compare_tokens(model, way, _long(words, min(way.limit, MOST_TOKENS) + 10))
    texts = [*_TEXTS, " dog ".join(_special_tokens(first))]
    with _refusing(model, way, "no tokens of a text can be read"):
        # without any token, the vector would depend on the padding
        texts = [text for text in texts if way.tokens(text)]
    _compare_vectors(model, way, texts)


def compare_long(model: SentenceTransformer, way: Way) -> None:
    """Compare the vector of a long text, which is truncated if the model reads few tokens.

    Raises:
        ModelUnavailableError: the vectors differ, or the library cannot encode the text.
    """
    first: Any = side_modules(model, way.side)[0]
    affordable = int(LONG_WORK / (2 * max(_weights(first), 1)))
    length = min(MOST_LENGTH, max(LEAST_LENGTH, affordable))
    words = _vocabulary(first)
    if way.limit <= length and not way.suffix:
        _compare_vectors(model, way, [_long(words, way.limit + 10)])
        return
    sample = max(1, min(100, way.limit // 8))  # words, few enough for the model to read all of them
    with _refusing(model, way, "no tokens of a text can be read"):
        a_word = len(way.tokens(_long(words, sample))) / sample
    _compare_vectors(model, way, [_long(words, int(min(length, way.limit // 2) / max(a_word, 1)))])


def _weights(first: Any) -> int:  # noqa: ANN401  # of sentence-transformers
    """Return the number of weights that each token is multiplied with."""
    if is_static(first):
        return 0
    weights = sum(weight.numel() for weight in first.auto_model.parameters())
    return int(weights - first.auto_model.get_input_embeddings().weight.numel())


def _compare_vectors(model: SentenceTransformer, way: Way, texts: list[str]) -> None:
    encode = model.encode_query if way.side is PromptType.QUERY else model.encode_document
    ended = [text + way.suffix for text in texts]
    with _refusing(model, way, "sentence-transformers makes no vector"), _pooling_as(model, way):
        theirs = way.finish(
            encode(ended, prompt=way.prompt, convert_to_numpy=True, show_progress_bar=False)
        )
    with _refusing(model, way, "no vector can be computed"):
        ours = way.vectors(texts)
        alone = ours if len(texts) == 1 else np.concatenate([way.vectors([one]) for one in texts])
    if ours.shape != theirs.shape:
        raise _refused(
            model, way, f"{ours.shape[1]} numbers are computed, but {theirs.shape[1]} are expected"
        )
    if (_differences(alone, ours) > TOLERANCE).any():
        raise _refused(model, way, "the vector of a text depends on its batch")
    worst = _differences(ours, theirs)
    row = int(worst.argmax())
    if worst[row] > TOLERANCE:
        shown = repr(texts[row][:40])
        by = f" by {worst[row]:.2g}" if np.isfinite(worst[row]) else ""
        raise _refused(
            model, way, f"the vector of {shown} would differ{by} from sentence-transformers'"
        )


def _differences(ours: FloatRows, theirs: FloatRows) -> FloatRows:
    """Return the largest difference in each row, relative for numbers above 1.

    If a text has no vector (NaN, or length 0) in one of the two, it must have none in the other.
    """
    dead, dead_too = _dead(ours), _dead(theirs)
    live = ~(dead | dead_too)
    worst = np.where(dead != dead_too, np.inf, 0.0).astype(np.float32)
    size = max(1.0, float(np.abs(theirs[live]).max(initial=0)))
    worst[live] = np.abs(ours[live] - theirs[live]).max(axis=1, initial=0) / size
    return worst


def _dead(vectors: FloatRows) -> Any:  # noqa: ANN401  # bool[n]
    with np.errstate(invalid="ignore"):
        return ~np.isfinite(vectors).all(axis=1) | (np.abs(vectors).max(axis=1) < 1e-12)  # noqa: PLR2004  # the library's


def _compare_tokens(model: SentenceTransformer, way: Way, text: str) -> None:
    """Compare the tokens of a text after truncation; the text is too long to be encoded here."""
    with _refusing(model, way, "sentence-transformers reads no tokens of a long text"):
        features = model.preprocess([text], prompt=way.prompt, task=way.side.value)
        ids = features["input_ids"].flatten()  # of one text
        if "attention_mask" in features:  # static embeddings have none
            ids = ids[features["attention_mask"].flatten() == 1]
    with _refusing(model, way, "no tokens of a long text can be read"):
        ours = way.tokens(text)
    if ids.tolist() != ours:
        raise _refused(
            model,
            way,
            f"{len(ours)} tokens of a long text would be read, but sentence-transformers "
            f"reads {len(ids)}, or others",
        )


@contextlib.contextmanager
def _refusing(model: SentenceTransformer, way: Way, what: str) -> Iterator[None]:
    """Turn any error of a library within the context into a refusal of the model."""
    try:
        with quiet():
            yield
    except TaskembedError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        reason = first_line(error)
        raise _refused(model, way, f"{what} ({reason})") from error


@contextlib.contextmanager
def _pooling_as(model: SentenceTransformer, way: Way) -> Iterator[None]:
    """Exclude the prompt from the library's pooling, if models.toml or the user says so."""
    changed: list[Any] = [
        module for module in model.modules() if getattr(module, "include_prompt", False) is True
    ]
    for module in changed if way.leaves_prompt else ():
        module.include_prompt = False
    try:
        yield
    finally:
        for module in changed:
            module.include_prompt = True


def _special_tokens(first: Any) -> list[str]:  # noqa: ANN401  # of sentence-transformers
    added = backend_tokenizer(first).get_added_tokens_decoder().values()
    own = [token.content for token in added if token.special]
    return list(dict.fromkeys([*own[:5], "[CLS]", "</s>", "<|im_end|>"]))


def _vocabulary(first: Any) -> list[str]:  # noqa: ANN401  # of sentence-transformers
    """Return words that the model knows; unknown words would all be the same token."""
    stripped = (token.strip("\u0120\u2581#") for token in sorted(first.tokenizer.get_vocab()))
    words = [word for word in dict.fromkeys(stripped) if word.isalpha()] or ["fox", "dog"]
    step = max(len(words) // _WORDS, 1)
    return words[::step]


def _long(words: list[str], count: int) -> str:
    return " ".join(
        words[(7 * number + number // len(words)) % len(words)] for number in range(count)
    )


def _refused(model: SentenceTransformer, way: Way, why: str) -> ModelUnavailableError:
    causes = _suspects(model, way.side)
    told = f"; its files say: {', '.join(causes)}" if causes else ""
    return ModelUnavailableError(
        f"the model {way.name!r} cannot be computed correctly as a {way.side.value}: {why}{told}",
        hint="name another model with --model",
    )


def _suspects(model: SentenceTransformer, side: PromptType) -> list[str]:
    """Return the unusual settings in a model's files, each with the name of its file."""
    first, *rest = side_modules(model, side)
    if is_static(first):
        return []
    tokenizer = first.tokenizer
    given = getattr(first, "processing_kwargs", None) or {}
    found = [f"processing_kwargs {given} (sentence_bert_config.json)"] if given else []
    if first.do_lower_case:
        found.append("do_lower_case (sentence_bert_config.json)")
    found += [
        f"{key} (sentence_bert_config.json)"
        for key in ("query_length", "document_length", "unpad_inputs")
        if getattr(first, key, None) is not None
    ]
    found += [
        f"{key} 'left' (tokenizer_config.json)"
        for key in ("padding_side", "truncation_side")
        if getattr(tokenizer, key, "right") != "right"
    ]
    if getattr(tokenizer, "split_special_tokens", False):
        found.append("split_special_tokens (tokenizer_config.json)")
    if "message" in first.modality_config:
        found.append("a chat template (modality_config in sentence_bert_config.json)")
    if not all(getattr(module, "include_prompt", True) for module in rest):
        found.append("include_prompt (config.json of the Pooling)")
    kinds = [type(module).__name__ for module in rest]
    found += [f"a module {kind} (modules.json)" for kind in kinds if kind not in KNOWN_MODULES]
    if not any(hasattr(module, "pooling_mode") for module in rest):
        found.append("no Pooling (modules.json)")
    return found
