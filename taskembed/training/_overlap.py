"""Texts to train on that are also texts to be judged on: found, so that they can be left out.

    known = KnownTexts(judged_texts(Path("data"), ["classification/*"]))
    known.match("How do I revert a card payment?")    # Match.EXACT, Match.NEAR or None

Two texts are the same when only case, punctuation and spaces tell them apart; and nearly the same
when of the runs of five characters that either has they share at least 0.8 (Jaccard; Broder 1997,
https://doi.org/10.1109/SEQUEN.1997.666900). Of longer texts the first 512 characters are compared.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path

from taskembed.errors import BadInputError, NotFoundError
from taskembed.evaluation.data import is_ranking, named, read_ranking
from taskembed.extras import require_extra
from taskembed.reading.examples import read_examples

EXTRA = "train"
SHINGLE = 5  # characters
COMPARED = 512  # characters
NEAR = 0.8
PERMUTATIONS = 64  # of the sketch, which only proposes what is then compared exactly
PROPOSED = 0.7  # below NEAR, since a sketch errs by about 1/8

# what is judged in a folder without queries; what is called otherwise is to train on
_JUDGED_FILES = ("pairs", "test", "texts", "titles")
_BETWEEN = re.compile(r"[\W_]+")


class Match(Enum):
    """How a text is one that is known."""

    EXACT = "exact"
    NEAR = "near"


class KnownTexts:
    """Texts that must not be met again."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._sketches = require_extra("datasketch", EXTRA)
        self._texts = list(dict.fromkeys(filter(None, map(normalised, texts))))
        self._exact = set(self._texts)
        self._near = self._sketches.MinHashLSH(threshold=PROPOSED, num_perm=PERMUTATIONS)
        with self._near.insertion_session() as session:
            for number, text in enumerate(self._texts):
                session.insert(number, self._sketch(_shingles(text)), check_duplication=False)

    def __len__(self) -> int:
        return len(self._texts)

    def match(self, text: str) -> Match | None:
        """Say how a text is one of them; None when it is not."""
        plain = normalised(text)
        if plain in self._exact:
            return Match.EXACT
        shingles = _shingles(plain)
        if not shingles:
            return None
        for number in self._near.query(self._sketch(shingles)):
            other = _shingles(self._texts[number])
            if len(shingles & other) >= NEAR * len(shingles | other):
                return Match.NEAR
        return None

    def _sketch(self, shingles: set[str]) -> object:
        sketch = self._sketches.MinHash(num_perm=PERMUTATIONS, hashfunc=zlib.crc32)
        sketch.update_batch([shingle.encode() for shingle in shingles])
        return sketch


def normalised(text: str) -> str:
    """Return a text without what does not tell it apart: its words, in lower case, and a space."""
    return _BETWEEN.sub(" ", text.casefold()).strip()[:COMPARED]


def _shingles(text: str) -> set[str]:
    return {text[start : start + SHINGLE] for start in range(max(1, len(text) - SHINGLE + 1))}


def judged_texts(folder: Path, patterns: Iterable[str]) -> Iterator[str]:
    """Yield the texts that evaluation sets judge: all but documents that answer no query.

    Those only stand in the way of the right ones; that a text of theirs is trained on says nothing
    about the right answer. `corpus_texts` has them too.

    Args:
        folder: that the patterns are relative to.
        patterns: of the sets' folders: "retrieval/*".

    Raises:
        NotFoundError: a pattern names no folder.
        BadInputError: a file cannot be read, or a folder has none of evaluation data.
    """
    for place in _folders(folder, patterns):
        if not is_ranking(place):
            yield from _labelled_texts(place)
            continue
        data = read_ranking(place)
        answers = {
            name
            for judged in data.judgements.values()
            for name, relevance in judged.items()
            if relevance > 0
        }
        yield from (query.text for query in data.queries)
        yield from (item.text for item in data.documents or () if item.doc_id in answers)


def corpus_texts(folder: Path, patterns: Iterable[str]) -> Iterator[str]:
    """Yield the texts of every document that evaluation sets search in; as `judged_texts`."""
    for place in _folders(folder, patterns):
        if is_ranking(place):
            yield from (item.text for item in read_ranking(place).documents or ())


def _folders(folder: Path, patterns: Iterable[str]) -> Iterator[Path]:
    for pattern in patterns:
        places = sorted(path for path in folder.glob(pattern) if path.is_dir())
        if not places:
            raise NotFoundError(f"no folder of the name {folder / pattern}", hint="see the recipe")
        yield from places


def _labelled_texts(place: Path) -> Iterator[str]:
    paths = [path for stem in _JUDGED_FILES for path in named(place, stem)]
    if not paths:
        raise BadInputError(f"{place} has no data to be judged on", hint="see the recipe's exclude")
    for path in paths:
        for example in read_examples(path)[1]:
            yield from example.texts
