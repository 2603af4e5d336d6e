"""Converts scores of teachers to ratings: pairwise preferences, then the Bradley-Terry model.

Scores of different teachers, or of one teacher for different queries, have no common scale, but
preferences between two documents do. So scores are converted to preferences, and preferences to one
rating for each document:

    P(i beats j) = 1 / (1 + exp(rating_j - rating_i))

Sources: Bradley and Terry 1952 (https://doi.org/10.2307/2334029); fitted by maximum likelihood as
in Hunter 2004 (https://doi.org/10.1214/aos/1079120141). Elo's scale is the same times 400 / ln 10.
Training an embedding model on such ratings is zELO's pipeline (https://arxiv.org/abs/2509.12541),
which fits Thurstone's model: a normal distribution in place of the logistic one above.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from taskembed.extras import TRAIN, require_extra

ELO = 400 / np.log(10)  # Elo points in a rating difference of 1
# Precision of a normal prior that keeps ratings near 0: without it, the rating of a document that
# always wins would be infinite.
PRIOR = 1e-4
LEAST = 1e-6  # smallest distance of a score from 0 and 1, which have no logit

Matrix = npt.NDArray[np.float64]  # float64[n, n]
Ratings = npt.NDArray[np.float64]  # float64[n]


def preferences(scores: Matrix) -> Matrix:
    """Return how often each document beats each other one: the mean over the teachers.

    A teacher's score is its probability p that a document is relevant. Given that exactly one of
    two is relevant, it is i with probability p_i (1 - p_j) / (p_i (1 - p_j) + p_j (1 - p_i)), which
    is the logistic function of the difference of their logits.

    Args:
        scores: float64[teachers, n], from 0 to 1.

    Returns:
        float64[n, n]: [i, j] is how often i beats j; [i, j] + [j, i] = 1.
    """
    kept = np.clip(scores, LEAST, 1 - LEAST)
    logits = np.log(kept) - np.log1p(-kept)
    beats = 1 / (1 + np.exp(logits[:, None, :] - logits[:, :, None]))
    return np.asarray(beats.mean(axis=0), dtype=np.float64)


def fit_ratings(beats: Matrix) -> Ratings:
    """Return the ratings that make the preferences most likely; their mean is 0.

    Args:
        beats: float64[n, n], as `preferences` returns it.

    Returns:
        float64[n], in the order of the documents.

    Raises:
        MissingLibraryError: scipy is not installed.
    """
    count = len(beats)
    wins = np.asarray(beats, dtype=np.float64).copy()
    np.fill_diagonal(wins, 0.0)
    games = wins + wins.T

    def loss(ratings: Ratings) -> tuple[float, Ratings]:
        difference = ratings[:, None] - ratings[None, :]
        likelihood = -(wins * np.logaddexp(0, -difference)).sum()
        expected = games / (1 + np.exp(-difference))
        gradient = (wins - expected).sum(axis=1) - PRIOR * ratings
        return float(PRIOR * (ratings**2).sum() / 2 - likelihood), -gradient

    found = require_extra("scipy.optimize", TRAIN).minimize(
        loss, np.zeros(count), jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-15}
    )
    return np.asarray(found.x - found.x.mean(), dtype=np.float64)
