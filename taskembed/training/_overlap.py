"""Finds training texts that are also in evaluation data, so that they can be left out.

    known = KnownTexts(judged_texts(Path("data"), ["classification/*"]))
    known.match("How do I revert a card payment?")    # Match.EXACT, Match.NEAR or None

Two texts are the same if they differ only in case, punctuation and spaces. They are nearly the
same if the sets of their five-character sequences have a Jaccard similarity of at least 0.8
(Broder 1997, https://doi.org/10.1109/SEQUEN.1997.666900). Only the first 512 characters of a text
are compared.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path

from taskembed.errors import BadInputError, NotFoundError
from taskembed.evaluation.data import data_files, is_ranking, read_ranking
from taskembed.extras import TRAIN, require_extra
from taskembed.reading.examples import read_examples

SHINGLE = 5  # characters in a sequence
COMPARED = 512  # characters compared, from the start of a text
NEAR = 0.8  # Jaccard similarity of texts that are nearly the same
PERMUTATIONS = 64  # in the sketch that finds the pairs to compare exactly
PROPOSED = 0.7  # Jaccard similarity by the sketch; below NEAR, since a sketch errs by about 1/8

# the files with evaluation data in a folder without queries; other names are training data
_JUDGED_FILES = ("pairs", "test", "texts", "titles")
_BETWEEN = re.compile(r"[\W_]+")


class Match(Enum):
    """How a text matches a known one."""

    EXACT = "exact"
    NEAR = "near"


class KnownTexts:
    """Texts of evaluation data, to compare training texts with."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._sketches = require_extra("datasketch", TRAIN)
        self._texts = list(dict.fromkeys(filter(None, map(normalised, texts))))
        self._exact = set(self._texts)
        self._near = self._sketches.MinHashLSH(threshold=PROPOSED, num_perm=PERMUTATIONS)
        with self._near.insertion_session() as session:
            for number, text in enumerate(self._texts):
                session.insert(number, self._sketch(_shingles(text)), check_duplication=False)

    def __len__(self) -> int:
        return len(self._texts)

    def match(self, text: str) -> Match | None:
        """Return how a text matches one of the known texts; None if it matches none."""
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
    """Return the words of a text in lower case, separated by spaces; at most 512 characters."""
    return _BETWEEN.sub(" ", text.casefold()).strip()[:COMPARED]


def _shingles(text: str) -> set[str]:
    return {text[start : start + SHINGLE] for start in range(max(1, len(text) - SHINGLE + 1))}


def judged_texts(folder: Path, patterns: Iterable[str]) -> Iterator[str]:
    """Yield the judged texts of evaluation data: queries, their relevant documents, labelled texts.

    Documents that are relevant to no query are left out: to train on them does not tell which
    document answers a query. `corpus_texts` yields all documents.

    Args:
        folder: the folder that the patterns are relative to.
        patterns: folders of evaluation data, such as "retrieval/*".

    Raises:
        NotFoundError: a pattern matches no folder.
        BadInputError: a file cannot be read, or a folder has no evaluation data.
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
    """Yield the texts of all documents that evaluation data is searched in.

    The parameters and the errors are those of `judged_texts`.
    """
    for place in _folders(folder, patterns):
        if is_ranking(place):
            yield from (item.text for item in read_ranking(place).documents or ())


def _folders(folder: Path, patterns: Iterable[str]) -> Iterator[Path]:
    for pattern in patterns:
        places = sorted(path for path in folder.glob(pattern) if path.is_dir())
        if not places:
            raise NotFoundError(
                f"no folder matches {folder / pattern}", hint="check exclude in the recipe"
            )
        yield from places


def _labelled_texts(place: Path) -> Iterator[str]:
    paths = [path for stem in _JUDGED_FILES for path in data_files(place, stem)]
    if not paths:
        raise BadInputError(f"{place} has no evaluation data", hint="check exclude in the recipe")
    for path in paths:
        for example in read_examples(path)[1]:
            yield from example.texts
