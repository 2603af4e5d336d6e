"""What must not be printed, in each way that it may be spelled."""

from __future__ import annotations

import base64

import pytest

from taskembed.secrets import redacted, secrets_of, shown_address


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no such key: sesame 1/2", "no such key: ***"),
        ("?key=sesame%201%2F2&", "?key=***&"),
        ("?key=sesame+1%2F2&", "?key=***&"),
        (base64.b64encode(b"sesame 1/2").decode(), "***"),
        ("withsesame 1/2within", "with***within"),
        ("http://me:pw@host/v1", "http://***@host/v1"),
    ],
)
def test_a_secret_is_hidden_however_it_is_spelled(said: str, shown: str) -> None:
    assert redacted(said, ["sesame 1/2"]) == shown


def test_a_short_secret_is_hidden_as_a_word_and_leaves_words_whole() -> None:
    assert redacted("likes k: taskembed", ["k"]) == "likes ***: taskembed"
    assert redacted("Bearer none; nonetheless", ["none"]) == "Bearer ***; nonetheless"


def test_the_secrets_of_a_command_are_its_keys_and_passwords() -> None:
    words = ["index", "--api-base", "http://me:pa@ss@host/v1"]
    found = secrets_of(words, {"OPENAI_API_KEY": " sk-1 ", "HOME": "/root"})
    assert set(found) == {"sk-1", "me:pa@ss", "pa@ss"}
    signed = "https://host/a?se=2026&sig=0123456789abcdef"
    assert secrets_of(["index", signed], {}) == ["0123456789abcdef"]
    assert secrets_of([], {"TASKEMBED_API_BASE": "http://:pw@host"}) == [":pw", "pw"]


def test_an_address_is_shown_without_what_may_be_a_password() -> None:
    assert shown_address("http://me:pw@host:8080/v1") == "http://***@host:8080/v1"
    assert shown_address("me:pw@host") == "***@host"
    assert shown_address("http://host/v1") == "http://host/v1"
