"""Is training on a reranker's ratings better than training on labels, with the same pairs?

    python benchmarks/distill.py DATA WORK

No reranker comes with taskembed, so one is made first: minilm's own weights as a cross-encoder,
trained on the first half of squad_sentences' training pairs. It then rates the candidates of
queries of the second half. Two adapters are trained on those candidates with the same recipe: one
on the ratings, one on labels (the query's own document against all others). They are evaluated on
squad_sentences' evaluation set, as are the base, and the base reranked by the teacher.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from common import machine

from taskembed.encoding.load import load_encoder
from taskembed.encoding.reranker import load_reranker
from taskembed.encoding.settings import EngineSettings
from taskembed.evaluation.compare import measure_run
from taskembed.evaluation.data import DataFiles, read_judged
from taskembed.evaluation.evaluate import rank
from taskembed.evaluation.measured import paired_difference
from taskembed.models.files import Hub
from taskembed.models.resolve import PromptOverrides
from taskembed.reading.examples import read_examples
from taskembed.space import Task
from taskembed.training._overlap import KnownTexts, judged_texts

PAIRS = "training/squad_sentences/pairs.jsonl.gz"
JUDGED_SET = "retrieval/squad_sentences"
TEACHER_STEPS = 500
RATED = 2500  # queries
CANDIDATES = 8
JUDGED = 1000  # queries
DEPTH = 20  # documents that the teacher reranks
SURE = 12.0  # a label as a rating: its document has nearly the whole share
RECIPE = """
task = "retrieval"
name = "{name}"
[[data]]
path = "{name}.jsonl"
dev = 200
[training]
steps = 150
batch = 16
learning_rate = 2e-4
eval_steps = 50
"""


def main() -> None:
    data, work = Path(sys.argv[1]), Path(sys.argv[2])
    work.mkdir(exist_ok=True)
    _, examples = read_examples(data / PAIRS)
    judged = KnownTexts(judged_texts(data, [JUDGED_SET]))
    examples = [item for item in examples if not any(map(judged.match, item.texts))]
    half = len(examples) // 2
    teacher = work / "teacher"
    if not teacher.exists():
        train_teacher(examples[:half], teacher)
    pairs = work / "pairs.jsonl"
    with pairs.open("w") as stream:
        for item in examples[half : half + RATED]:
            stream.write(json.dumps({"anchor": item.texts[0], "positive": item.texts[1]}) + "\n")
    command(
        "distill",
        pairs,
        "--teacher",
        teacher,
        "--candidates",
        CANDIDATES,
        "-o",
        work / "rated.jsonl",
    )
    with (work / "labelled.jsonl").open("w") as stream:
        for line in (work / "rated.jsonl").read_text().splitlines():
            row = json.loads(line)
            row["ratings"] = [SURE] + [0.0] * (len(row["documents"]) - 1)
            stream.write(json.dumps(row) + "\n")
    for name in ("rated", "labelled"):
        (work / f"{name}.toml").write_text(RECIPE.format(name=name))
        command("train", work / f"{name}.toml", "--data", work, "--output", work / "adapters")
    judge(data, work)


def train_teacher(examples, folder: Path) -> None:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import (
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
        losses,
    )
    from torch import nn

    started = time.perf_counter()
    base, _ = Hub().folder("minilm")
    model = CrossEncoder(
        str(base), num_labels=1, max_length=96, device="cpu", local_files_only=True
    )
    rows = examples[: TEACHER_STEPS * 32]
    pairs = Dataset.from_dict(
        {"query": [row.texts[0] for row in rows], "answer": [row.texts[1] for row in rows]}
    )
    trainer = CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(
            output_dir=str(folder) + "-work",
            max_steps=TEACHER_STEPS,
            per_device_train_batch_size=16,
            learning_rate=1e-4,
            warmup_steps=50,
            bf16=True,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            logging_steps=50,
        ),
        train_dataset=pairs,
        loss=losses.MultipleNegativesRankingLoss(
            model, num_negatives=4, scale=1.0, activation_fn=nn.Identity()
        ),
    )
    trainer.train()
    model.save_pretrained(str(folder))
    print(f"teacher: {time.perf_counter() - started:.0f} s")


def command(*words: object) -> None:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "taskembed", *map(str, words)], check=True, stdout=subprocess.PIPE
    )
    print(done.stdout.decode().strip(), f"({time.perf_counter() - started:.0f} s)", flush=True)


def judge(data: Path, work: Path) -> None:
    judged = read_judged(Task.RETRIEVAL, DataFiles(data / JUDGED_SET, limit=JUDGED))
    settings = EngineSettings(offline=True)
    found = {}
    for name in ("base", "labelled", "rated"):
        adapter = "" if name == "base" else str(work / "adapters" / name)
        encoder = load_encoder(
            "minilm", Task.RETRIEVAL, stated=PromptOverrides(adapter=adapter), settings=settings
        )
        run = rank(encoder, judged)
        found[name] = measure_run(judged.judgements, run)
        if name == "base":
            found["base + teacher"] = measure_run(
                judged.judgements, reranked(run, judged, work / "teacher", settings)
            )
    print(machine())
    for name, measured in found.items():
        shown = f"{name:16} nDCG@10 {measured.value:.4f}"
        if name != "base":
            shown += "  over the base {:+.4f} ({:+.4f} .. {:+.4f})".format(
                *paired_difference(found["base"], measured)
            )
        print(shown)
    gain = paired_difference(found["labelled"], found["rated"])
    print("ratings over labels: {:+.4f} ({:+.4f} .. {:+.4f})".format(*gain))


def reranked(run, judged, teacher: Path, settings: EngineSettings):
    reranker = load_reranker(str(teacher), settings=settings)
    texts = {item.doc_id: item.text for item in judged.documents}
    queries = {query.query_id: query.text for query in judged.queries}
    found = {}
    for query, hits in run.items():
        best = list(hits)[:DEPTH]
        scores = reranker.scores(queries[query], [texts[name] for name in best])
        found[query] = dict(zip(best, map(float, scores), strict=True))
    return found


if __name__ == "__main__":
    main()
