"""Tables: a row stays a line, and a number is whole or not there."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios

from taskembed.cli.printing.table import Column, table_text

COMPARED = [
    Column("run"),
    *(Column(name, number=True, leave_out=n) for n, name in enumerate(["nDCG@10", "R@100", "AP"])),
    *(Column(name, number=True) for name in ("difference", "95 %", "p")),
]
NUMBERS = ["0.7012", "0.9511", "0.6623", "+0.0123", "-0.0012 .. +0.0258", "0.0312"]


def test_columns_are_left_out_before_a_number_is_folded() -> None:
    rows = [["ours.run", *NUMBERS], ["theirs.run", *NUMBERS]]
    wide, none = table_text(COMPARED, rows, 200)
    assert none == []
    assert wide.splitlines()[1].split() == ["ours.run", *" ".join(NUMBERS).split()]
    narrow, left_out = table_text(COMPARED, rows, 65)
    assert left_out == ["R@100", "AP"]
    assert [line.split()[0] for line in narrow.splitlines()] == ["run", "ours.run", "theirs.run"]
    assert all(len(line) <= 65 for line in narrow.splitlines())
    assert "-0.0012 .. +0.0258  0.0312" in narrow


def test_a_name_that_is_too_long_is_cut_and_numbers_stay() -> None:
    rows = [["/a/very/long/path/" * 9 + "ours.run", *NUMBERS]]
    text, _ = table_text(COMPARED, rows, 80)
    line = text.splitlines()[1]
    assert len(text.splitlines()) == 2
    assert len(line) <= 80
    assert "…" in line
    assert line.endswith("0.7012     +0.0123  -0.0012 .. +0.0258  0.0312")


def test_text_folds_and_numbers_do_not() -> None:
    columns = [Column("rank", number=True), Column("doc_id", folds=True), Column("x", folds=True)]
    text, left_out = table_text(columns, [["10", "d" * 30, "word " * 30]], 40)
    assert left_out == []
    lines = text.splitlines()
    assert lines[1].startswith("  10  d")
    assert all(len(line) <= 40 for line in lines)
    assert text.count("d") >= 30 + 1
    assert text.count("word") == 30


def test_wide_letters_count_as_two() -> None:
    columns = [Column("a"), Column("b", leave_out=1)]
    assert table_text(columns, [["漢字" * 10, "b"]], 42)[1] == ["b"]
    assert table_text(columns, [["漢字" * 10, "b"]], 43)[1] == []


def test_nothing_is_left_out_where_no_terminal_is() -> None:
    text, left_out = table_text([Column("a"), Column("b", leave_out=1)], [["x" * 500, "y"]], 10_000)
    assert (left_out, text.splitlines()[1]) == ([], "x" * 500 + "  y")


def test_the_models_are_a_line_each_on_a_terminal_of_80_columns() -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "taskembed", "models", "qwen3"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**environment, "TERM": "xterm", "NO_COLOR": "1"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            some = os.read(ours, 65536)
        except OSError:  # how Linux says that the other side is closed
            break
        shown += some
        if not some:
            break
    assert process.stderr
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 0
    os.close(ours)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()  # headers are bold
    names = [line.split()[0] for line in lines if line.startswith("Qwen/")]
    assert names[:3] == [
        "Qwen/Qwen3-Embedding-0.6B",
        "Qwen/Qwen3-Embedding-4B",
        "Qwen/Qwen3-Embedding-8B",
    ]
    assert all(len(line) <= 80 for line in lines)
    assert "note: the terminal is too narrow for: " in said
