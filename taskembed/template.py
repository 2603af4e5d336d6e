"""How the fields of a record become the text that is embedded: "{title?} {text}"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from taskembed.errors import UsageError

_FIELD = re.compile(r"\{([^{}?]+)(\??)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """Text with fields: {field} must be there, {field?} may be missing, null, or empty.

    The result is stripped of white space at its ends. There is no other syntax, so a template
    cannot reach anything but the fields of the record.
    """

    spelling: str

    @classmethod
    def parse(cls, spelling: str) -> Template:
        """Return the template that is spelled so.

        Raises:
            UsageError: there is no field in it.
        """
        if not _FIELD.search(spelling):
            raise UsageError(
                f"the template {spelling!r} has no field", hint="for example '{title}. {text}'"
            )
        return cls(spelling)

    def __str__(self) -> str:
        return self.spelling

    @property
    def fields(self) -> list[str]:
        """The names of its fields, in their order."""
        return [match[1] for match in _FIELD.finditer(self.spelling)]

    def render(self, record: Mapping[str, object]) -> str:
        """Return the text of a record: {"title": "A", "text": "b"} gives "A b".

        Raises:
            ValueError: a field is missing, or is nothing that can be a text.
        """
        return _FIELD.sub(
            lambda match: _value(record, match[1], bool(match[2])), self.spelling
        ).strip()


DEFAULT_TEMPLATE = Template("{title?} {text}")


def _value(record: Mapping[str, object], name: str, optional: bool) -> str:  # noqa: FBT001  # private
    value = record.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        if optional:
            return ""
        if name in record:
            raise ValueError(f'the field "{name}" is null')
        fields = ", ".join(list(record)[:8]) or "none"
        raise ValueError(f'there is no field "{name}"; the fields are: {fields}')
    if name == "text" or isinstance(value, list | dict | bytes):
        raise ValueError(f'the field "{name}" is not a text but {_kind(value)}')
    return str(value)


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "bytes")
