"""The strings that a chat template puts around a text, for models that read texts as messages.

    chat = chat_of(render)
    before, after = chat.around("the prompt")

The text is the message of the user, the prompt that of the system. The template is rendered once
with two placeholders, so that it need not be run when texts are encoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_PROMPT, _TEXT = "PROMPT7390151", "TEXT2846093"


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat template, as the strings around a text, with and without a prompt.

    Attributes:
        alone: the strings before and after a text without a prompt.
        prompted: the strings before the prompt, between prompt and text, and after the text; empty
            if the template has no place for a prompt.
        strips_prompt: whether the template removes white space around the prompt.
        strips_text: whether the template removes white space around a text.
    """

    alone: tuple[str, str]
    prompted: tuple[str, ...]
    strips_prompt: bool
    strips_text: bool

    def around(self, prompt: str) -> tuple[str, str] | None:
        """Return the strings before and after a text; None if the template takes no prompt."""
        if not prompt:
            return self.alone
        if not self.prompted:
            return None
        before, between, after = self.prompted
        return before + (prompt.strip() if self.strips_prompt else prompt) + between, after


def chat_of(render: Callable[[str, str], str]) -> Chat | None:
    """Return the template that a function renders; None if it does more than add strings.

    Args:
        render: returns the string for (prompt, text); "" for no prompt. It may raise any error.
    """

    def rendered(prompt: str, text: str) -> str:
        try:
            return render(prompt, text)
        except Exception:  # noqa: BLE001  # a template may raise any error
            return ""

    alone = _around(rendered("", _TEXT), _TEXT)
    if alone is None:
        return None
    before, after = alone
    strips_text = _strips(lambda text: rendered("", text), before, after)
    if strips_text is None:
        return None
    whole = _around(rendered(_PROMPT, _TEXT), _PROMPT)
    rest = _around(whole[1], _TEXT) if whole else None
    if whole is None or rest is None:
        return Chat(alone, (), strips_prompt=False, strips_text=strips_text)
    strips_prompt = _strips(lambda prompt: rendered(prompt, _TEXT), *whole)
    prompted = () if strips_prompt is None else (whole[0], *rest)
    return Chat(alone, prompted, strips_prompt=bool(strips_prompt), strips_text=strips_text)


def _around(rendered: str, mark: str) -> tuple[str, str] | None:
    """Return the text before and after a mark; None unless the mark occurs exactly once."""
    before, _, after = rendered.partition(mark)
    return (before, after) if rendered.count(mark) == 1 else None


def _strips(render: Callable[[str], str], before: str, after: str) -> bool | None:
    """Return whether white space around a text is removed; None if the text changes otherwise."""
    padded = ' \n<it\'s "so" & not>\t '
    return {before + padded + after: False, before + padded.strip() + after: True}.get(
        render(padded)
    )
