"""Recognises source code and its language by the names of files.

Pygments lists the file names of each language, but not whether a language is for programs, data or
documents; so the list of programming languages is kept here.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskembed.reading.places import Place

# names of Pygments; if two languages have the same ending, the first one gets it: ".h" is C
_LANGUAGES = (
    *("Python", "JavaScript", "TypeScript", "JSX", "TSX", "Java", "C", "C++", "C#", "Go", "Rust"),
    *("Ruby", "PHP", "Swift", "Kotlin", "Scala", "Objective-C", "Objective-C++", "Dart"),
    *("Bash", "Fish", "Tcsh", "PowerShell", "Batchfile", "Awk", "Tcl", "Perl", "Lua", "S", "Julia"),
    *("Elixir", "Erlang", "Gleam", "Haskell", "OCaml", "F#", "ReasonML", "PureScript", "Elm"),
    *("Clojure", "ClojureScript", "Common Lisp", "Scheme", "Racket", "EmacsLisp", "Standard ML"),
    *("Groovy", "VB.net", "Fortran", "FortranFixed", "Ada", "Delphi", "COBOL", "D", "Zig", "Mojo"),
    *("Crystal", "Haxe", "Vala", "Cython", "CoffeeScript", "Matlab", "Stan", "SAS", "Prolog"),
    *("Lean4", "Agda", "Idris", "GAS", "NASM", "WebAssembly", "CUDA", "GLSL", "HLSL"),
    *("WebGPU Shading Language", "verilog", "systemverilog", "vhdl", "Solidity", "SQL", "VimL"),
    *("CSS", "SCSS", "Sass", "Vue", "Makefile", "CMake", "Docker", "Meson", "Terraform", "Nix"),
    *("Protocol Buffer", "Thrift", "GraphQL", "Jsonnet", "Rego", "QML", "AppleScript", "Arduino"),
)
_OTHERS = {
    ".svelte": "Svelte",
    ".nim": "Nim",
}  # languages that Pygments lacks, or treats as part of another
_NAMES = {"S": "R", "verilog": "Verilog", "systemverilog": "SystemVerilog", "vhdl": "VHDL"}


def language_of(path: Place) -> str | None:
    """Return the language of a source file; None if its name is not one of source code.

    language_of(Path("src/main.py")) is "Python"; language_of(Path("Makefile")) is "Makefile".
    """
    names, endings = _tables()
    return names.get(path.name) or endings.get(path.suffix.lower())


@cache
def _tables() -> tuple[dict[str, str], dict[str, str]]:
    """Return two tables of languages: by full name of a file, and by its ending in lower case."""
    from pygments.lexers import get_all_lexers  # 0.03 s

    patterns = {name: found for name, _, found, _ in get_all_lexers(plugins=False)}
    names: dict[str, str] = {}
    endings: dict[str, str] = {}
    for language in _LANGUAGES:
        shown = _NAMES.get(language, language)
        for pattern in patterns.get(language, ()):
            ending = pattern.removeprefix("*").lower()
            if not set("*?[") & set(pattern):
                names.setdefault(pattern, shown)
            elif pattern.startswith("*.") and not set("*?[.") & set(ending[1:]):
                endings.setdefault(ending, shown)
    return names, {**endings, **_OTHERS}
