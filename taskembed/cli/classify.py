"""`taskembed classify`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._inputs.new_records import BadOptions, find_records
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import MachineOptions, OutputOptions, PlaceOptions
from taskembed.cli.options.input import InputOptions
from taskembed.cli.printing.labels import (
    head_note,
    print_predictions,
    print_report,
    report_json,
)
from taskembed.cli.printing.output import STDOUT, message, require_output, results, write
from taskembed.cli.printing.rejected import rejects_reported
from taskembed.cli.printing.table import is_for_people
from taskembed.english import counted
from taskembed.errors import BadInputError, BadRecordError, ExitCode, UsageError
from taskembed.escaping import json_text
from taskembed.space import Task
from taskembed.verbs.defaults import HeadName

if TYPE_CHECKING:
    from taskembed.encoding.settings import EngineSettings
    from taskembed.evaluation.labels import LabelReport
    from taskembed.index.reader import Index
    from taskembed.reading.document import Document
    from taskembed.reading.rejects import RejectFile
    from taskembed.verbs.classify import Classifier, Prediction

SHOWN_LABELS = 5  # in a note


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Which labels there are, and how they are chosen."""

    head: Annotated[
        HeadName,
        typer.Option(
            "--head",
            rich_help_panel=opt.Panel.LABELS,
            help="The classifier; auto is the more accurate of knn and centroid.",
        ),
    ] = HeadName.AUTO
    label_field: Annotated[
        str | None,
        typer.Option(
            "--label-field",
            metavar="NAME",
            rich_help_panel=opt.Panel.LABELS,
            help="The field that contains the label.  [default: as the index remembers]",
        ),
    ] = None
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            rich_help_panel=opt.Panel.LABELS,
            help="A file that describes labels without examples: records with label and text.",
        ),
    ] = None
    min_confidence: Annotated[
        float,
        typer.Option(
            "--min-confidence",
            min=0,
            max=1,
            metavar="P",
            rich_help_panel=opt.Panel.LABELS,
            help="Assign no label if the confidence in the best one is lower.",
        ),
    ] = 0.0

    def classifier(self, index: Index, settings: EngineSettings, place: PlaceOptions) -> Classifier:
        """Return a classifier for an index.

        Args:
            index: an open index for classification.
            settings: where and how the model runs.
            place: the present folders of the model and its adapter.

        Raises:
            UsageError: no label field is known, or options conflict.
            BadInputError: the descriptions cannot be used.
        """
        from taskembed.reading.descriptions import read_descriptions
        from taskembed.verbs.classify import Classifier
        from taskembed.verbs.opening.encoders import encoder_for_search

        descriptions = read_descriptions(self.labels) if self.labels is not None else None
        encoder = encoder_for_search(index, settings, model=place.model, adapter=place.adapter)
        return Classifier.of(
            index,
            encoder,
            label_field=self.label_field,
            head=self.head,
            descriptions=descriptions,
        )


@with_groups
def classify_command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="The texts: JSONL, Parquet, CSV, TSV (also .gz, .zst), folders, "
            "addresses, or - for stdin.",
        ),
    ],
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    *,
    of_labels: LabelOptions,
    of_input: InputOptions,
    of_bad: BadOptions,
    evaluate: Annotated[
        bool,
        typer.Option(
            "--evaluate",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Compare the predictions with the labels of the input, and print figures.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        opt.output_option(
            "Write the predictions to this file, as JSONL; the file is replaced at the end."
        ),
    ] = None,
    place: PlaceOptions,
    machine: MachineOptions,
    out: OutputOptions,
) -> int:
    """Predict labels for texts from an index of labelled documents.

    The index must be for the task classification, and made with --label-field. For each text, the
    best label, its confidence, the second-best label and the nearest examples are printed. --head
    auto measures two classifiers on the index's own examples, and uses the more accurate one.

    Example:
        taskembed classify tickets.jsonl --min-confidence 0.8
    """
    if str(output) not in STDOUT:
        require_output("--output", output, [index_folder, *inputs, of_labels.labels])
    settings = machine.settings(quiet=out.quiet)
    bad = of_bad.rejects()
    from taskembed.index.reader import Index
    from taskembed.verbs.classify import remembered_field, require_classification

    with Index.open(index_folder, task=Task.CLASSIFICATION) as index:
        require_classification(index)
        corpus = find_records(inputs, index, of_input)
        label_field = of_labels.label_field or remembered_field(index)
        if evaluate and label_field is None:
            raise UsageError(
                "--evaluate needs the label field of the texts", hint="use --label-field NAME"
            )
        classifier = of_labels.classifier(index, settings, place)
        if not out.quiet:
            for note in _notes(classifier):
                message(f"note: {note}")
        with rejects_reported(bad):
            found = classifier.classify(
                corpus.documents(bad), min_confidence=of_labels.min_confidence
            )
            if evaluate and label_field is not None:
                report = _judged(found, label_field, bad, output)
                _print_report(report, classifier, out)
            else:
                _print(found, output, out)
    return ExitCode.PARTIAL if bad.count else ExitCode.OK


def _notes(classifier: Classifier) -> Iterator[str]:
    yield head_note(classifier)
    single = [label for label, count in classifier.counts.items() if count == 1]
    if single:
        have = counted(len(single), "label has", "labels have")
        yield f"{have} one example: {', '.join(single[:SHOWN_LABELS])}"


def _print(
    found: Iterator[tuple[Document, Prediction]], output: Path | None, out: OutputOptions
) -> None:
    with results(output) as stream:
        for_people = is_for_people(stream, as_json=out.as_json)
        print_predictions((item for _, item in found), stream, for_people=for_people)


def _print_report(report: LabelReport, classifier: Classifier, out: OutputOptions) -> None:
    if out.as_json:
        write(json_text(report_json(report, classifier)) + "\n")
    else:
        print_report(report)


def _judged(
    found: Iterator[tuple[Document, Prediction]],
    label_field: str,
    bad: RejectFile,
    output: Path | None,
) -> LabelReport:
    """Compare predictions with the labels of the texts; write predictions to a file, if given."""
    from taskembed.evaluation.labels import Judged, judge_labels
    from taskembed.verbs.classifying.labels import labels_of

    judged: list[Judged] = []

    def each() -> Iterator[Prediction]:
        for document, prediction in found:
            try:
                gold = labels_of(document.metadata, label_field)
                reason = "" if gold else f"no label in the field {label_field!r}"
            except ValueError as error:
                gold, reason = (), str(error)
            if reason:
                bad(BadRecordError(document.where, reason, hint="--label-field NAME"))
                continue
            judged.append(Judged(gold, prediction.best, prediction.confidence))
            yield prediction

    with ExitStack() as stack:
        if output is not None:
            stream = stack.enter_context(results(output))
            print_predictions(each(), stream, for_people=False)
        else:
            for _ in each():
                pass
    if not judged:
        raise BadInputError("the input contains no text with a label")
    return judge_labels(judged)
