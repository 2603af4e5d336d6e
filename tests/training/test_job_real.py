"""`train` and `distill`, on a tiny model: what is saved is what was scored, whatever interrupts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import BadInputError, StoppedError, StorageError, UsageError
from taskembed.models.resolve import PromptOverrides
from taskembed.reading.examples import read_examples
from taskembed.space import PromptType, Task
from taskembed.training._splits import split_examples
from taskembed.training.distill import distill
from taskembed.training.job import train
from taskembed.training.recipe import read_recipe
from taskembed.training.trainer import Progress
from taskembed.vectors import Floats
from tests import tiny_models
from tests.conftest import Run
from tests.fakes import SPACE, HashEncoder

WORDS = list(dict.fromkeys(tiny_models.WORDS[2].split()))
SETTINGS = """
[lora]
rank = 4
alpha = 16
[training]
steps = 24
batch = 8
mini_batch = 8
learning_rate = 1e-2
eval_steps = 8
max_length = 32
precision = "fp32"
"""


CHANGED = "starting again: the recipe, its data or its base has changed since the checkpoints in"


def recipe(folder: Path, *, task: str = "retrieval", data: str = "", settings: str = "") -> Path:
    path = folder / "recipe.toml"
    prompts = 'query_prompt = "query "\n'
    if task in {"retrieval", "code"}:
        prompts += 'document_prompt = "passage "\n'
    path.write_text(
        f'task = "{task}"\nmodel = "{folder / "model"}"\nlicence = "MIT"\n{prompts}'
        f'[[data]]\npath = "data.jsonl"\nlicence = "CC0-1.0"\ndev = 10\n{data}'
        + (settings or SETTINGS)
    )
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_models.save_bert(tmp_path / "model", pooling="mean")
    return tmp_path


def write(folder: Path, records: Sequence[object]) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def pairs(*, turned: bool = False) -> list[dict[str, object]]:
    """Each word's answer is the next word of the list; `turned`, the same words backwards."""
    generator = random.Random(0)
    made: dict[str, dict[str, object]] = {}
    while len(made) < 60:
        words = generator.sample(WORDS, 3)
        answer = [WORDS[(WORDS.index(word) + 1) % len(WORDS)] for word in words]
        anchor, positive = " ".join(words), " ".join(words[::-1] if turned else answer)
        made[anchor] = {"anchor": anchor, "positive": positive}
    return list(made.values())


def scored() -> list[dict[str, object]]:
    """The more words two texts share, the lower: what a random model would not guess."""
    generator = random.Random(0)
    made: list[dict[str, object]] = []
    for _ in range(60):
        first, second = generator.sample(WORDS, 4), generator.sample(WORDS, 4)
        shared = len({*first} & {*second})
        made.append({"sentence1": " ".join(first), "sentence2": " ".join(second), "score": -shared})
    return made


def labelled() -> list[dict[str, object]]:
    generator = random.Random(0)
    texts = {" ".join(generator.sample(WORDS, 4)) for _ in range(80)}
    return [{"text": text, "label": str("fox" in text)} for text in sorted(texts)]


def rated() -> list[dict[str, object]]:
    return [
        {
            "query": pair["anchor"],
            "documents": [pair["positive"], "potions", "seven wizards"],
            "ratings": [1.5, -1.0, -0.5],
        }
        for pair in pairs()
    ]


def settings(cache: Path, said: list[str] | None = None) -> EngineSettings:
    notify = (said if said is not None else []).append
    return EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache, notify=notify)


def apart(one: Path, other: Path) -> float:
    """Return the largest difference between two adapters."""
    ours, theirs = (load_file(folder / "adapter_model.safetensors") for folder in (one, other))
    assert ours.keys() == theirs.keys()
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)


Make = Callable[[], list[dict[str, object]]]


@pytest.mark.parametrize(
    ("task", "make", "data"),
    [
        pytest.param("code", pairs, "negatives = 2\n", marks=pytest.mark.slow),
        ("retrieval", pairs, ""),
        ("similarity", scored, ""),
        ("classification", labelled, ""),
        pytest.param("clustering", labelled, "", marks=pytest.mark.slow),
        ("retrieval", rated, ""),
    ],
    ids=["mined", "pairs", "scored", "labelled", "clusters", "rated"],
)
def test_every_form_is_learnt_from(
    run: Run, folder: Path, cache: Path, task: str, make: Make, data: str
) -> None:
    write(folder, make())
    path = recipe(folder, task=task, data=data)
    done = run("train", path, "--data", folder, "--output", folder / "out", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert isinstance(found, dict)
    assert (found["task"], found["trained"], found["steps"]) == (task, True, 24)
    assert found["score"] > found["base_score"]
    adapter = Path(str(found["adapter"]))
    assert sorted(path.name for path in adapter.iterdir()) == [
        *("README.md", "adapter_config.json", "adapter_model.safetensors", "recipe.toml")
    ]
    assert not list((folder / "out").glob(".*"))
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"]) == ("LORA", 4)
    assert config["base_model_name_or_path"] == str(folder / "model")
    words = ("--model", folder / "model", "--adapter", adapter, "--index", folder / "index")
    prompts = ("--query-prompt", "", "--document-prompt", "")
    (folder / "corpus.jsonl").write_text('{"id": "a", "text": "fox"}\n')
    done = run("index", folder / "corpus.jsonl", "--task", task, *words, *prompts)
    assert done.code == 0, done.err


@pytest.mark.slow
def test_large_batches_in_parts_and_shorter_vectors_too(folder: Path, cache: Path) -> None:
    write(folder, pairs())
    parts = SETTINGS.replace("mini_batch = 8", "mini_batch = 4\nmatryoshka = [8, 16]")
    path = recipe(folder, settings=parts)
    shorter = train(path, data=folder, output=folder / "out", settings=settings(cache))
    path = recipe(folder, settings=SETTINGS.replace("mini_batch = 8", "mini_batch = 4"))
    cached = train(path, data=folder, output=folder / "cached", settings=settings(cache))
    path = recipe(folder)
    plain = train(path, data=folder, output=folder / "plain", settings=settings(cache))
    assert apart(cached.folder, plain.folder) < 5e-3  # the same gradients, in another order
    assert apart(shorter.folder, cached.folder) > 5e-2  # other gradients


def test_what_is_saved_is_what_was_scored(folder: Path, cache: Path) -> None:
    """The dev score, computed again from the saved adapter by the encoder that will use it."""
    write(folder, scored())
    path = recipe(
        folder, task="similarity", settings=SETTINGS.replace("rank", "strength = 0.5\nrank")
    )
    job = train(path, data=folder, output=folder / "out", settings=settings(cache))
    assert job.trained is not None
    dev = split_examples(read_recipe(path), folder)[0].dev
    for adapter, score in {str(job.folder): job.trained.score, "": job.trained.base_score}.items():
        stated = PromptOverrides(query_prompt="query ", adapter=adapter)
        encoder = load_encoder(
            str(folder / "model"), Task.SIMILARITY, stated=stated, settings=settings(cache)
        )
        first, second = (
            encoder.encode([item.texts[side] for item in dev], PromptType.QUERY).vectors
            for side in (0, 1)
        )
        from scipy.stats import spearmanr

        cosines = (first * second).sum(axis=1)
        expected = spearmanr([item.score for item in dev], cosines).statistic
        assert score == pytest.approx(expected, abs=0.02)  # fp16 may swap two that are equal
    card = (job.folder / "README.md").read_text()
    assert f"base {job.trained.base_score:.4f}, adapter {job.trained.score:.4f}, at step" in card
    assert "| data.jsonl | scored | 60 | 50 | 10 | 0 | CC0-1.0 |" in card
    assert "license: MIT\n" in card
    assert "strength 0.5" in card


@pytest.mark.slow
def test_a_training_that_was_stopped_ends_as_if_it_had_not_been(folder: Path, cache: Path) -> None:
    write(folder, pairs())
    path = recipe(folder)

    def stop(progress: Progress) -> None:
        if progress.step == 16:
            raise StoppedError("stopped by SIGTERM", signal_number=15)

    whole = train(path, data=folder, output=folder / "whole", settings=settings(cache))
    said: list[str] = []
    with pytest.raises(StoppedError):
        train(
            path,
            data=folder,
            output=folder / "halves",
            settings=settings(cache),
            on_progress=stop,
        )
    steps: list[int] = []
    halves = train(
        path,
        data=folder,
        output=folder / "halves",
        settings=settings(cache, said),
        on_progress=lambda progress: steps.append(progress.step),
    )
    assert said == [f"continuing from the last checkpoint in {folder}/halves/.retrieval-work"]
    assert min(steps) > 0  # it did not begin anew
    assert whole.trained is not None
    assert halves.trained is not None
    assert halves.trained.base_score == whole.trained.base_score
    assert apart(whole.folder, halves.folder) < 1e-3


def test_the_same_command_again_does_nothing_and_another_is_refused(
    run: Run, folder: Path, hub: Path
) -> None:
    """Of a model with a name, about which no library may say a word: a warning is an error here."""
    write(folder, pairs())
    path = recipe(folder, settings=SETTINGS.replace("24", "8"))
    tiny_models.publish(folder / "model", hub, "intfloat/e5-small-v2")
    path.write_text(path.read_text().replace(str(folder / "model"), "intfloat/e5-small-v2"))
    words = ("train", path, "--data", folder, "--output", folder / "out")
    done = run(*words)
    assert done.code == 0, done.err
    adapter = folder / "out" / "retrieval"
    assert done.out.startswith(f"{adapter}: dev score ")
    assert "step 0 of 8: dev score " in done.err
    before = (adapter / "adapter_model.safetensors").stat().st_mtime_ns
    done = run(*words)
    assert (done.code, done.out) == (
        0,
        f"{adapter} already exists, from the same recipe, data and base\n",
    )
    assert (adapter / "adapter_model.safetensors").stat().st_mtime_ns == before
    write(folder, pairs()[:-1])
    done = run(*words)
    assert done.code == 2
    assert f"error: {adapter} contains an adapter that was made from other inputs" in done.err
    assert "hint: remove it, or give another --output" in done.err


def test_an_adapter_that_is_no_better_is_said_to_be_so(run: Run, folder: Path) -> None:
    write(folder, pairs())
    settings = SETTINGS.replace("steps = 24", "steps = 2").replace("1e-2", "1e-9")
    path = recipe(folder, settings=settings)  # two steps, fewer than between dev scores
    done = run("train", path, "--data", folder, "--output", folder / "out")
    assert done.code == 0, done.err
    assert "note: on the held-back examples, the adapter is no better than the base" in done.err


def test_checkpoints_of_another_training_are_not_gone_on_from(folder: Path, cache: Path) -> None:
    write(folder, pairs())
    work = folder / "out" / ".retrieval-work"
    (work / "checkpoint-8").mkdir(parents=True)
    (work / "checkpoint-8" / "trainer_state.json").write_text("{}")
    (work / "made-from").write_text("other things")
    said: list[str] = []
    path = recipe(folder, settings=SETTINGS.replace("24", "8"))
    train(path, data=folder, output=folder / "out", settings=settings(cache, said))
    assert said == [f"{CHANGED} {work}"]


def test_what_is_not_ours_is_neither_removed_nor_written_to(run: Run, folder: Path) -> None:
    write(folder, pairs())
    words = ("train", recipe(folder), "--data", folder, "--output", folder / "out")
    for place, what in {
        "retrieval": "contains other files",
        ".retrieval-work": "contains files other than checkpoints",
    }.items():
        mine = folder / "out" / place / "thesis.txt"
        mine.parent.mkdir(parents=True)
        mine.write_text("mine")
        done = run(*words)
        assert done.code == 2
        assert f"error: {mine.parent} {what}\n" in done.err
        assert mine.read_text() == "mine"
        mine.unlink()
        mine.parent.rmdir()


def test_a_link_to_a_folder_and_the_rest_of_checkpoints_are_no_hindrance(
    folder: Path, cache: Path
) -> None:
    write(folder, pairs())
    real = folder / "elsewhere" / "real"
    real.mkdir(parents=True)
    (folder / "out").mkdir()
    (folder / "out" / "retrieval").symlink_to(real)
    rest = folder / "elsewhere" / ".real-work" / "checkpoint-8"  # as a kill while removing leaves
    rest.mkdir(parents=True)
    path = recipe(folder, settings=SETTINGS.replace("24", "8"))
    said: list[str] = []
    train(path, data=folder, output=folder / "out", settings=settings(cache, said))
    assert said == [
        f"{CHANGED} {rest.parent}",
    ]
    assert (real / "README.md").is_file()
    assert not rest.parent.exists()


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_card_was_written_goes_on(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, pairs())
    path = recipe(folder, settings=SETTINGS.replace("24", "8"))

    def killed(*_: object) -> str:
        raise StoppedError("stopped by SIGTERM", signal_number=15)

    with monkeypatch.context() as patch:
        patch.setattr("taskembed.training.job.card", killed)
        with pytest.raises(StoppedError):
            train(path, data=folder, output=folder / "out", settings=settings(cache))
    assert not (folder / "out" / "retrieval").exists()
    job = train(path, data=folder, output=folder / "out", settings=settings(cache))
    assert job.trained is not None
    assert (job.folder / "README.md").is_file()
    again = train(path, data=folder, output=folder / "out", settings=settings(cache))
    assert again.trained is None


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (("licence", "license"), 2, 'unknown key "license"'),
        (("data.jsonl", "none.jsonl"), 66, "no such file or folder: "),
        (("rank = 4", 'targets = ["nothing"]'), 2, "the recipe does not fit "),
        (
            ("max_length = 32", "max_length = 32\nmatryoshka = [16, 64]"),
            2,
            'error: "training: matryoshka" of 64 is too large: ',
        ),
        (("dev = 10", "dev = 40\nnegatives = 40"), 65, "error: no pair has 40 documents near"),
        (('model = "', 'model = "/none'), 69, "there is no model '/none"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    run: Run, folder: Path, change: tuple[str, str], code: int, message: str
) -> None:
    write(folder, pairs())
    path = recipe(folder)
    path.write_text(path.read_text().replace(*change))
    done = run("train", path, "--data", folder, "--output", folder / "out")
    assert done.code == code, done.err
    assert message in done.err
    assert not (folder / "out" / "retrieval").exists()


def test_a_dev_score_that_is_no_number_is_refused(run: Run, folder: Path) -> None:
    write(folder, [{**record, "score": 1} for record in scored()])
    settings = SETTINGS.replace("24", "8")
    path = recipe(folder, task="similarity", settings=settings)
    done = run("train", path, "--data", folder, "--output", folder / "out")
    assert done.code == 65, done.err
    assert "the dev score is not a number: the held-back examples have no spread\n" in done.err
    assert "hint: use a larger dev in the recipe" in done.err


def test_a_full_disk_below_torch_is_said_to_be_one(tmp_path: Path) -> None:
    from taskembed.training._checkpoints import torch_writes

    said = "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"  # by torch 2.13
    with pytest.raises(StorageError) as refusal, torch_writes(tmp_path):
        raise RuntimeError(said)
    assert refusal.value.message == f"{tmp_path}: a checkpoint cannot be written: {said}"
    assert refusal.value.hint == "free some space and run the same command again"


def test_code_of_a_base_is_run_at_a_commit_only(run: Run, folder: Path, hub: Path) -> None:
    write(folder, pairs())
    tiny_models.publish(folder / "model", hub, "intfloat/e5-small-v2")
    path = recipe(folder)
    path.write_text(path.read_text().replace(str(folder / "model"), "intfloat/e5-small-v2"))
    words = ("train", path, "--data", folder, "--output", folder / "out")
    done = run(*words, "--trust-remote-code")
    assert done.code == 2
    assert "--trust-remote-code runs the code of intfloat/e5-small-v2: say which" in done.err
    assert (
        'hint: write revision = "COMMIT" into the recipe: the 40 characters of the commit'
        in done.err
    )


def test_a_bad_example_is_named_by_file_and_line(run: Run, folder: Path) -> None:
    path = write(folder, [*pairs(), {"anchor": "a", "positive": 7}])
    done = run("train", recipe(folder), "--data", folder, "--output", folder / "out")
    assert done.code == 65
    assert f'{path}:61: the field "positive" is not a text, or is empty' in done.err


def test_a_hosted_model_cannot_be_trained(run: Run, folder: Path) -> None:
    """It is said before any example is read: there are none."""
    path = recipe(folder)
    path.write_text(path.read_text().replace(str(folder / "model"), "text-embedding-3-small"))
    done = run("train", path, "--data", folder, "--output", folder / "out")
    assert done.code == 69
    assert "text-embedding-3-small is run by a server" in done.err


def test_a_model_of_inner_products_cannot_be_trained(run: Run, folder: Path) -> None:
    write(folder, pairs())
    path = folder / "model" / "config_sentence_transformers.json"
    path.write_text(json.dumps({"similarity_fn_name": "dot"}))
    (folder / "model" / "modules.json").unlink()
    done = run("train", recipe(folder), "--data", folder, "--output", folder / "out")
    assert done.code == 69
    assert (
        "cannot be trained: its vectors are compared by their inner product, and the losses use "
        "the cosine"
    ) in done.err


class WordTeacher:
    """A reranker whose score is the share of the query's words that a document has."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight
        self.asked: list[str] = []

    def scores(self, query: str, texts: Sequence[str]) -> Floats:
        self.asked.append(query)
        words = set(query.split())
        shared = [len(words & set(text.split())) / len(words) for text in texts]
        return np.asarray([0.1 + 0.8 * self.weight * share for share in shared], np.float32)


def test_candidates_are_rated_and_a_stopped_run_goes_on(folder: Path) -> None:
    path = write(folder, pairs(turned=True))
    output = folder / "rated.jsonl"
    encoder = HashEncoder(SPACE)
    teacher = WordTeacher()
    done = distill(path, encoder, {"one": teacher, "other": WordTeacher(0.5)}, output, candidates=4)
    assert (done.queries, done.before, done.agreed) == (60, 0, 1.0)
    form, examples = read_examples(output)
    assert form.name == "RATED"
    for example, pair in zip(examples, pairs(turned=True), strict=True):
        assert example.texts[:2] == (pair["anchor"], pair["positive"])
        assert len(set(example.texts[1:])) == 4
        assert sum(example.ratings) == pytest.approx(0, abs=1e-4)
        assert max(example.ratings) == example.ratings[0]
    whole = output.read_bytes()
    output.write_bytes(whole[: len(whole) // 2])  # as a killed run leaves it: within a line
    left = whole[: len(whole) // 2].count(b"\n")
    teacher = WordTeacher()
    done = distill(path, encoder, {"one": teacher, "other": WordTeacher(0.5)}, output, candidates=4)
    assert (done.queries, done.before) == (60, left)
    assert len(teacher.asked) == 60 - left
    assert output.read_bytes() == whole


def test_ratings_of_other_pairs_are_kept(run: Run, folder: Path) -> None:
    path = write(folder, pairs(turned=True))
    output = folder / "rated.jsonl"
    encoder = HashEncoder(SPACE)
    distill(path, encoder, {"one": WordTeacher()}, output, candidates=4)
    with pytest.raises(UsageError, match=r"has ratings of 4 candidates by one$"):
        distill(path, encoder, {"other": WordTeacher()}, output, candidates=4)
    with pytest.raises(UsageError, match=r"has ratings of 4 candidates by one$"):
        distill(path, encoder, {"one": WordTeacher()}, output, candidates=5)
    again = distill(path, encoder, {"one": WordTeacher(-0.1)}, output, candidates=4, limit=9)
    assert (again.queries, again.before, again.agreed) == (60, 60, 1.0)  # nothing was left to rate
    before = output.read_bytes()
    write(folder, list(reversed(pairs())))
    words = ("distill", path, "--teacher", "none/none", "--offline", "--output", output)
    done = run(*words)
    assert done.code == 69  # there is no such reranker; nothing was touched
    assert output.read_bytes() == before
    with pytest.raises(UsageError, match="has ratings of other pairs"):
        distill(path, HashEncoder(SPACE), {"one": WordTeacher()}, output, candidates=4)
    assert output.read_bytes() == before
    first = json.dumps(pairs()[-1]["anchor"])
    broken = [
        f'{{"query": {first}, "documents": {documents}, "ratings": {ratings}}}\n'.encode()
        for documents, ratings in (("5", "[1]"), ('["a"]', "5"), ('["a"]', '["b", 1]'))
    ]
    for others in (path.read_bytes()[:-1], b"my notes", *broken):
        output.write_bytes(others)
        with pytest.raises(UsageError, match="has ratings of other pairs"):
            distill(path, HashEncoder(SPACE), {"one": WordTeacher()}, output, candidates=4)
        assert output.read_bytes() == others


def test_a_teacher_without_a_number_is_refused(folder: Path) -> None:
    path = write(folder, pairs())
    teachers = {"one": WordTeacher(float("nan"))}
    with pytest.raises(
        BadInputError, match="the score of a teacher is not a number, for the query "
    ):
        distill(path, HashEncoder(SPACE), teachers, folder / "rated.jsonl", candidates=4)


def test_too_few_documents_cannot_be_compared(folder: Path) -> None:
    from taskembed.errors import BadInputError

    path = write(folder, pairs()[:3])
    with pytest.raises(BadInputError, match="4 candidates of 3 documents cannot be compared"):
        distill(
            path, HashEncoder(SPACE), {"one": WordTeacher()}, folder / "rated.jsonl", candidates=4
        )
