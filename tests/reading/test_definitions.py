"""Where the definitions of source code begin, in each language that is parsed."""

from __future__ import annotations

import time

import pytest

from taskembed.reading.definitions import find_definitions, has_tree_sitter

# each definition that is to be found begins on the line after "%" and its depth
SOURCES = {
    "Python": """import os
%0
# about f
@decorated(
    1)
async def f():
    return "\\d"
x = 1
%0
class A:
    y = "é"
%1
    # about m
    def m(self): pass
""",
    "JavaScript": """import a from "a";
%0
/** about f */
export function f() {
  return "日本";
}
%0
export default class A {
%1
  m() {
    return 2;
  }
}
const one = 1;
%0
const g = () => {
  return 3;
};
""",
    "TSX": """import a from "a";
%0
@decorated({
  a: 1})
export class A {
%1
  m(): number {
    return <b>
      2</b>;
  }
}
%0
interface I {
  x: string;
}
""",
    "TypeScript": """%0
// about f
function f(x: number): string {
  return "";
}
""",
    "Go": """package main
import (
  "fmt"
)

%0
// F is about
func F() {
}
%0
type T struct {
  x int
}
%0
func (t T) M() {
}
""",
    "Rust": """use std::io;
%0
/// about S
#[derive(Debug)]
struct S {
  x: i32,
}
%0
impl S {
%1
  /// about new
  fn new() -> S {
    S { x: 1 }
  }
}
""",
    "Java": """package a;
import b;
%0
/** about A */
@Annotated
public class A {
  int x;
%1
  @Override
  public void m() {
  }
}
""",
    "C": """#ifndef A_H
#define A_H 1
#include <x.h>
%0
/* about f */
int f(void)
{
  return 1;
}
%0
struct s {
  int x;
};
#endif
""",
    "C++": """#include <x>
%0
namespace n {
%1
class A {
 public:
%2
  int m() {
    return 1;
  }
};
}
""",
    "C#": """using System;
%0
namespace N {
%1
  /// about A
  public class A {
%2
    public int M() {
      return 1;
    }
  }
}
""",
    "Ruby": """require "x"
%0
# about A
class A
%1
  def m
    1
  end
end
""",
    "PHP": """<?php
use B;
%0
/** about C */
class C {
%1
  public function m() {
    return 1;
  }
}
""",
}


@pytest.mark.parametrize("language", SOURCES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_functions_classes_and_methods_begin_with_what_is_said_of_them(
    language: str, end: str
) -> None:
    text, expected = "", []
    for line in SOURCES[language].splitlines():
        if line.startswith("%"):
            expected.append((int(line[1:]), len(text)))
        else:
            text += line + end
    assert find_definitions(text, language, tree_sitter=True) == expected
    assert find_definitions(text, language.lower(), tree_sitter=True) == expected


def test_other_languages_and_what_is_not_their_source_have_no_definitions() -> None:
    assert find_definitions("def f\n  1\nend\n", "Ruby", tree_sitter=False) == []
    assert find_definitions("f() {\n  echo\n}\n", "Bash", tree_sitter=True) == []
    assert find_definitions("print 'Python 2'\ndef f(): pass\n", "Python", tree_sitter=True) == []
    assert find_definitions("def f(): '\0'", "Python", tree_sitter=True) == []
    assert find_definitions("", "Python", tree_sitter=True) == []
    assert find_definitions("", "C", tree_sitter=True) == []


@pytest.mark.parametrize(
    "text", ["(" * 100_000, "-" * 100_000 + "1", "a." * 50_000 + "b", "{" * 20_000, "x = '''" * 99]
)
def test_hostile_sources_take_no_more_than_seconds(text: str) -> None:
    began = time.process_time()
    for language in ("Python", "JavaScript", "C++"):
        assert find_definitions(text, language, tree_sitter=True) == []
    assert time.process_time() - began < 10


def test_all_grammars_are_there_for_the_tests() -> None:
    assert has_tree_sitter()
