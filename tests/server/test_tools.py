"""What the tools answer and refuse, without the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskembed.errors import NotFoundError, SpaceMismatchError, UsageError
from taskembed.index.ranking.modes import Mode
from taskembed.reading.document import Document
from taskembed.server._answers import DEFAULT_BYTES, MOST_BYTES, size_of
from taskembed.server._compact import document_text, hits_text, indexes_text, label_text
from taskembed.server._limits import MOST_HIT_CHARACTERS, MOST_K
from taskembed.server._tools import Tools
from taskembed.space import Task
from tests.server.support import TEXTS, make, serving, tools_for, tools_of

SENTENCES = "".join(f"Sentence {number} is about nothing. " for number in range(400))


def test_a_search_returns_the_best_documents(tmp_path: Path) -> None:
    answer = tools_for(tmp_path).search("salt water", k=2)
    assert (answer.index, answer.task, answer.truncated) == ("notes", "retrieval", False)
    assert answer.hits[0].doc_id == "sea"
    first = answer.hits[0]
    assert (first.text, first.start, first.total_chars) == (TEXTS["sea"], 0, len(TEXTS["sea"]))
    assert first.metadata == {"topic": "kitchen", "size": 23}
    assert len(answer.hits) == 2
    assert hits_text(answer).splitlines()[:3] == [
        "2 hits in notes (retrieval)",
        f'- sea  {first.score:.4f}  size=23 topic="kitchen"',
        "  sea water is salt water",
    ]


def test_an_offset_continues_a_search(tmp_path: Path) -> None:
    tools = tools_for(tmp_path)
    whole = [hit.doc_id for hit in tools.search("moon", k=4).hits]
    assert [hit.doc_id for hit in tools.search("moon", k=2, offset=2).hits] == whole[2:]
    assert tools.search("moon", offset=100).hits == []


def test_a_filter_chooses_documents(tmp_path: Path) -> None:
    answer = tools_for(tmp_path).search("moon", where="topic = 'kitchen'")
    assert {hit.doc_id for hit in answer.hits} == {"sea", "bread"}


def test_modes(tmp_path: Path) -> None:
    tools = tools_for(tmp_path, words=True)
    assert [hit.doc_id for hit in tools.search("yeast", mode=Mode.WORDS).hits] == ["bread"]
    assert len(tools.search("yeast", mode=Mode.DENSE).hits) == 4


def test_words_of_an_index_without_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stores no words") as refusal:
        tools_for(tmp_path).search("yeast", mode=Mode.WORDS)
    assert refusal.value.hint == "leave out mode"


def test_the_guard_names_the_task_of_the_index(tmp_path: Path) -> None:
    folders = {"a": make(tmp_path / "a"), "b": make(tmp_path / "b", Task.SIMILARITY)}
    with pytest.raises(SpaceMismatchError, match="a is for the task 'retrieval', not") as refusal:
        Tools(serving(folders)).search("x", task=Task.SIMILARITY, index="a")
    assert refusal.value.hint == (
        "index='b' is for that task; or leave out task, or give 'retrieval'"
    )


def test_a_task_chooses_among_several_indexes(tmp_path: Path) -> None:
    folders = {"a": make(tmp_path / "a"), "b": make(tmp_path / "b", Task.SIMILARITY)}
    tools = Tools(serving(folders))
    assert tools.search("moon", task=Task.SIMILARITY).index == "b"
    assert tools.similar(doc_id="moon").index == "b"
    with pytest.raises(UsageError, match="several indexes are served") as refusal:
        tools.search("moon")
    assert refusal.value.hint == "the indexes: a (retrieval), b (similarity)"
    with pytest.raises(UsageError, match="no index is for the task 'classification'"):
        tools.classify("moon")


@pytest.mark.parametrize("name", ["../index", "/etc/passwd", "notes/", "notes\0", "", "NOTES"])
def test_a_name_is_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no index") as refusal:
        tools_for(tmp_path).search("x", index=name)
    assert refusal.value.hint == "the indexes: notes (retrieval)"


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("topic =", "column 8 of the filter"),
        ("colour = 'red'", "the fields are: size .integer., topic"),
        ("size = 1; drop table documents", "column 9 of the filter"),
        ("not (" * 390 + "size = 1" + ")" * 390, None),
        ("(" * 990 + "size = 1" + ")" * 990, None),
        ("size in (" + "1," * 900 + "1)", None),
        (" or ".join(["size = 1"] * 150), None),
    ],
)
def test_a_wrong_filter_is_refused(where: str, said: str | None, tmp_path: Path) -> None:
    tools = tools_for(tmp_path)
    if said is None:
        assert tools.search("x", where=where).hits == []
        return
    with pytest.raises(UsageError, match=said):
        tools.search("x", where=where)


def test_the_hint_about_fields_names_the_tool(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refusal:
        tools_for(tmp_path).search("x", where="colour = 'red'")
    assert refusal.value.hint == "the tool `indexes` lists the fields"


def test_documents_like_one_do_not_have_it_among_them(tmp_path: Path) -> None:
    tools = tools_for(tmp_path, Task.SIMILARITY)
    assert [hit.doc_id for hit in tools.similar(doc_id="moon", k=1).hits] == ["moons"]
    by_text = tools.similar(text=TEXTS["moon"], k=2).hits
    assert [hit.doc_id for hit in by_text] == ["moon", "moons"]
    assert [hit.doc_id for hit in tools.similar(doc_id="moon", offset=1, k=1).hits] != ["moons"]


def test_similar_needs_an_id_or_a_text_and_its_task(tmp_path: Path) -> None:
    tools = tools_for(tmp_path)
    for doc_id, text in ((None, None), ("a", "b")):
        with pytest.raises(UsageError, match="either doc_id or text"):
            tools.similar(doc_id=doc_id, text=text)
    with pytest.raises(SpaceMismatchError, match="needs an index for the task 'similarity'") as no:
        tools.similar(doc_id="moon")
    assert "taskembed index CORPUS --task similarity" in str(no.value.hint)


def test_an_unknown_document_is_refused(tmp_path: Path) -> None:
    tools = tools_for(tmp_path, Task.SIMILARITY)
    for ask in (tools.get, lambda name: tools.similar(doc_id=name)):
        with pytest.raises(NotFoundError, match="no document 'sun' in notes"):
            ask("sun")


def test_a_text_gets_its_label(tmp_path: Path) -> None:
    tools = tools_for(tmp_path, Task.CLASSIFICATION)
    answer = tools.classify("salt water and flour")
    assert (answer.label, answer.runner_up, answer.index) == ("kitchen", "sky", "notes")
    assert {near.doc_id for near in answer.nearest} <= set(TEXTS)
    assert label_text(answer).splitlines()[0] == f"kitchen  {answer.confidence:.4f}"
    with pytest.raises(UsageError, match="the text is empty"):
        tools.classify(" \n")


def test_a_document_is_read_page_by_page(tmp_path: Path) -> None:
    tools = tools_of(tmp_path, Document("long", SENTENCES, {"author": "me"}))
    text, offset, pages = "", 0, 0
    while True:
        page = tools.get("long", offset=offset)
        assert size_of(page) <= DEFAULT_BYTES
        assert page.metadata == ({"author": "me"} if offset == 0 else {})
        text += page.text
        pages += 1
        if page.next_offset is None:
            break
        assert page.truncated
        offset = page.next_offset
    assert (text, pages) == (SENTENCES, 4)
    assert "[chars 0-" in document_text(tools.get("long"))
    with pytest.raises(UsageError, match=r"offset 20,000 is too large"):
        tools.get("long", offset=20_000)


def test_the_shown_part_of_a_long_hit_has_its_best_sentence(tmp_path: Path) -> None:
    text = SENTENCES + "The moon is made of cheese. " + SENTENCES
    hit = tools_of(tmp_path, Document("long", text)).search("moon cheese").hits[0]
    assert "The moon is made of cheese." in hit.text
    assert text[hit.start : hit.start + len(hit.text)] == hit.text
    assert len(hit.text) <= 300
    assert f"  chars {hit.start}-" in hits_text(
        tools_of(tmp_path / "2", Document("long", text)).search("moon cheese")
    )


@pytest.mark.parametrize("letter", ["word ", "月", "\x1b", "😀", "x", '"'])
def test_an_answer_has_its_size_whatever_the_texts(letter: str, tmp_path: Path) -> None:
    documents = [
        Document(
            f"{letter if letter.isprintable() else 'd'}{number}",
            letter * 5000,
            {letter * 60: 1, "a": letter},
        )
        for number in range(60)
    ]
    tools = tools_of(tmp_path, *documents)
    answer = tools.search(letter.replace("\x1b", "x"))
    assert size_of(answer) <= DEFAULT_BYTES
    assert len(hits_text(answer).encode()) <= DEFAULT_BYTES
    most = tools.search("x", k=MOST_K, max_chars=MOST_HIT_CHARACTERS)
    assert DEFAULT_BYTES < size_of(most) <= MOST_BYTES
    assert most.truncated
    assert most.next_offset == len(most.hits)


def test_what_cannot_be_seen_is_shown_as_an_escape(tmp_path: Path) -> None:
    hidden = "a\u202eb \x1b[31mred\x00 \U000e0041"
    tools = tools_of(tmp_path, Document("id\u202e", hidden, {"k\u202e": "v\x1b", "n": ["\x1b"]}))
    hit = tools.search("red").hits[0]
    assert hit.text == "a\\u202eb \\x1b[31mred\\x00 \\U000e0041"
    assert hit.metadata == {"k\\u202e": "v\\x1b", "n": ["\\x1b"]}
    assert hit.doc_id == "id\\u202e"
    assert tools.get(hit.doc_id).text == hit.text


def test_a_title_that_the_text_has_is_not_repeated(tmp_path: Path) -> None:
    text = "The Moon. It orbits."
    tools = tools_of(tmp_path, Document("moon", text, {"title": "The Moon", "by": "Galileo"}))
    assert tools.search("moon").hits[0].metadata == {"by": "Galileo"}


def test_large_metadata_is_cut_or_left_out(tmp_path: Path) -> None:
    metadata = {"long": "y" * 500, "deep": {"a": list(range(100))}, "n" * 90: 1}
    found = tools_of(tmp_path, Document("a", "text", metadata)).search("text").hits[0].metadata
    assert found == {"long": "y" * 120 + "…"}
    many = {f"field{number}": number for number in range(200)}
    tools = tools_of(tmp_path / "2", Document("a", "text", many))
    assert 20 < len(tools.search("text").hits[0].metadata) < 40
    assert 60 < len(tools.get("a").metadata) < 200


def test_the_indexes_are_listed_with_their_fields(tmp_path: Path) -> None:
    tools = tools_for(tmp_path, words=True)
    (item,) = tools.list_indexes().indexes
    assert (item.name, item.task, item.documents) == ("notes", "retrieval", 4)
    assert item.modes == ["dense", "words", "hybrid"]
    assert [(field.name, field.type) for field in item.fields] == [
        ("size", "integer"),
        ("topic", "text"),
    ]
    shown = indexes_text(tools.list_indexes())
    assert "notes: task retrieval, 4 documents, mode dense/words/hybrid" in shown
    assert "  topic: text, such as 'sky', 'kitchen'" in shown


def test_many_indexes_are_listed_in_several_answers(tmp_path: Path) -> None:
    folder = make(tmp_path / "index")
    tools = Tools(serving({f"{number:03} {'n' * 200}": folder for number in range(40)}))
    first = tools.list_indexes()
    assert size_of(first) <= DEFAULT_BYTES + 200
    assert first.truncated
    assert first.next_offset == len(first.indexes)
    second = tools.list_indexes(offset=first.next_offset)
    assert second.indexes[0].name.startswith(f"{first.next_offset:03}")
    assert tools.list_indexes(offset=40).indexes == []
