"""Named values, a line each, for people."""

from __future__ import annotations

from collections.abc import Mapping

from taskembed.escaping import escaped, json_text


def field_lines(value: Mapping[str, object], indent: str = "") -> str:
    """Return lines "name: value"; the fields of a value that has some are indented below it."""
    lines = []
    for name, item in value.items():
        if isinstance(item, dict) and item:
            lines.append(f"{indent}{name}:\n{field_lines(item, indent + '  ')}")
        else:
            lines.append(f"{indent}{name}: {escaped(_shown(item))}\n")
    return "".join(lines)


def _shown(item: object) -> str:
    """Return a value for people, who may not know how Python spells it."""
    match item:
        case bool():
            return "yes" if item else "no"
        case int():
            return f"{item:,}"
        case None | "" | [] | {}:
            return "none"
        case str() if item.strip() != item:
            return json_text(item)  # in quotes: a prompt's last space can be seen
        case list():
            return ", ".join(map(_shown, item))
    return str(item)
