"""The fakes that are shipped for users' tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from taskembed import PromptOverrides, PromptType, Task, load_encoder, load_reranker
from taskembed.encoding import reranker
from taskembed.encoding.settings import EngineSettings
from taskembed.testing import HashEncoder, fake_models
from tests import plain_models


def test_texts_that_share_words_are_near() -> None:
    fox, same, dog = (
        HashEncoder(dim=256).encode(["a red fox", "the red fox", "lazy dogs"], QUERY).vectors
    )
    assert fox @ same == pytest.approx(2 / 3, abs=0.1)  # two of three words
    assert fox @ dog == pytest.approx(0, abs=0.2)


def test_an_encoder_remembers_prompted_texts_and_says_what_it_cut() -> None:
    encoder = HashEncoder(max_length=2, query_prompt="q: ")
    vectors, truncated = encoder.encode(["one two", "one two three"], QUERY)
    assert encoder.prompted == ["q: one two", "q: one two three"]
    assert truncated.tolist() == [False, True]
    assert (vectors[0] == vectors[1]).all()


def test_slices_are_the_rows_of_the_whole() -> None:
    encoder = HashEncoder(dim=8)
    texts = [f"text {'x ' * number}" for number in range(20)]
    whole = encoder.encode(texts, DOCUMENT).vectors
    slices = list(encoder.encode_slices(texts, DOCUMENT))
    assert sorted(row for rows, _ in slices for row in rows) == list(range(20))
    for rows, encoded in slices:
        assert (encoded.vectors == whole[rows]).all()


def test_a_fake_model_has_the_real_space(tmp_path: Path) -> None:
    settings = EngineSettings(cache=tmp_path)
    with fake_models():
        space = load_encoder("minilm", Task.RETRIEVAL, settings=settings).space
    assert (space.model, space.query_adapter, space.dim) == ("minilm", "retrieval", 384)
    assert (space.max_length, space.pooling, len(space.weights_digest)) == (256, "mean", 64)


def test_a_fake_model_puts_texts_that_share_tokens_near_each_other(tmp_path: Path) -> None:
    settings = EngineSettings(cache=tmp_path)
    with fake_models():
        encoder = load_encoder("minilm", Task.RETRIEVAL, settings=settings)
        fox, same, dog = encoder.encode(["a red fox", "the red fox", "lazy dogs"], QUERY).vectors
        other = load_encoder("minilm", Task.SIMILARITY, settings=settings)
        of_other = other.encode(["a red fox"], QUERY).vectors[0]
        cut = encoder.encode(["word " * 300, "word"], QUERY).truncated
    assert fox @ same > fox @ dog
    assert fox @ of_other < 0.5  # another adapter, other vectors
    assert encoder.made_by["engine"] == "fake"
    assert cut.tolist() == [True, False]
    assert np.linalg.norm(fox) == pytest.approx(1)


def test_a_fake_reranker_counts_what_the_texts_share(tmp_path: Path) -> None:
    model = plain_models.save_bert(tmp_path / "model")
    with fake_models():
        scorer = load_reranker(str(model), settings=EngineSettings(cache=tmp_path / "cache"))
        scores = scorer.scores("quick fox", ["the lazy dog", "a quick fox", "fox and dog"])
    assert scores.argsort().tolist() == [0, 2, 1]


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_a_fake_model_pools_as_its_files_say(tmp_path: Path, pooling: str) -> None:
    model = plain_models.save_bert(tmp_path / "model", pooling=pooling)
    (model / "config.json").write_text('{"model_type": "bert"}')  # which says no size
    stated = PromptOverrides(query_prompt="", document_prompt="")
    settings = EngineSettings(cache=tmp_path / "cache")
    with fake_models():
        encoder = load_encoder(model, Task.RETRIEVAL, stated=stated, settings=settings)
    assert (encoder.space.pooling, encoder.space.dim, encoder.space.max_length) == (pooling, 32, 64)


def test_models_are_real_again_afterwards() -> None:
    before = vars(reranker)["Runtime"]
    with fake_models():
        assert vars(reranker)["Runtime"] is not before
    assert vars(reranker)["Runtime"] is before


def test_a_shell_has_them_too(tmp_path: Path, cache: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "fox", "text": "a quick fox"}\n')
    words = ["index", corpus, "--task", "retrieval", "--index", tmp_path / "index"]
    command = [sys.executable, "-X", "importtime", "-m", "taskembed.testing", *map(str, words)]
    done = subprocess.run(
        [*command, "--cache", str(cache)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("1 added")
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "taskembed.encoding.fake" in loaded
    assert not loaded & {"torch", "openvino"}


QUERY, DOCUMENT = PromptType.QUERY, PromptType.DOCUMENT
