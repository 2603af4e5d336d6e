"""Words of texts, for lexical search: documents and queries are tokenized the same way.

A word is a run of letters and digits: lower case, without accents, reduced to its stem where the
language has a stemmer. Identifiers, paths and codes ("parseJSON", "snake_case", "src/main.rs",
"E0308") are kept whole and in parts. Chinese, Japanese and Korean, which have no spaces, become
pairs of neighbouring characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache

VERSION = 1  # of the rules below; increase it if a change yields other words for a text
DEFAULT_LANGUAGE = "english"
NO_LANGUAGE = "none"  # words are not reduced to stems

LONGEST_WORD = 64  # characters; the rest of a longer word is ignored
_KNOWN_RUNS = 100_000  # runs of letters and digits whose words are cached in memory

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_LETTER = rf"(?:(?![{_CJK}])\w)"
# runs of letters and digits, and what may join them; possessive, so that each is read in one pass
_RUNS = rf"[{_CJK}]+|{_LETTER}++(?:(?:[./\\-]|::){_LETTER}++)*+"
_ASCII_RUNS = re.compile(r"\w++(?:(?:[./\\-]|::)\w++)*+")  # the same in a text of ASCII
_JOINT = re.compile(r"[./\\-]|::")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+|[^\W\d_]+")
_MARKS = re.compile(r"[\u0300-\u036f]")
_IDENTIFIER = re.compile(r"\w_\w|[a-z][A-Z]|[^\W\d_]\d|\d[^\W\d_]|\w(?:[./\\]|::)\w")


class WordTokenizer:
    """Splits texts into words; tokenizers with the same `name` make the same words.

    Args:
        language: the language of the stemmer, as PyStemmer names it; "none" for no stems.

    Raises:
        ValueError: there is no stemmer for the language.
    """

    def __init__(self, language: str = DEFAULT_LANGUAGE) -> None:
        self.name = tokenizer_name(language)
        self._stem = _stemmer(language)
        self._of_known = lru_cache(_KNOWN_RUNS)(self._of_runs)

    @classmethod
    def of(cls, name: str) -> WordTokenizer:
        """Return the tokenizer with a name.

        Raises:
            ValueError: this version has no such tokenizer, or no such language.
        """
        kind, _, language = name.partition(":")
        if kind != f"words-{VERSION}":
            raise ValueError(f"there is no tokenizer {name!r} in this version")
        return cls(language)

    def words(self, text: str) -> list[str]:
        """Return the words of a text in their order; a word that occurs twice is there twice."""
        runs = _ASCII_RUNS
        if not text.isascii():
            text = unicodedata.normalize("NFKC", text)
            runs = re.compile(_RUNS)  # compiled here: it takes 0.01 s; Python caches it
        return [
            word
            for run in runs.findall(text)
            for word in (self._of_known if len(run) <= LONGEST_WORD else self._of_runs)(run)
        ]

    def _of_runs(self, joined: str) -> tuple[str, ...]:
        return tuple(self._words_of(joined))

    def _words_of(self, joined: str) -> Iterator[str]:
        if not joined.isascii() and re.match(f"[{_CJK}]", joined):
            yield from (joined[i : i + 2] for i in range(max(len(joined) - 1, 1)))
            return
        runs = _JOINT.split(joined)
        for run in runs:
            yield from self._of_run(run[:LONGEST_WORD])
        if len(runs) > 1:
            yield _folded(joined[:LONGEST_WORD])

    def _of_run(self, run: str) -> Iterator[str]:
        if run.isalpha() and (run.islower() or run[1:].islower() or run.isupper()):
            yield self._stem(_folded(run))
            return
        whole, parts = _folded(run), _PART.findall(run)
        if len(parts) != 1 or parts[0] != run:  # an identifier; or letters without cases
            if whole.strip("_"):
                yield whole
            if not parts:
                return
        yield from (self._stem(_folded(part)) for part in parts)


def names_identifier(text: str) -> bool:
    """Return whether a text has an identifier, path or code: "parseJSON", "a/main.rs", "E0308"."""
    return _IDENTIFIER.search(text) is not None


def tokenizer_name(language: str) -> str:
    """Return the name of the tokenizer with the stems of a language, which is not checked."""
    return f"words-{VERSION}:{language}"


def require_language(language: str) -> None:
    """Check that a language has a stemmer; the language "none" passes too.

    Raises:
        ValueError: the language has no stemmer; the message lists the languages that have one.
    """
    _stemmer(language)


def _folded(word: str) -> str:
    """Return a word in lower case, without accents."""
    word = word.lower()
    if word.isascii():
        return word
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", word)))


def _stemmer(language: str) -> Callable[[str], str]:
    if language == NO_LANGUAGE:
        return str
    import Stemmer

    try:
        stemmer = Stemmer.Stemmer(language)
    except KeyError:
        known = ", ".join([*Stemmer.algorithms(), NO_LANGUAGE])
        raise ValueError(f"no stemmer for {language!r}; known languages: {known}") from None
    return lambda word: str(stemmer.stemWord(word))
