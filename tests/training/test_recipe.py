"""Recipes, examples, and which of them are trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import taskembed
from taskembed.errors import BadInputError, NotFoundError, TaskembedError, UsageError
from taskembed.reading.examples import ExampleKind, read_examples
from taskembed.space import Task
from taskembed.training._splits import split_examples
from taskembed.training.recipe import parse_recipe, read_recipe

RECIPE = """\
task = "sts"
model = "minilm"
seed = 7
exclude = ["judged/*"]
[[data]]
path = "pairs.jsonl"
dev = 2
[lora]
rank = 4
strength = 0.5
[training]
learning_rate = 1
matryoshka = [128]
"""


def test_what_a_recipe_says_and_leaves_out() -> None:
    text = RECIPE.replace("learning_rate = 1", "learning_rate = 1e-3")
    recipe = parse_recipe(text)
    assert recipe.task is Task.SIMILARITY
    assert (recipe.seed, recipe.exclude) == (7, ("judged/*",))
    assert (recipe.data[0].path, recipe.data[0].dev, recipe.data[0].limit) == ("pairs.jsonl", 2, 0)
    assert (recipe.lora.rank, recipe.lora.alpha, recipe.lora.strength) == (4, 32, 0.5)
    assert recipe.training.matryoshka == (128,)
    assert (recipe.training.batch, recipe.training.learning_rate) == (64, 1e-3)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('task = "sts"', "", 'the key "task" is missing'),
        (
            'task = "sts"',
            'task = "chess"',
            "\"task\" is none of 'retrieval', 'similarity', 'classification', 'clustering' or "
            "'code': 'chess'",
        ),
        ('task = "sts"', "task = 1", "\"task\" is none of 'retrieval', 'similarity', "),
        ("[[data]]", "[data]", '"data" is one table, not a list of them: write [[data]]'),
        ('path = "pairs.jsonl"', "", 'data 1: the key "path" is missing'),
        ("dev = 2", 'dev = "2"', "data 1: \"dev\" is not a whole number: '2'"),
        ("dev = 2", "", '"dev" is 0 in all data: the dev score needs held-back examples'),
        ("dev = 2", "dev = 1", 'data 1: "dev" cannot be 1: the dev score needs at least two'),
        ("dev = 2", "dev = 2\nlimit = -3", 'data 1: "limit" must be at least 0: -3'),
        ("dev = 2", "dev = 2\nnegatives = 51", 'data 1: "negatives" must be at most 50: 51'),
        ("seed = 7", "seed = -1", '"seed" must be at least 0: -1'),
        ("seed = 7", 'name = "../x"', '"name" must be the name of a folder, and not begin with'),
        ("seed = 7", 'name = ".x"', '"name" must be the name of a folder, and not begin with a'),
        ('"judged/*"', '"/judged/*"', '"exclude" must name folders inside --data, such as '),
        ('"judged/*"', '"../judged"', '"exclude" must name folders inside --data, such as '),
        ('"judged/*"', '"judged/**b"', '"exclude" must name folders inside --data, such as '),
        ('"judged/*"', '""', '"exclude" must name folders inside --data, such as retrieval/*'),
        ("[128]", "[128]\nscale = nan", 'training: "scale" is not a finite number: nan'),
        ("[128]", "[128]\nmargin = inf", 'training: "margin" is not a finite number: inf'),
        ("rank = 4", "rang = 4", 'lora: unknown key "rang"; the keys are rank, alpha, dropout'),
        ("dev = 2", "def = 2", 'data 1: unknown key "def"; the keys are path, licence, limit, dev'),
        ("seed = 7", "sed = 7", 'unknown key "sed"; the keys are task, data, model, revision, '),
        ("rank = 4", "rank = 0", 'lora: "rank" must be at least 1: 0'),
        ("rank = 4", "rank = true", 'lora: "rank" is not a whole number: True'),
        ("rank = 4", "rank = 4.0", 'lora: "rank" is not a whole number: 4.0'),
        ("strength = 0.5", "strength = 0", 'lora: "strength" must be more than 0: 0'),
        ("strength = 0.5", 'strength = "1"', "lora: \"strength\" is not a number: '1'"),
        ("learning_rate = 1", "learning_rate = 2", 'training: "learning_rate" must be less than 1'),
        ("[128]", '["128"]', "training, matryoshka 1 is not a whole number: '128'"),
        ("[128]", "128", 'training: "matryoshka" is not a list: 128'),
        ("[128]", "[128, 0]", "training, matryoshka 2 must be at least 1: 0"),
        (
            "[128]",
            "[128]\nprecision = 'fp8'",
            "training: \"precision\" is none of 'bf16' or 'fp32': 'fp8'",
        ),
        ("seed = 7", "seed = = 7", "Invalid value"),
    ],
)
def test_what_is_no_recipe_is_refused_by_its_key(
    tmp_path: Path, old: str, new: str, reason: str
) -> None:
    path = tmp_path / "recipe.toml"
    right = RECIPE.replace("learning_rate = 1", "learning_rate = 0.1")
    old = "learning_rate = 0.1" if old == "learning_rate = 1" else old
    path.write_text(right.replace(old, new))
    with pytest.raises(UsageError) as refusal:
        read_recipe(path)
    assert refusal.value.message.startswith(f"{path}: {reason}")


def test_the_recipes_of_the_bundled_adapters_are_recipes() -> None:
    paths = sorted((Path(taskembed.__file__).parent / "models" / "minilm").glob("*/recipe.toml"))
    assert [read_recipe(path).task.value for path in paths] == [
        *("classification", "clustering", "code", "retrieval", "similarity")
    ]


def write(path: Path, *records: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_what_a_file_holds_is_told_by_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    cases: list[tuple[dict[str, Any], ExampleKind]] = [
        ({"anchor": "a", "positive": "b", "negative": "c"}, ExampleKind.PAIRS),
        ({"sentence1": "a", "sentence2": "b", "score": 0.5}, ExampleKind.SCORED),
        ({"text": "a", "label": 3}, ExampleKind.LABELLED),
        ({"query": "a", "documents": ["b", "c"], "ratings": [1, -1.5]}, ExampleKind.RATED),
    ]
    read = {form: read_examples(write(path, record)) for record, form in cases}
    assert {form: found for form, (found, _) in read.items()} == {
        form: form for form in ExampleKind
    }
    assert (
        read[ExampleKind.PAIRS][1][0].texts
        == read[ExampleKind.RATED][1][0].texts
        == ("a", "b", "c")
    )
    assert read[ExampleKind.SCORED][1][0].score == 0.5
    assert read[ExampleKind.LABELLED][1][0].label == "3"
    assert read[ExampleKind.RATED][1][0].ratings == (1.0, -1.5)


GOOD: dict[str, dict[str, Any]] = {
    "pairs": {"anchor": "a", "positive": "b"},
    "scored": {"sentence1": "a", "sentence2": "b", "score": 1},
    "labelled": {"text": "a", "label": "x"},
    "rated": {"query": "a", "documents": ["b", "c"], "ratings": [1, 0]},
}


@pytest.mark.parametrize(
    ("form", "changes", "reason"),
    [
        ("pairs", {"positive": ""}, 'the field "positive" is not a text, or is empty'),
        ("pairs", {"anchor": None}, 'the field "anchor" is not a text, or is empty'),
        ("pairs", {"negative": "c"}, "the example has 3 texts, and the ones before it have 2"),
        ("scored", {"score": "high"}, "the field \"score\" is not a number: 'high'"),
        ("scored", {"score": True}, 'the field "score" is not a number: True'),
        ("labelled", {"label": None}, 'the field "label" is not a text, or is empty: None'),
        ("rated", {"ratings": [1]}, "the example has 2 documents and 1 ratings"),
        ("rated", {"ratings": [1, "2"]}, 'the field "ratings" has a value that is not a number'),
        (
            "rated",
            {"documents": ["b", ""]},
            'the field "documents" has a value that is not a text, or is empty',
        ),
        ("rated", {"documents": "b"}, 'the fields "documents" and "ratings" are not lists'),
    ],
)
def test_a_bad_example_is_refused_by_its_line(
    tmp_path: Path, form: str, changes: dict[str, Any], reason: str
) -> None:
    good = GOOD[form]
    path = write(tmp_path / "a.jsonl", good, {**good, **changes})
    with pytest.raises(BadInputError) as refusal:
        read_examples(path)
    assert refusal.value.message == f"{path}:2: {reason}"


def test_what_is_no_example_at_all(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"id": "a", "text": "b"})
    with pytest.raises(BadInputError) as refusal:
        read_examples(path)
    assert refusal.value.message == (
        f"{path}:1: expected the fields of an example: anchor, positive; or sentence1, "
        "sentence2, score; or text, label; or query, documents, ratings"
    )
    with pytest.raises(BadInputError, match=r"of an example: text, label$"):
        read_examples(path, ExampleKind.LABELLED)
    with pytest.raises(BadInputError, match=r"empty\.jsonl: the file has no examples"):
        read_examples(write(tmp_path / "empty.jsonl"))
    with pytest.raises(NotFoundError):
        read_examples(tmp_path / "none.jsonl")


def recipe_of(*lines: str) -> str:
    return "\n".join(['task = "retrieval"', *lines])


def test_examples_are_drawn_by_the_seed_and_held_back(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", *({"anchor": f"q{n}", "positive": f"d{n}"} for n in range(50)))
    text = recipe_of("[[data]]", 'path = "a.jsonl"', "dev = 5", "limit = 20")
    first, again = (split_examples(parse_recipe(text), tmp_path)[0] for _ in range(2))
    assert first == again
    assert (len(first.train), len(first.dev), first.read, first.excluded) == (20, 5, 50, 0)
    assert not {item.texts for item in first.train} & {item.texts for item in first.dev}
    other = split_examples(parse_recipe("seed = 1\n" + text), tmp_path)[0]
    assert other.train != first.train


def test_no_text_that_is_held_back_is_trained_on(tmp_path: Path) -> None:
    write(
        tmp_path / "a.jsonl",
        *({"anchor": f"question {n}", "positive": f"Answer {n % 5}!"} for n in range(40)),
        {"anchor": "question 1", "positive": "ANSWER 2"},
    )
    text = recipe_of("[[data]]", 'path = "a.jsonl"', "dev = 2")
    drawn = split_examples(parse_recipe(text), tmp_path)[0]
    held_back = {item.texts[1].casefold().strip("!") for item in drawn.dev}
    assert len(drawn.dev) == 2
    assert not {item.texts[1].casefold().strip("!") for item in drawn.train} & held_back


@pytest.mark.parametrize("qrels", ["qrels.tsv", "qrels/test.tsv"])
def test_what_is_judged_on_is_left_out(tmp_path: Path, qrels: str) -> None:
    write(tmp_path / "judged" / "sts" / "pairs.jsonl", GOOD["scored"] | {"sentence1": "The end."})
    ranking = tmp_path / "judged" / "beir"
    write(
        ranking / "corpus.jsonl",
        {"id": "1", "text": "An answer that is long enough to be known again"},
        {"id": "2", "text": "a distractor"},
    )
    write(ranking / "queries.jsonl", {"id": "q", "text": "Which question?"})
    (ranking / qrels).parent.mkdir(exist_ok=True)
    (ranking / qrels).write_text("q\t1\t1\nq\t2\t0\n")
    write(
        tmp_path / "a.jsonl",
        {"anchor": "the END", "positive": "x1"},
        {"anchor": "x2", "positive": "which question"},
        {"anchor": "x3", "positive": "An answer that is long enough to be known again and"},
        {"anchor": "x4", "positive": "a distractor"},
        {"anchor": "x5", "positive": "x6"},
        {"anchor": "x7", "positive": "x8"},
    )
    text = recipe_of('exclude = ["judged/*"]', "[[data]]", 'path = "a.jsonl"', "dev = 2")
    said: list[str] = []
    split = split_examples(parse_recipe(text), tmp_path, said.append)[0]
    assert said == ["looking among 6 examples for texts of judged/*"]
    assert split.excluded == 3
    anchors = {item.texts[0] for item in (*split.train, *split.dev)}
    assert anchors == {"x4", "x5", "x7"}  # a document that answers nothing is no judged text


@pytest.mark.parametrize(
    ("records", "lines", "message"),
    [
        ([GOOD["pairs"]], [], "a.jsonl: none of 1 examples is left to train on: 1 are held back"),
        (
            [{"text": str(n), "label": "x"} for n in range(5)],
            [],
            "a.jsonl: at least two labels need two texts each to train on",
        ),
        (
            [{"text": str(n), "label": "xy"[n % 2]} for n in range(9)],
            ["[training]", "batch = 5"],
            '"training: batch" of 5 does not fit labelled texts: it must be even, and 4 or more',
        ),
        ([GOOD["pairs"]], ['exclude = ["no/*"]'], "no folder matches "),
    ],
)
def test_too_little_to_train_on_is_refused(
    tmp_path: Path, records: list[object], lines: list[str], message: str
) -> None:
    write(tmp_path / "a.jsonl", *records)
    data = ["[[data]]", 'path = "a.jsonl"', "dev = 2"]
    tables = [line for line in lines if line.startswith(("[", "batch"))]
    text = recipe_of(*(line for line in lines if line not in tables), *data, *tables)
    with pytest.raises(TaskembedError) as refusal:
        split_examples(parse_recipe(text), tmp_path)
    assert refusal.value.message.startswith(message)


def test_what_one_file_holds_back_no_other_trains_on(tmp_path: Path) -> None:
    records = [{"anchor": f"q{n}", "positive": f"d{n}"} for n in range(20)]
    write(tmp_path / "a.jsonl", *records)
    write(tmp_path / "b.jsonl", *records)
    data = ["[[data]]", 'path = "b.jsonl"', "[[data]]", 'path = "a.jsonl"', "dev = 5"]
    other, first = split_examples(parse_recipe(recipe_of(*data)), tmp_path)
    held_back = {item.texts for item in first.dev}
    assert len(held_back) == 5
    assert len(other.train) == len(first.train) == 15
    assert not {item.texts for item in other.train} & held_back


def test_a_folder_that_has_nothing_to_leave_out_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", *({"anchor": f"q{n}", "positive": f"d{n}"} for n in range(9)))
    write(tmp_path / "judged" / "other" / "notes.jsonl", {"a": 1})
    text = recipe_of('exclude = ["judged/*"]', "[[data]]", 'path = "a.jsonl"', "dev = 2")
    with pytest.raises(BadInputError) as refusal:
        split_examples(parse_recipe(text), tmp_path)
    assert refusal.value.message == f"{tmp_path}/judged/other has no evaluation data"
