"""Prints predicted labels, and figures about them, for people or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

from taskembed.batches import batched
from taskembed.cli.printing.output import write
from taskembed.cli.printing.table import Column, print_table
from taskembed.escaping import json_text

if TYPE_CHECKING:
    from taskembed.evaluation.labels import LabelReport
    from taskembed.verbs.classify import Classifier, Prediction

TABLE_ROWS = 1_000  # rows of a table in memory
LINES_AT_ONCE = 100
SHOWN_CONFUSIONS = 20  # most rows of the table of confusions; JSON contains all


def print_predictions(
    predictions: Iterable[Prediction], stream: TextIO | None, *, for_people: bool
) -> None:
    """Print predictions as they are made: as a table, or as lines of JSON."""
    if not for_people:
        for some in batched(predictions, LINES_AT_ONCE):
            write("".join(json_text(prediction_json(item)) + "\n" for item in some), stream)
        return
    columns = [Column("doc_id", folds=True), Column("label", folds=True)]
    columns += [Column("confidence", number=True), Column("runner-up", folds=True)]
    columns += [Column("nearest", folds=True, leave_out=1)]
    for some in batched(predictions, TABLE_ROWS):
        print_table(columns, [_cells(item) for item in some], stream=stream)


def prediction_json(item: Prediction) -> dict[str, object]:
    """Return a prediction as a JSON object."""
    runner_up = {"label": item.runner_up, "confidence": round(item.runner_up_confidence, 6)}
    nearest = [
        {"doc_id": near.doc_id, "score": round(near.score, 6), "labels": list(near.labels)}
        for near in item.nearest
    ]
    return {
        "doc_id": item.doc_id,
        "label": item.label,
        "confidence": round(item.confidence, 6),
        "best": item.best,
        "runner_up": None if item.runner_up is None else runner_up,
        "nearest": nearest,
        "zero_shot": item.zero_shot,
    }


def head_note(classifier: Classifier) -> str:
    """Return a line for people with the chosen head and the figures it was chosen by."""
    if not classifier.accuracies:
        return f"head {classifier.head.value}"
    figures = ", ".join(
        f"{name.value} {accuracy:.3f}" for name, accuracy in classifier.accuracies.items()
    )
    return f"head {classifier.head.value}; leave-one-out accuracy: {figures}"


def report_json(report: LabelReport, classifier: Classifier) -> Mapping[str, object]:
    """Return the figures as a JSON object."""
    accuracies = {name.value: value for name, value in classifier.accuracies.items()}
    return {"head": classifier.head.value, "leave_one_out": accuracies, **asdict(report)}


def print_report(report: LabelReport) -> None:
    """Print the figures for people."""
    for name, value in (
        ("accuracy", report.accuracy),
        ("macro F1", report.macro_f1),
        ("calibration error (ECE)", report.ece),
    ):
        write(f"{name:24}{value:.4f}\n")
    write(f"{'texts':24}{report.texts:,}\n\n")
    columns = [Column(name, number=True) for name in ("answered", "accuracy", "--min-confidence")]
    print_table(
        columns,
        [
            [f"{point.share:.0%}", f"{point.accuracy:.4f}", f"{point.least:.4f}"]
            for point in report.coverage
        ],
    )
    if report.confusions:
        write("\n")
        columns = [Column("right label", folds=True), Column("predicted", folds=True)]
        print_table([*columns, Column("texts", number=True)], list(_confused(report)))


def _confused(report: LabelReport) -> Iterator[list[str]]:
    for item in report.confusions[:SHOWN_CONFUSIONS]:
        yield [item.gold, item.predicted, f"{item.count:,}"]


def _cells(item: Prediction) -> list[str]:
    zero_shot = " (zero-shot)" if item.zero_shot else ""
    label = f"- ({item.best}?)" if item.label is None else item.label
    nearest = item.nearest[0].doc_id if item.nearest else ""
    return [
        item.doc_id,
        label + zero_shot,
        f"{item.confidence:.4f}",
        item.runner_up or "",
        nearest,
    ]
