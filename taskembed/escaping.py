r"""Escapes text so that it is harmless in a terminal, a spreadsheet or a line of a file.

    escaped("a\x1b[31m")          # 'a\\x1b[31m'
    escaped("می‌خواهم")            # unchanged: Persian needs its joiners
    id_line("a\u202eb")           # 'a\\u202eb'; id_of_line returns 'a\u202eb' again

Letters, signs, emoji and spaces are unchanged. Control characters, including those of the direction
of text, and invisible characters are escaped.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable

_JOINERS = "\u200c\u200d"  # needed in Persian, Hindi, Malayalam, and in emoji of several people
_BEFORE_NUMBERS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"  # visible
# the flag of Scotland is a black flag and invisible letters; other uses could hide a message
_PIECE = re.compile("\U0001f3f4[\U000e0030-\U000e007a]{1,6}\U000e007f|.", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u((?!d[89a-f])[0-9a-f]{4})|U(000[0-9a-f]{5}|0010[0-9a-f]{4}))")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# text that a spreadsheet treats as a formula (CWE-1236), even within quotes, which it removes
_FORMULA = re.compile(r"[\s\"']*[=+\-@＝＋－＠]")  # noqa: RUF001  # spreadsheets treat the wide forms as the narrow ones
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


def is_harmless(character: str) -> bool:
    """Return whether a character is shown literally: a letter, a sign, a space or a joiner."""
    return (
        character.isprintable()
        or character in _JOINERS
        or character in _BEFORE_NUMBERS
        or "\U0001f000" <= character <= "\U0001faff"  # emoji newer than this Python
        or unicodedata.category(character) == "Zs"
    )


def escaped(text: str, *, keep: str = "") -> str:
    r"""Return text in which harmful characters, except those in `keep`, are escaped: \x1b."""
    return _replaced(text, lambda one: one if one in keep else _SHORT.get(one) or _escape(one))


def json_text(value: object) -> str:
    r"""Return a value as one line of JSON in which harmful characters are \u escapes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _replaced(text, lambda one: json.dumps(one)[1:-1])


def tsv_cell(text: str) -> str:
    r"""Return text as a cell of TSV: a backslash becomes \\, a tab \t, a newline \n, and so on.

    An apostrophe is put before text that a spreadsheet would treat as a formula.
    """
    cell = escaped(text.replace("\\", "\\\\"))
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def id_line(doc_id: str) -> str:
    r"""Return an id as a line of a list of ids.

    Harmful characters become \u and four digits, or \U and eight. A backslash that would be read as
    the beginning of an escape becomes \u005c; other backslashes are unchanged.
    """
    masked = _ESCAPE.sub(lambda found: "\\u005c" + found[0][1:], doc_id)
    return _replaced(masked, _long_escape)


def id_of_line(line: str) -> str:
    """Return the id in a line that `id_line` returned."""
    return _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), line)


def _replaced(text: str, replace: Callable[[str], str]) -> str:
    if text.isprintable():
        return text

    def shown(found: re.Match[str]) -> str:
        piece = found[0]
        return piece if len(piece) > 1 or is_harmless(piece) else replace(piece)

    return _PIECE.sub(shown, text)


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number <= 0xFF else _long_escape(character)  # noqa: PLR2004  # two


def _long_escape(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004  # four
