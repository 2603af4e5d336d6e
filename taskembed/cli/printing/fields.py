"""Prints named values for people, one per line."""

from __future__ import annotations

from collections.abc import Mapping

from taskembed.escaping import escaped, json_text


def field_lines(value: Mapping[str, object], indent: str = "") -> str:
    """Return lines "name: value"; the fields of an object are indented below its name."""
    lines = []
    for name, item in value.items():
        if isinstance(item, dict) and item:
            lines.append(f"{indent}{name}:\n{field_lines(item, indent + '  ')}")
        else:
            lines.append(f"{indent}{name}: {escaped(_shown(item))}\n")
    return "".join(lines)


def _shown(item: object) -> str:
    """Return a value in a notation for people rather than Python's."""
    match item:
        case bool():
            return "yes" if item else "no"
        case int():
            return f"{item:,}"
        case None | "" | [] | {}:
            return "none"
        case str() if item.strip() != item:
            return json_text(item)  # in quotes, so that the last space of a prompt is visible
        case list():
            return ", ".join(map(_shown, item))
    return str(item)
