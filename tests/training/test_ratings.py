"""Preferences and ratings: cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from taskembed.training._ratings import ELO, fit_ratings, preferences


def test_a_preference_is_how_likely_the_one_relevant_document_is_this_one() -> None:
    found = preferences(np.asarray([[0.9, 0.5]]))
    # 0.9 * 0.5 against 0.1 * 0.5
    assert found[0, 1] == pytest.approx(0.9)
    assert found[1, 0] == pytest.approx(0.1)
    assert found.diagonal() == pytest.approx([0.5, 0.5])


def test_judges_are_averaged_by_whom_they_prefer_not_by_their_scores() -> None:
    strict, mild = [0.010, 0.001], [0.99, 0.999]
    found = preferences(np.asarray([strict, mild]))
    first = 0.010 * 0.999 / (0.010 * 0.999 + 0.990 * 0.001)
    second = 0.99 * 0.001 / (0.99 * 0.001 + 0.01 * 0.999)
    assert found[0, 1] == pytest.approx((first + second) / 2)


def test_two_documents_of_which_one_wins_three_times_of_four() -> None:
    # P = 1 / (1 + exp(-d)) = 3/4 gives d = ln 3, half of it on either side of 0
    found = fit_ratings(np.asarray([[0.5, 0.75], [0.25, 0.5]]))
    assert found == pytest.approx([np.log(3) / 2, -np.log(3) / 2], abs=2e-3)


def test_four_hundred_points_of_elo_are_ten_to_one() -> None:
    found = fit_ratings(np.asarray([[0.5, 10 / 11], [1 / 11, 0.5]])) * ELO
    assert found[0] - found[1] == pytest.approx(400, abs=3)  # the prior takes a little


def test_a_circle_of_preferences_is_a_draw() -> None:
    beats = np.asarray([[0.5, 0.8, 0.2], [0.2, 0.5, 0.8], [0.8, 0.2, 0.5]])
    assert fit_ratings(beats) == pytest.approx([0, 0, 0], abs=1e-6)


def test_one_judge_s_ratings_are_the_logits_of_its_scores() -> None:
    scores = np.asarray([0.95, 0.6, 0.3, 0.02])
    logits = np.log(scores / (1 - scores))
    found = fit_ratings(preferences(scores[None, :]))
    assert found == pytest.approx(logits - logits.mean(), abs=0.02)


def test_a_document_that_always_wins_is_rated_finitely() -> None:
    found = fit_ratings(np.asarray([[0.5, 1.0], [0.0, 0.5]]))
    assert np.isfinite(found).all()
    assert found[0] > 2
    assert np.isfinite(fit_ratings(preferences(np.asarray([[1.0, 0.0, 1.0]])))).all()
