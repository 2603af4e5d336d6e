"""Classifies texts by the labelled documents of an index for the task "classification"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from taskembed.activity import doing
from taskembed.batches import batched
from taskembed.errors import UsageError
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import Task
from taskembed.vectors import FloatRows
from taskembed.verbs.classifying.heads import (
    Centroid,
    Head,
    Knn,
    Sums,
    better,
    fitted,
    leave_one_out,
)
from taskembed.verbs.classifying.labels import Examples, read_examples
from taskembed.verbs.defaults import HeadName
from taskembed.verbs.opening.tasks import document_vectors, require_encoder_of, require_index_of
from taskembed.verbs.opening.whole_texts import whole_text_encoder
from taskembed.verbs.protocols import Encoder

SHOWN_EXAMPLES = 3  # nearest examples shown for each text
_AT_ONCE = 512  # texts encoded per batch


@dataclass(frozen=True, slots=True)
class NearestExample:
    """A labelled document that is near a text.

    Attributes:
        doc_id: its id.
        score: the cosine of both vectors.
        labels: its labels.
    """

    doc_id: str
    score: float
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The label of a text.

    Attributes:
        doc_id: the id of the text.
        label: its label; None if the confidence is too low.
        confidence: the probability of the best label, 0 to 1.
        best: the best label, whatever the confidence.
        runner_up: the second-best label; None if there is only one label.
        runner_up_confidence: the probability of `runner_up`.
        nearest: the nearest labelled documents, the nearest first.
        zero_shot: whether the best label has a description but no example.
    """

    doc_id: str
    label: str | None
    confidence: float
    best: str
    runner_up: str | None
    runner_up_confidence: float
    nearest: tuple[NearestExample, ...]
    zero_shot: bool


@dataclass(frozen=True, slots=True)
class Classifier:
    """An open index and its encoder, ready to classify.

    Attributes:
        encoder: an encoder of the index's space.
        labels: all labels; those with a description but no example come last.
        head: the head that computes the probabilities.
        accuracies: the leave-one-out accuracies of the heads that were compared; empty if the
            caller chose the head.
        counts: the number of examples of each label.

    Example:
        with Index.open("tickets-index") as index:
            classifier = Classifier.of(index, load_encoder_of(index.space))
            for document, prediction in classifier.classify([Document("a", "Where is my parcel?")]):
                print(document.doc_id, prediction.label, prediction.confidence)
    """

    encoder: Encoder
    labels: tuple[str, ...]
    head: HeadName
    accuracies: Mapping[HeadName, float]
    counts: Mapping[str, int]
    _examples: Examples | None = field(repr=False)
    _probabilities: Head = field(repr=False)

    @classmethod
    def of(
        cls,
        index: Index,
        encoder: Encoder,
        *,
        label_field: str | None = None,
        head: HeadName | str = HeadName.AUTO,
        descriptions: Mapping[str, str] | None = None,
    ) -> Classifier:
        """Read the labels of an index, and choose or fit a head.

        Args:
            index: an open index for the task "classification".
            encoder: an encoder of the index's space.
            label_field: the metadata field of the labels: a text, or a list of texts; None for the
                field that the index remembers.
            head: "knn", "centroid", "logreg", or "auto" for the better of the first two.
            descriptions: a text that describes each label without examples.

        Raises:
            SpaceMismatchError: the index is for another task, or the encoder has another space.
            UsageError: no label field is known, no document has it, or descriptions are given for
                a head that needs examples.
            MissingLibraryError: "logreg" needs scikit-learn, which is not installed.
            TypeError: the index is not an `Index`, or the encoder is not an `Encoder`.
            ValueError: there is no such head, or the index is closed.
        """
        require_classification(index)
        require_encoder_of(index, encoder)
        encoder = whole_text_encoder(index, encoder)
        head = HeadName(head)
        descriptions = dict(descriptions or {})
        named = label_field or remembered_field(index)
        if named is None and not descriptions:
            raise UsageError(
                f"{index.folder} does not record which field contains the labels",
                hint="use --label-field NAME; with `taskembed index` the index remembers it",
            )
        examples = read_examples(index, named) if named is not None else None
        known = examples.names if examples else []
        new = {label: text for label, text in descriptions.items() if label not in known}
        if new:
            return _by_descriptions(encoder, examples, new, head)
        assert examples is not None  # noqa: S101  # there would be descriptions
        return _by_examples(encoder, examples, head)

    def classify(
        self, documents: Iterable[Document], *, min_confidence: float = 0.0
    ) -> Iterator[tuple[Document, Prediction]]:
        """Yield texts with their labels; only a few hundred are in memory at a time.

        Args:
            documents: the texts.
            min_confidence: texts with a lower confidence get the label None.

        Raises:
            BadVectorError: a text's vector cannot be compared.
            ValueError: the index is closed.
        """
        with doing("", unit="documents") as step:
            for some in batched(documents, _AT_ONCE):
                yield from zip(some, self._predicted(some, min_confidence), strict=True)
                step.done += len(some)

    def _predicted(self, some: Sequence[Document], least: float) -> Iterator[Prediction]:
        vectors = document_vectors(some, self.encoder)
        probabilities = self._probabilities.probabilities(vectors)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
        ordered = np.take_along_axis(probabilities, order, axis=1)
        described = len(self.labels) - len(self.counts)
        nearest = self._nearest(vectors)
        for row, document in enumerate(some):
            best, confidence = int(order[row, 0]), float(ordered[row, 0])
            has_next = order.shape[1] > 1
            yield Prediction(
                doc_id=document.doc_id,
                label=self.labels[best] if confidence >= least else None,
                confidence=confidence,
                best=self.labels[best],
                runner_up=self.labels[int(order[row, 1])] if has_next else None,
                runner_up_confidence=float(ordered[row, 1]) if has_next else 0.0,
                nearest=nearest[row],
                zero_shot=best >= len(self.labels) - described,
            )

    def _nearest(self, vectors: FloatRows) -> list[tuple[NearestExample, ...]]:
        examples = self._examples
        if examples is None:
            return [()] * len(vectors)
        scores, rows = examples.positions.nearest(vectors, SHOWN_EXAMPLES)
        found = examples.positions.documents_at(rows.ravel())
        names = iter(found)
        return [
            tuple(
                NearestExample(next(names).doc_id, score, examples.of(row))
                for score, row in zip(some, places, strict=True)
            )
            for some, places in zip(scores.tolist(), rows.tolist(), strict=True)
        ]


def require_classification(index: Index) -> None:
    """Check that an index can classify texts.

    Raises:
        SpaceMismatchError: the index is for another task than classification.
        UsageError: the metric of the index is "dot".
        TypeError: `index` is not an `Index`.
    """
    require_index_of("classify", Task.CLASSIFICATION, index)


def remembered_field(index: Index) -> str | None:
    """Return the label field that the index remembers; None if it remembers none."""
    reading = index.contents.live.reading
    return reading.label_field if reading else None


def _by_examples(encoder: Encoder, examples: Examples, head: HeadName) -> Classifier:
    accuracies: Mapping[HeadName, float] = {}
    sums = Sums.of(examples) if head in {HeadName.AUTO, HeadName.CENTROID} else None
    if head is HeadName.AUTO and sums:
        accuracies = leave_one_out(examples, sums)
        head = better(accuracies)
    chosen: Head
    if head is HeadName.KNN:
        chosen = Knn(examples)
    elif head is HeadName.LOGREG:
        chosen = fitted(examples) if len(examples.names) > 1 else Sums.of(examples).centroid()
    else:
        chosen = (sums or Sums.of(examples)).centroid()
    return Classifier(
        encoder, tuple(examples.names), head, accuracies, examples.counts, examples, chosen
    )


def _by_descriptions(
    encoder: Encoder, examples: Examples | None, new: Mapping[str, str], head: HeadName
) -> Classifier:
    """Return a classifier by the centres of labels; each description counts as an example."""
    if head not in {HeadName.AUTO, HeadName.CENTROID}:
        raise UsageError(
            f"labels without examples need the head centroid, not {head.value}",
            hint="--head centroid; or add examples of each label to the index",
        )
    described = [Document(label, text) for label, text in new.items()]
    centres = [document_vectors(described, encoder)]
    if examples:
        centres.insert(0, Sums.of(examples).centroid().centres)
    labels = (*(examples.names if examples else ()), *new)
    counts = examples.counts if examples else {}
    centroid = Centroid(np.concatenate(centres))
    return Classifier(encoder, labels, HeadName.CENTROID, {}, counts, examples, centroid)
