"""The seams of a tokenizer: the positions at which a text can be cut without changing its tokens.

    seams = find_seams(tokenizer)

A seam, "word| next", is a position at which the tokenizer always splits, and where the text on one
side cannot change the tokens on the other. A tokenizer with a component that this module does not
know has no seams.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import Unigram, WordPiece

_NEAR = (256, 8_192)  # characters before the desired cut, searched for a seam in two steps

# letters and digits that no normaliser joins with a neighbour or turns into a space
_LETTERS = (
    "0-9A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u0391-\u03a1\u03a3-\u03a9\u03b1-\u03c9"
    "\u0410-\u044f\u05d0-\u05ea\u0621-\u064a\u0904-\u0939\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff"
    "\uac00-\ud7a3"
)
_IN_WORDS = (
    _LETTERS.replace("\u4e00-\u9fff", "") + "\U0001f300-\U0001faff"
)  # characters within a word, for BERT
_MARKS = r"!-/:-@\[-`{-~\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f"
_SAME_MARKS = r"(?P<mark>[!-/:-@\[-`{-~])(?=(?P=mark))"  # BERT makes each of these a separate word
_IDEOGRAPH = "[\u4e00-\u9fff]"
_WHITESPACE, _GAP = " \n\t\r", "[ \t\n\r]*"
_STOPS = '\uff0c\u3002,.+/:;="<(['  # seams of texts without spaces: Chinese, Japanese, base64, JSON
_BLANK = "\u2581"  # represents a space in a sentencepiece vocabulary

# A match of any of these patterns ends before a space that follows any character, and before a line
# feed or a stop that follows a letter. So the next match begins there, whatever text follows.
_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_WORD_STARTS = (
    r"[^\r\n\p{L}\p{N}]?\p{L}+",
    r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+",
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*",
)
_MARK_RUNS = (
    r" ?[^\s\p{L}\p{N}]+",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*",
)
_KNOWN_PATTERNS = {
    *("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", _CONTRACTIONS),
    *(r"\p{L}+", r" ?\p{L}+", r"\p{N}", r"\p{N}+", r" ?\p{N}+", r"\p{N}{1,3}"),
    *_WORD_STARTS,
    *(f"{word}{_CONTRACTIONS}?" for word in _WORD_STARTS),
    *_MARK_RUNS,
    *(r"\s*[\r\n]+", r"\s*[\r\n]", r"\s+(?!\S)", r"\s+"),
}

# normalisers whose result for a letter depends only on that letter and its combining marks
_LOCAL = {
    *("BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"),
    *("Precompiled", "Strip", "Prepend"),
}
_RUNS = {r" {2,}", r"\s+", r"\s{2,}|[\n\r\t]", r"[\n\r\t]", r"\n"}  # patterns safe to replace


class Seams:
    """The seams of a tokenizer: a text may be cut after the first character of each match.

    Args:
        tokenizer: the tokenizer that the seams belong to.
        pattern: matches where a text may be cut; None if there are no seams.
        from_end: whether the beginning of a text may be cut off as well.
        apart: whether each Chinese character is a separate word, with spaces around it.
        longest_word: characters; a longer word becomes one unknown token. 0 if the limit is
            unknown, or if words of any length are tokenised in parts.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        pattern: re.Pattern[str] | None,
        *,
        from_end: bool = False,
        apart: bool = False,
        longest_word: int = 0,
    ) -> None:
        self._normalizer = tokenizer.normalizer
        self._apart = apart
        self._runs = _runs_beyond(longest_word) if longest_word else None
        self.pattern = pattern
        self.from_end = from_end

    def last(self, text: str, begin: int, end: int) -> int:
        """Return the position of the last seam between two positions; 0 if there is none."""
        for length in (*_NEAR, end - begin):
            start = max(begin, end - length)
            for match in reversed(list(self._matches(text, start, end))[-2:]):
                if self._stays_visible(text[match.start()]):
                    return match.start() + 1
            if start == begin:
                return 0
        return 0

    def squeezed(self, text: str) -> str:
        """Return a text with the same tokens, in which overlong words and gaps are shortened."""
        return self._runs.sub(lambda match: match[1] or match[2], text) if self._runs else text

    def _matches(self, text: str, start: int, end: int) -> Iterator[re.Match[str]]:
        return self.pattern.finditer(text, start, end) if self.pattern else iter(())

    def _stays_visible(self, character: str) -> bool:
        """Return whether a character does not vanish or become a space when it is normalised."""
        if self._apart and re.match(_IDEOGRAPH, character):
            return True
        normalizer = self._normalizer
        after = normalizer.normalize_str(character) if normalizer else character
        return bool(after.strip()) and after[-1] not in {" ", _BLANK}


def find_seams(tokenizer: Tokenizer) -> Seams:
    """Return the seams of a tokenizer, derived from its normalisers and pre-tokenizers."""
    normalizers = _parts_of(tokenizer.normalizer, "normalizers")
    if not all(_is_local(part) for part in normalizers):
        return Seams(tokenizer, None)
    pre_tokenizers = _parts_of(tokenizer.pre_tokenizer, "pretokenizers")
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    patterns, exact = [], True
    for separator in _WHITESPACE + _STOPS:
        seam = _seam_at(separator, tokenizer, pre_tokenizers)
        if seam and not _any_across(added, {separator, seam.normalized}):
            patterns.append(f"[{seam.before}]{re.escape(separator)}{_after(separator, seam)}")
            exact = exact and seam.is_split
    apart = _isolates_ideographs(normalizers, pre_tokenizers)
    if apart and not any(re.search(_IDEOGRAPH, content) for content in added):
        patterns.append(f"{_IDEOGRAPH}(?={_IDEOGRAPH})")
    is_as_berts = _is_as_berts(normalizers, pre_tokenizers)
    if is_as_berts and not any(re.search(_SAME_MARKS, content) for content in added):
        patterns.append(_SAME_MARKS)
    pattern = re.compile("|".join(patterns)) if patterns else None
    longest = _longest_word(tokenizer, normalizers, pre_tokenizers, added)
    # Subtle: Unigram adds up scores from the beginning of a word. If the whole text is one word,
    # cutting off its beginning changes rounding errors of the sums, and so possibly the tokens.
    is_unigram = isinstance(tokenizer.model, Unigram)
    from_end = exact or not is_unigram
    return Seams(tokenizer, pattern, from_end=from_end, apart=apart, longest_word=longest)


def _after(separator: str, seam: _Seam) -> str:
    """Return a pattern for the text after a separator that no normaliser joins with it."""
    if not seam.is_split:
        return f"[{_LETTERS}]"
    return f"{_GAP}[{_LETTERS}]" if separator in _WHITESPACE else f"[{_LETTERS}{_MARKS}]"


def _parts_of(component: Any, key: str) -> list[dict[str, Any]]:  # noqa: ANN401  # of tokenizers
    """Return the parts of a normaliser or pre-tokenizer, in order."""
    if component is None:
        return []
    return list(_flat(json.loads(component.__getstate__()), key))


def _flat(state: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    if state["type"] != "Sequence":
        yield state
        return
    for part in state[key]:
        yield from _flat(part, key)


def _is_local(part: dict[str, Any]) -> bool:
    """Return whether a seam remains a seam after a normaliser, whatever the text around it."""
    if part["type"] != "Replace":
        return part["type"] in _LOCAL
    kind, pattern = next(iter(part["pattern"].items()))
    content = part["content"]
    if kind == "Regex":
        return pattern in _RUNS and content in {" ", _BLANK}
    if pattern == " ":
        return bool(content == _BLANK)
    is_across = len(pattern) > 1 and set(pattern) & set(_STOPS)
    return bool(content) and not is_across and not re.search(rf"[\s{_BLANK}]", pattern + content)


@dataclass(frozen=True, slots=True)
class _Seam:
    """A separator at which a text may be cut.

    Attributes:
        before: the characters that may precede it, as a character class.
        normalized: the separator after it was normalised.
        is_split: whether the tokenizer splits a text before it.
    """

    before: str
    normalized: str
    is_split: bool


def _seam_at(
    separator: str, tokenizer: Tokenizer, pre_tokenizers: list[dict[str, Any]]
) -> _Seam | None:
    """Return how a text may be cut at a separator; None if it may not."""
    normalizer = tokenizer.normalizer
    after = normalizer.normalize_str(f"a{separator}b") if normalizer else f"a{separator}b"
    found = re.search("a(.)b$", after, re.DOTALL)
    if not found:
        return None
    normalized = current = found[1]
    for part in pre_tokenizers:
        verdict = _splits_before(part, current)
        if verdict is None:
            return None
        if verdict:
            anything = current in {" ", _BLANK} or (current.isspace() and part["type"] != "Split")
            return _Seam(_LETTERS + _MARKS * anything, normalized, is_split=True)
        if part["type"] == "Metaspace" and current == " ":
            current = part["replacement"]
    if separator in _STOPS or not _never_crosses(tokenizer, current):
        return None
    return _Seam(_LETTERS + _MARKS, normalized, is_split=False)


def _splits_before(part: dict[str, Any], separator: str) -> bool | None:
    """Return whether a pre-tokenizer splits before a separator; None if that is unknown.

    False means that the next pre-tokenizer decides, and that neither side depends on the other.
    """
    is_space, is_stop = separator.isspace(), separator in _STOPS
    known = {
        "BertPreTokenizer": is_space or is_stop,
        "Whitespace": is_space or is_stop,
        "WhitespaceSplit": is_space,
        "ByteLevel": True if part.get("use_regex") and (is_space or is_stop) else None,
        "Metaspace": separator in {" ", part.get("replacement")} and part.get("split") is True,
        "Punctuation": False if not is_stop else part.get("behavior") == "Isolated" or None,
        "Digits": False,
    }
    if part["type"] != "Split":
        return known.get(part["type"])
    kind, pattern = next(iter(part["pattern"].items()))
    is_plain = kind == "String"
    return (_string_splits if is_plain else _pattern_splits)(part, pattern, separator)


def _string_splits(part: dict[str, Any], pattern: str, separator: str) -> bool | None:
    if pattern != " " or part["invert"]:
        return None
    if separator != " ":
        return False
    return part["behavior"] in {"Removed", "Isolated", "MergedWithNext"} or None


def _pattern_splits(part: dict[str, Any], pattern: str, separator: str) -> bool | None:
    is_isolated = part["behavior"] == "Isolated" and not part["invert"]
    keeps_matches = is_isolated or (part["behavior"] == "Removed" and part["invert"])
    alternatives = set(_alternatives(pattern))
    if not keeps_matches or not alternatives <= _KNOWN_PATTERNS:
        return None
    is_space, is_stop = separator.isspace(), separator in _STOPS
    begins = {r"\s+"} if is_space else {*_WORD_STARTS, *_MARK_RUNS}
    if (is_space or is_stop) and alternatives & begins:
        return True
    return False if is_isolated and separator != _BLANK and not is_stop else None


def _alternatives(pattern: str) -> Iterator[str]:
    """Yield the top-level alternatives of a pattern: "a|(b|c)" has "a" and "(b|c)"."""
    depth, begin, position, in_class = 0, 0, 0, False
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            position += 1
        elif in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "|" and not depth:
            yield pattern[begin:position]
            begin = position + 1
        position += 1
    yield pattern[begin:]


def _never_crosses(tokenizer: Tokenizer, separator: str) -> bool:
    """Return whether no token of the vocabulary contains a separator after another character.

    If so, the tokens on one side do not depend on the other side, since no token can span both,
    even if the model treats the whole text as one word.
    """
    state = type(tokenizer.model).__name__
    if state not in {"BPE", "Unigram"} or tokenizer.token_to_id(separator) is None:
        return False
    if state == "BPE":
        model = tokenizer.model
        if model.dropout or model.ignore_merges:
            return False
        if model.end_of_word_suffix or model.continuing_subword_prefix:
            return False
    return not _any_across(tokenizer.get_vocab(), {separator})


def _any_across(tokens: Iterable[str], separators: set[str]) -> bool:
    """Return whether a token contains a separator after anything but a space."""
    between = "|".join(re.escape(separator) for separator in sorted(separators))
    across = re.compile(rf"[^\s{_BLANK}](?:{between})")
    return any(across.search(token) for token in tokens)


def _is_as_berts(normalizers: list[dict[str, Any]], pre_tokenizers: list[dict[str, Any]]) -> bool:
    return [part["type"] for part in normalizers] == ["BertNormalizer"] and [
        part["type"] for part in pre_tokenizers
    ] == ["BertPreTokenizer"]


def _isolates_ideographs(
    normalizers: list[dict[str, Any]], pre_tokenizers: list[dict[str, Any]]
) -> bool:
    """Return whether each Chinese character is a separate word, as in BERT."""
    return _is_as_berts(normalizers, pre_tokenizers) and normalizers[0]["handle_chinese_chars"]


def _longest_word(
    tokenizer: Tokenizer,
    normalizers: list[dict[str, Any]],
    pre_tokenizers: list[dict[str, Any]],
    added: Iterable[str],
) -> int:
    """Return the length above which a word becomes one unknown token; 0 if it is unknown."""
    is_words = isinstance(tokenizer.model, WordPiece)
    if not is_words or not _is_as_berts(normalizers, pre_tokenizers):
        return 0
    if any(re.search(r"\s", content) or content.isalnum() for content in added):
        return 0  # such an added token might be a part of a long word
    return int(tokenizer.model.max_input_chars_per_word)


def _runs_beyond(longest_word: int) -> re.Pattern[str]:
    """Return a pattern of overlong words and of gaps; its group is the part to keep."""
    letters = f"[{_IN_WORDS}]"
    return re.compile(rf"({letters}{{{longest_word + 1}}}){letters}+|([ \t\n\r])[ \t\n\r]+")
