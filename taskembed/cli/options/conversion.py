"""Skips typer's conversion of option values if possible: typer imports pydantic for it, 0.06 s."""

from __future__ import annotations

from collections.abc import Iterable
from enum import EnumType
from pathlib import Path
from typing import Any

MOST_DIGITS = 18  # most digits of an integer that is converted here


def convert_quickly(parameters: Iterable[Any]) -> None:
    """Make typer's parameters skip the conversion of values that are already valid."""
    for parameter in parameters:
        if not isinstance(parameter.process_value, Converted):
            parameter.process_value = Converted(parameter)


class Converted:
    """Replaces `process_value` of a parameter; calls the original only if it is needed.

    Args:
        parameter: typer's parameter whose `process_value` is replaced.
    """

    def __init__(self, parameter: Any) -> None:  # noqa: ANN401  # typer's
        self._parameter = parameter
        self._process = parameter.process_value
        info = parameter.type_descriptor.parameter_info
        self._is_plain = parameter.callback is None and info.parser is None
        self._is_one = parameter.nargs == 1 and not parameter.multiple
        self._annotation = parameter.type_descriptor.annotation
        is_enum = isinstance(self._annotation, EnumType)
        self._members = {item.value: item for item in self._annotation} if is_enum else {}
        self._is_plain_path = not (info.exists or info.resolve_path or info.writable)
        self._info = info

    def __call__(self, context: Any, value: Any) -> Any:  # noqa: ANN401  # typer's
        """Return the value of the parameter, of the type that its command declares.

        Raises:
            typer.BadParameter: the value cannot be converted, or is missing.
        """
        if value is None and not self._parameter.required:  # the most frequent value
            return self._converted(context, None if self._is_one else ())
        is_quick = value is not None and self._is_plain and self._is_one
        quick = self._quick(value) if is_quick else None
        return self._process(context, value) if quick is None else quick

    def _quick(self, value: Any) -> Any:  # noqa: ANN401
        """Return the value if its conversion is trivial; None otherwise."""
        if self._annotation is str and isinstance(value, str):
            return value
        if self._annotation is Path and self._is_good_path(value):
            return Path(value)
        if self._annotation is int and self._is_good_number(value):
            return int(value)
        if value is self._parameter.default and not isinstance(value, (str, Path)):
            return value  # False, a number, or a member of an Enum
        return self._members.get(value) if isinstance(value, str) else None

    def _converted(self, context: Any, value: Any) -> Any:  # noqa: ANN401
        callback = self._parameter.callback
        return value if callback is None else callback(context, self._parameter, value)

    def _is_good_number(self, value: Any) -> bool:  # noqa: ANN401
        """Return whether typer would accept an integer."""
        if not isinstance(value, str) or len(value) > MOST_DIGITS:
            return False
        if not (value.isascii() and value.isdecimal()):
            return False
        least, most = self._info.min, self._info.max
        is_within = (least is None or least <= int(value)) and (most is None or int(value) <= most)
        return is_within and not self._info.clamp

    def _is_good_path(self, value: Any) -> bool:  # noqa: ANN401
        """Return whether typer would accept a path."""
        if not self._is_plain_path or not isinstance(value, (str, Path)):
            return False
        path = Path(value)
        try:
            return bool(self._info.dir_okay if path.is_dir() else self._info.file_okay)
        except OSError:
            return False
