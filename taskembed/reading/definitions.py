"""Finds the definitions in source code: functions, classes, methods and the like.

Python is parsed with `ast`, other languages with tree-sitter, which the extra `code` installs. A
text that cannot be parsed has no definitions, and is cut into chunks at blank lines.
"""

from __future__ import annotations

import ast
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

LONGEST = 2_000_000  # characters; longer texts are not parsed: a parser takes 100 times their size
DEEPEST = 3  # levels of nested classes, modules and the like
TREE_SITTER = "tree_sitter"
_GRAMMARS = {  # language -> module of its grammar, and the function that returns the grammar
    "javascript": ("tree_sitter_javascript", "language"),
    "jsx": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "java": ("tree_sitter_java", "language"),
    "c": ("tree_sitter_c", "language"),
    "c++": ("tree_sitter_cpp", "language"),
    "c#": ("tree_sitter_c_sharp", "language"),
    "ruby": ("tree_sitter_ruby", "language"),
    "php": ("tree_sitter_php", "language_php"),
}
TREE_SITTER_LANGUAGES = (  # for messages
    "JavaScript, TypeScript, Go, Rust, Java, C, C++, C#, Ruby and PHP"
)
_CONTAINERS = re.compile(  # kinds of nodes that contain definitions
    r"class|interface|trait|impl|module|mod_item|namespace|enum|struct|record|object|linkage|union"
)
_NO_DEFINITIONS = re.compile(r"comment|import|include|package|use_|using|attribute|ERROR")
# kinds of nodes that belong to the definition after them
_BEFORE = re.compile(r"comment|attribute|decorator")
_NEW_LINE = re.compile(r"\r\n|\r|\n")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Definition(NamedTuple):
    """The beginning of a definition.

    Attributes:
        depth: its nesting level, from 0 for the top level.
        begin: position of its first line in the text, in characters; comments and decorators
            directly before it are part of it.
    """

    depth: int
    begin: int


def has_tree_sitter() -> bool:
    """Return whether tree-sitter and all its grammars are installed."""
    modules = {TREE_SITTER, *(module for module, _ in _GRAMMARS.values())}
    return all(find_spec(module) for module in modules)


def find_definitions(text: str, language: str, *, tree_sitter: bool) -> list[Definition]:
    """Return the definitions of a source file, in order; none if it cannot be parsed.

    Args:
        text: the text of the file.
        language: "Python", "TypeScript" and so on; case does not matter.
        tree_sitter: whether languages other than Python are parsed too.
    """
    name = language.lower()
    if len(text) > LONGEST:
        return []
    if name in {"python", "python3"}:
        found = _of_python(text)
    elif tree_sitter and name in _GRAMMARS:
        found = _of_tree(text, *_GRAMMARS[name])
    else:
        return []
    first: dict[int, Definition] = {}
    for definition in found:  # if two begin on one line, keep the outer one
        first.setdefault(definition.begin, definition)
    return sorted(first.values(), key=lambda definition: definition.begin)


def _of_python(text: str) -> Iterator[Definition]:
    try:
        with warnings.catch_warnings():
            # a SyntaxWarning about the corpus, such as for "\d", is of no use here
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = _line_starts(text, _NEW_LINE)
    yield from _in_python(tree.body, text, lines, 0)


def _in_python(
    nodes: list[ast.stmt], text: str, lines: list[int], depth: int
) -> Iterator[Definition]:
    for node in nodes:
        if isinstance(node, _DEFINITIONS):
            line = min([node.lineno, *(item.lineno for item in node.decorator_list)]) - 1
            while line and text[lines[line - 1] : lines[line]].lstrip().startswith("#"):
                line -= 1
            yield Definition(depth, lines[line])
            if isinstance(node, ast.ClassDef) and depth < DEEPEST:
                yield from _in_python(node.body, text, lines, depth + 1)


def _of_tree(text: str, module: str, function: str) -> Iterator[Definition]:
    from tree_sitter import Language, Parser  # 0.01 s

    language = Language(getattr(import_module(module), function)())
    root = Parser(language).parse(text.encode("utf-8", "replace")).root_node
    yield from _in_tree(root, _line_starts(text, re.compile("\n")), 0)


def _in_tree(parent: Any, lines: list[int], depth: int) -> Iterator[Definition]:  # noqa: ANN401
    """Yield the definitions in a node: child nodes of several lines that are not comments."""
    before: Any = None  # the first of the comments directly before a node
    last_row = -1  # the last row of the previous node
    for node in parent.named_children:
        row = node.start_point[0]
        if before is None or row > last_row + 1:
            before = node
        last_row = node.end_point[0] - (node.end_point[1] == 0)  # Subtle: some nodes end after "\n"
        if _BEFORE.search(node.type):
            continue
        if node.type.startswith("preproc_") and node.type != "preproc_include":
            if node.type in {"preproc_def", "preproc_function_def"}:
                before = None
                continue
            yield from _in_tree(node, lines, depth)  # the lines from "#ifdef" to "#endif"
        elif last_row > row and not _NO_DEFINITIONS.search(node.type):
            yield Definition(depth, lines[before.start_point[0]])
            inner = node.child_by_field_name("declaration") or node  # the class in "export class"
            body = inner.child_by_field_name("body")
            if body is not None and depth < DEEPEST and _CONTAINERS.search(inner.type):
                yield from _in_tree(body, lines, depth + 1)
        before = None


def _line_starts(text: str, new_line: re.Pattern[str]) -> list[int]:
    return [0, *(found.end() for found in new_line.finditer(text))]


def next_definition(definitions: list[Definition], begin: int, limit: int) -> int | None:
    """Return the begin of the last outermost definition in (begin, limit]; None if none."""
    first = bisect_right(definitions, begin, key=lambda definition: definition.begin)
    last = bisect_right(definitions, limit, key=lambda definition: definition.begin)
    some = definitions[first:last]
    if not some:
        return None
    depth = min(definition.depth for definition in some)
    return max(definition.begin for definition in some if definition.depth == depth)
