"""What a chat template puts around a text, found out from what it makes of two marks."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from taskembed.encoding._chat import Chat, chat_of
from taskembed.encoding.tokens import PromptTokenizer


def plain(prompt: str, text: str) -> str:
    system = f"<s>{prompt}</s>" if prompt else ""
    return f"{system}<u>{text}</u>"


def stripping(prompt: str, text: str) -> str:
    return plain(prompt.strip(), text.strip())


def without_prompts(prompt: str, text: str) -> str:
    if prompt:
        raise ValueError("no system role")
    return f"{text} end"


def forgetful(_: str, text: str) -> str:
    return f"Q {text}"


def test_what_is_around_a_text_is_found() -> None:
    chat = chat_of(plain)
    assert chat == Chat(
        ("<u>", "</u>"), ("<s>", "</s><u>", "</u>"), strips_prompt=False, strips_text=False
    )
    assert chat.around("") == ("<u>", "</u>")
    assert chat.around(" p ") == ("<s> p </s><u>", "</u>")


def test_a_template_may_strip_blanks() -> None:
    chat = chat_of(stripping)
    assert chat is not None
    assert chat.strips_text
    assert chat.around(" p ") == ("<s>p</s><u>", "</u>")


@pytest.mark.parametrize("render", [without_prompts, forgetful])
def test_a_template_may_take_no_prompt(render: object) -> None:
    chat = chat_of(render)  # type: ignore[arg-type]  # one of the two
    assert chat is not None
    assert chat.around("p") is None
    assert chat.around("") == chat.alone


@pytest.mark.parametrize(
    "render",
    [
        lambda _, text: f"<{text.upper()}>",
        lambda _, text: f"{text} and {text}",
        lambda _, text: repr([text]),
        lambda _, text: text.lstrip(),
        lambda *_: "",
        lambda *_: 1 / 0,
    ],
    ids=["upper", "twice", "repr", "left", "empty", "error"],
)
def test_a_template_that_changes_a_text_is_not_understood(render: object) -> None:
    assert chat_of(render) is None  # type: ignore[arg-type]  # each of them is a function


def tokenizer() -> Tokenizer:
    words = ["u", "a", "b", "c", "0", "1", "2", "3", "4", "end", "stop"]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="u"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def test_the_end_of_a_template_is_kept_of_a_cut_text() -> None:
    chat = Chat(("u ", " end stop"), (), strips_prompt=False, strips_text=False)
    encoder = PromptTokenizer(tokenizer(), prompt="", max_length=5, special_tokens=False, chat=chat)
    fits, cut = encoder.tokenize(["a b", "a b c a b c"])
    assert (fits.ids, fits.truncated) == ([0, 1, 2, 9, 10], False)
    assert (cut.ids, cut.truncated) == ([0, 1, 2, 9, 10], True)


def test_the_end_of_a_template_fits_into_the_shortest_limit() -> None:
    chat = Chat(("u ", " end stop"), (), strips_prompt=False, strips_text=False)
    encoder = PromptTokenizer(tokenizer(), prompt="", max_length=1, special_tokens=False, chat=chat)
    assert encoder.tokenize(["a b"])[0].ids == [10]
