"""Finds the words that distinguish a cluster from the others, by c-TF-IDF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import log

from taskembed.index.word_tokens import NO_LANGUAGE, WordTokenizer

TERMS = 8  # terms of each cluster
_SHORTEST = 2  # characters; shorter words are not counted
# frequent English words, which would be terms of every cluster; there is no list for others
_STOP = (
    "a about after again all also am an and any are as at be because been before being "
    "between both but by can could did do does doing don down during each few for from "
    "further get got had has have having he her here hers him his how i if in into is it its "
    "just let like ll me more most my no nor not now of off on once one only or other our out "
    "over own re s same she should so some such t than that the their them then there these "
    "they this those through to too two under until up us use used using ve very was we were "
    "what when where which while who whom why will with would you your "
)
STOP_WORDS = frozenset(_STOP.split())


class ClusterTerms:
    """Counts the words of each cluster."""

    def __init__(self, clusters: int) -> None:
        self._counts: list[Counter[str]] = [Counter() for _ in range(clusters)]
        self._tokenizer = WordTokenizer(NO_LANGUAGE)

    def add(self, cluster: int, text: str) -> None:
        """Count the words of a text."""
        self._counts[cluster].update(self._tokenizer.words(text))

    def best(self, count: int = TERMS) -> list[list[str]]:
        """Return the best words of each cluster: frequent in it, and rare in the others."""
        total: Counter[str] = Counter()
        for counts in self._counts:
            total.update(counts)
        average = sum(total.values()) / max(len(self._counts), 1)
        return [_best(counts, total, average, count) for counts in self._counts]


def _best(
    counts: Mapping[str, int], total: Mapping[str, int], average: float, count: int
) -> list[str]:
    weights = {
        word: number * log(1 + average / total[word])
        for word, number in counts.items()
        if _is_shown(word)
    }
    return sorted(weights, key=lambda word: (-weights[word], word))[:count]


def _is_shown(word: str) -> bool:
    return word not in STOP_WORDS and len(word) >= _SHORTEST and not word.isdigit()


def terms_of(texts: Iterable[tuple[int, str]], clusters: int) -> list[list[str]]:
    """Return the best words of each cluster of some texts.

    Args:
        texts: pairs of a cluster and one of its texts; a cluster below 0 is left out.
        clusters: the number of clusters.
    """
    terms = ClusterTerms(clusters)
    for cluster, text in texts:
        if cluster >= 0:
            terms.add(cluster, text)
    return terms.best()
