"""Files of text, HTML and source code as documents: text, title, and the files that are refused."""

from __future__ import annotations

import gzip
import os
import socket
import time
from pathlib import Path

import pytest

from taskembed.errors import BadRecordError
from taskembed.reading._parsers.html import read_page
from taskembed.reading._parsers.titles import markdown_title, rst_title
from taskembed.reading.corpus_files import find_corpus_files
from taskembed.reading.document import Document
from taskembed.reading.documents import read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.rejects import RejectFile
from taskembed.reading.streams import Shape
from taskembed.reading.template import Template

FIELDS = RecordFields(template=Template("{text}"))


def read(path: Path, *, max_record_bytes: int = 1000, encoding: str | None = None) -> Document:
    (document,) = read_corpus(
        find_corpus_files([str(path)], shape=Shape.parse(None, encoding, None)).inputs,
        FIELDS,
        on_bad=RejectFile(),
        max_record_bytes=max_record_bytes,
    )
    return document


def refusal(path: Path, *, max_record_bytes: int = 1000) -> tuple[str, str | None]:
    with pytest.raises(BadRecordError) as caught:
        read(path, max_record_bytes=max_record_bytes)
    assert caught.value.source == str(path)
    return caught.value.reason, caught.value.hint


def test_a_file_of_text_is_a_document(tmp_path: Path) -> None:
    path = tmp_path / "moon.md"
    path.write_bytes(b"\xef\xbb\xbf# The Moon\r\n\r\nIt orbits the Earth.\r\n")
    os.utime(path, (0, 1_700_000_000))
    document = read(path)
    assert document.doc_id == "moon.md"
    assert document.text == "# The Moon\n\nIt orbits the Earth."
    assert document.metadata == {"title": "The Moon", "modified": "2023-11-14T22:13:20+00:00"}
    assert document.source == str(path)


def test_a_source_file_has_its_language_and_keeps_its_indentation(tmp_path: Path) -> None:
    path = tmp_path / "main.py"
    path.write_text("if x:\n    # Title?\n    y()\n")
    document = read(path)
    assert document.text == "if x:\n    # Title?\n    y()"
    assert document.metadata["language"] == "Python"
    assert document.metadata["title"] == "main.py"


def test_a_compressed_page_is_a_document_without_its_tags(tmp_path: Path) -> None:
    path = tmp_path / "page.html.gz"
    path.write_bytes(gzip.compress(b"<title>Soup</title><script>let a</script><p>Hot <b>soup</b>"))
    document = read(path)
    assert (document.text, document.metadata["title"]) == ("Soup\nHot soup", "Soup")


def test_a_file_without_text_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(" \n\t\n")
    (tmp_path / "b.html").write_text("<script>x</script>")
    found = find_corpus_files([str(tmp_path)])
    assert list(read_corpus(found.inputs, FIELDS, on_bad=RejectFile())) == []


def test_what_is_not_text_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(b"ab\0cd")
    assert refusal(path) == ("it is a binary file, not text", None)
    path.write_bytes(b"\x89PNG\r\n\0\0\xff")
    assert refusal(path) == ("it is a binary file, not text", None)
    path.write_bytes("Käse".encode("latin-1"))
    assert refusal(path) == ("not UTF-8 at byte 2", "--encoding latin-1")
    assert read(path, encoding="latin-1").text == "Käse"
    path.write_bytes("Käse".encode("utf-16"))
    assert refusal(path) == ("it looks like UTF-16, not UTF-8", "--encoding utf-16")
    assert read(path, encoding="utf-16").text == "Käse"
    path.write_text("x" * 1001)
    reason = "the file is larger than 1,000 bytes (--max-record-bytes)"
    assert refusal(path) == (reason, None)
    path.write_text("x" * 1000)
    assert len(read(path).text) == 1000


def test_what_is_no_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    pipe, loop, nowhere = (tmp_path / name for name in ("pipe.md", "loop.md", "nowhere.md"))
    os.mkfifo(pipe)
    assert refusal(pipe) == ("it is a named pipe, not a file of text", None)
    loop.symlink_to(loop)
    assert refusal(loop) == ("it is a link that points back to itself", None)
    nowhere.symlink_to(tmp_path / "nothing")
    assert refusal(nowhere) == ("the file was deleted, or is a broken link", None)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.md"))
        assert refusal(tmp_path / "s.md") == ("it is a socket, not a file of text", None)


def test_a_file_whose_name_cannot_be_an_id_is_refused(tmp_path: Path) -> None:
    for name in (b"a\nb.md", b"\xff.md"):
        path = tmp_path / os.fsdecode(name)
        path.write_text("text")
        reason, _ = refusal(path)
        assert reason.startswith('the id in "id" ')
        path.unlink()


def test_the_other_files_of_a_folder_are_read_after_bad_ones(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\xff")
    (tmp_path / "b.md").write_text("good")
    inputs = find_corpus_files([str(tmp_path)]).inputs
    with RejectFile(stop=False) as bad:
        documents = list(read_corpus(inputs, FIELDS, on_bad=bad))
    assert [document.doc_id for document in documents] == ["b.md"]
    assert bad.count == 1


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# One\n\n## Two", "One"),
        ("text\n\n## Two ##\n", "Two"),
        ("Title\n=====\ntext", "Title"),
        ("```\n# comment\n```\n# Real", "Real"),
        ("~~~sh\n# comment\n```\n# still\n~~~\n# Real", "Real"),
        ("---\ntitle: 'Front'\ndate: x\n---\n# Body", "Front"),
        ("---\ndate: x\n---\n# Body", "Body"),
        ("text only", ""),
        ("", ""),
        ("#hashtag", ""),
        ("a\n\n---\nb", ""),
    ],
)
def test_the_title_of_markdown(text: str, title: str) -> None:
    assert markdown_title(text) == title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Moon\n====\n", "Moon"),
        ("=====\nMoon\n=====\n", "Moon"),
        (".. comment\n\nIntro\n\nMoon\n~~~~~\n", "Moon"),
        ("Too long\n==\n", ""),
        ("text", ""),
    ],
)
def test_the_title_of_restructured_text(text: str, title: str) -> None:
    assert rst_title(text) == title


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<br>b<p>c d</p>e", "a\nb\nc d\ne"),
        ("<P>Hot&nbsp;&amp; <B>b</B>old</P>", "Hot & bold"),
        ("<style>p{}</style><script>if (a<b) '<p>'</script>x<noscript>y</noscript>", "x"),
        ("x<!-- <p>no</p> -->y<!DOCTYPE html>z", "xyz"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ('<img alt="a > b">x', "x"),
        ("<a href='un>closed\">x", 'closed">x'),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("<svg/>x<svg><text>no</text></svg>y", "xy"),
        ("x<!-- never closed", "x"),
        ("x<p never closed", "x"),
        ("", ""),
    ],
)
def test_the_text_of_a_page(html: str, text: str) -> None:
    assert read_page(html).text == text


def test_the_title_of_a_page_is_its_title_or_its_first_heading() -> None:
    assert read_page("<title> A\n b </title><h1>C</h1>").title == "A b"
    assert read_page("<h2>no</h2><h1>C <i>d</i></h1><h1>E</h1>").title == "C d"
    assert read_page("<p>x").title == ""


@pytest.mark.parametrize(
    "part", ["<a", "<!--", "<a b", "<a href='", "<a =", "<h1><title>", "<script><", "&#", "<a '>\""]
)
def test_the_time_for_a_page_grows_with_its_length_alone(part: str) -> None:
    page = part * (200_000 // len(part))
    began = time.process_time()
    read_page(page)
    assert time.process_time() - began < 5  # linear: 0.3 s at most; quadratic: minutes
