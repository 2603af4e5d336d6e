"""The best sentence of each hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from taskembed.index.ranking.hits import Chunk, Hit, Snippet
from taskembed.space import PromptType
from taskembed.vectors import Encoded
from taskembed.verbs import snippets
from taskembed.verbs.snippets import add_snippets
from tests.fakes import HashEncoder

TEXT = "Whales are large. The moon orbits the Earth. Bread is baked in an oven."


class CountingCalls(HashEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[PromptType, list[str]]] = []

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        self.calls.append((prompt_type, list(texts)))
        return super().encode(texts, prompt_type)


def hit(text: str, doc_id: str = "a") -> Hit:
    return Hit(1, doc_id, 1.0, text, {})


def texts_of(found: list[list[Hit]]) -> list[list[str | None]]:
    return [[item.snippet.text if item.snippet else None for item in hits] for hits in found]


def test_words_choose_a_sentence_with_its_place() -> None:
    ((found,),) = add_snippets(["what orbits the earth?"], [[hit(TEXT)]])
    assert found.snippet == Snippet("The moon orbits the Earth.", 18, 44)
    assert TEXT[18:44] == "The moon orbits the Earth."


def test_a_rare_word_counts_more_than_common_ones() -> None:
    text = "The sea and the sky. A quark. The sea. The sky."
    assert texts_of(add_snippets(["the sea quark"], [[hit(text)]])) == [["A quark."]]


def test_the_sentence_is_of_the_best_chunk_and_its_place_in_the_whole_text() -> None:
    chunk = Chunk("Bread is baked in an oven.", 45, 71)
    ((found,),) = add_snippets(["the moon"], [[replace(hit(TEXT), chunk=chunk)]])
    assert found.snippet == Snippet("Bread is baked in an oven.", 45, 71)
    assert TEXT[45:71] == found.snippet.text


def test_the_first_sentence_is_shown_where_no_word_is_there() -> None:
    assert texts_of(add_snippets(["zebra"], [[hit(TEXT), hit("")]])) == [
        ["Whales are large.", None]
    ]


def test_an_encoder_chooses_among_the_best_by_words() -> None:
    encoder = CountingCalls()
    text = "red red red moon. blue moon. sky."
    asked = ["red red red moon blue", "blue moon"]
    found = add_snippets(asked, [[hit(text), hit("alone.")], [hit(text)]], encoder)
    assert texts_of(found) == [["red red red moon.", "alone."], ["blue moon."]]
    assert [(side, len(texts)) for side, texts in encoder.calls] == [
        (PromptType.QUERY, 2),
        (PromptType.DOCUMENT, 3),  # each sentence once, and none of a hit with a single one
    ]


def test_nothing_is_encoded_where_there_is_no_choice() -> None:
    encoder = CountingCalls()
    assert add_snippets([], [], encoder) == []
    assert texts_of(add_snippets(["a", "b"], [[], [hit("one sentence")]], encoder)) == [
        [],
        ["one sentence"],
    ]
    assert encoder.calls == []


def test_a_long_text_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snippets, "READ_CHARACTERS", 60)
    encoder = CountingCalls()
    text = "Some words here. " * 1_000 + "A quark."
    assert texts_of(add_snippets(["quark"], [[hit(text)]], encoder)) == [["Some words here."]]
    assert sum(len(texts) for _, texts in encoder.calls) < 8


def test_few_sentences_of_a_hit_are_encoded() -> None:
    encoder = CountingCalls()
    add_snippets(["n7"], [[hit(" ".join(f"Sentence n{n}." for n in range(100)))]], encoder)
    assert len(encoder.calls[1][1]) == snippets.ENCODED_SENTENCES
    assert "Sentence n7." in encoder.calls[1][1]


def test_the_tokenizer_of_the_index_makes_the_words() -> None:
    text = "Die Katze schläft. Das Haus ist groß. Viele Häuser."
    found = add_snippets(["Katzen"], [[hit("Ein Hund. " + text)]], tokenizer="words-1:german")
    assert texts_of(found) == [["Die Katze schläft."]]
    with pytest.raises(ValueError, match="there is no tokenizer"):
        add_snippets(["a"], [[hit("b")]], tokenizer="words-0:klingon")
