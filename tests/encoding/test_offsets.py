"""Whether the places that a tokenizer reports are those of its tokens."""

from __future__ import annotations

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from taskembed.encoding._offsets import find_fault, offsets_of
from taskembed.encoding.fake import fake_models
from taskembed.encoding.load import load_encoder
from taskembed.encoding.tokens import PromptTokenizer
from taskembed.errors import ModelUnavailableError
from taskembed.models.files import BUNDLED
from taskembed.space import Task
from taskembed.verbs.protocols import document_tokens


def by_words() -> Tokenizer:
    made = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def test_tokens_are_where_they_are_in_the_text_as_it_was() -> None:
    made = by_words()
    made.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    assert offsets_of(made, "Zoë, 日本").tolist() == [[0, 3], [3, 4], [5, 7]]
    assert offsets_of(made, "").shape == (0, 2)
    assert find_fault(made) == ""


def test_a_tokenizer_that_drops_letters_is_found_out() -> None:
    made = by_words()
    made.normalizer = normalizers.Replace("x", "")
    assert "no token has the 'x'" in find_fault(made, ["a fox x"])


def test_a_tokenizer_whose_tokens_depend_on_what_follows_is_found_out() -> None:
    made = by_words()
    letters = Regex(r"\w(?=.*z)")  # words before a z become letters
    made.pre_tokenizer = pre_tokenizers.Split(letters, "isolated")
    assert "'abcd' has 1 tokens alone" in find_fault(made, ["abcd ef z"])


def test_the_room_of_a_text_is_what_its_prompt_and_the_special_tokens_leave() -> None:
    made = PromptTokenizer(by_words(), prompt="query : ", max_length=16, special_tokens=False)
    assert made.text_room == 14
    assert made.offsets("a b").tolist() == [[0, 1], [2, 3]]


def test_the_bundled_model_tells_its_tokens() -> None:
    with fake_models():
        tokens = document_tokens(load_encoder(BUNDLED, Task.RETRIEVAL))
    assert tokens.text_room == 254
    assert tokens.offsets("unbelievably so").tolist()[-1] == [13, 15]


def test_a_model_whose_tokenizer_is_wrong_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskembed.encoding.tokens.find_fault", lambda _: "a token is lost")
    with (
        fake_models(),
        pytest.raises(ModelUnavailableError, match="cut into chunks: a token is lost") as caught,
    ):
        document_tokens(load_encoder(BUNDLED, Task.RETRIEVAL))
    assert "without --chunk" in str(caught.value.hint)
