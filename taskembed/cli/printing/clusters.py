"""Prints clusters, and the cluster of each text, for people or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from taskembed.batches import batched
from taskembed.cli.printing.output import write
from taskembed.cli.printing.table import Column, print_table
from taskembed.cli.printing.values import cut
from taskembed.english import counted
from taskembed.escaping import json_text

if TYPE_CHECKING:
    from taskembed.verbs.clustering.clusters import Assignment, Clustering

LINES_AT_ONCE = 100
TABLE_ROWS = 1_000  # rows of a table in memory


def print_assignments(
    found: Iterable[Assignment], stream: TextIO | None, *, for_people: bool = False
) -> None:
    """Print the cluster of each text as it is found: as a table, or as lines of JSON."""
    if not for_people:
        for some in batched(found, LINES_AT_ONCE):
            write("".join(json_text(assignment_json(item)) + "\n" for item in some), stream)
        return
    columns = [Column("doc_id", folds=True), Column("cluster", number=True)]
    columns += [Column("score", number=True)]
    for some in batched(found, TABLE_ROWS):
        rows = [[item.doc_id, str(item.cluster), f"{item.score:.4f}"] for item in some]
        print_table(columns, rows, stream=stream)


def assignment_json(item: Assignment) -> dict[str, object]:
    """Return the cluster of a text as a JSON object."""
    return {"doc_id": item.doc_id, "cluster": item.cluster, "score": round(item.score, 6)}


def print_clusters(found: Clustering) -> None:
    """Print the clusters for people: their sizes, words and nearest texts."""
    columns = [Column("cluster", number=True), Column("size", number=True)]
    columns += [Column("terms", folds=True), Column("nearest to its centre", folds=True)]
    rows = [
        [
            str(item.number),
            f"{item.size:,}",
            ", ".join(item.terms),
            " | ".join(cut(document.text) for document in item.nearest),
        ]
        for item in found.clusters
    ]
    print_table(columns, rows)


def clusters_json(found: Clustering) -> dict[str, object]:
    """Return the clusters as a JSON object."""
    return {
        "k": len(found.clusters),
        "silhouettes": {str(k): round(value, 6) for k, value in found.silhouettes.items()},
        "runner_up": found.runner_up,
        "outliers": found.outliers,
        "clusters": [
            {
                "cluster": item.number,
                "size": item.size,
                "terms": list(item.terms),
                "nearest": [
                    {"doc_id": document.doc_id, "text": document.text} for document in item.nearest
                ],
            }
            for item in found.clusters
        ],
    }


def summary(found: Clustering) -> str:
    """Return a line with the number of clusters, their silhouette and the number of outliers."""
    text = counted(len(found.clusters), "cluster")
    if found.silhouettes:
        text += f", with a silhouette of {found.silhouettes[len(found.clusters)]:.3f}"
        if found.runner_up is not None:
            value = found.silhouettes[found.runner_up]
            text += f"; second best is -k {found.runner_up}, with {value:.3f}"
    if found.min_similarity is not None:
        text += f"; {counted(found.outliers, 'document is', 'documents are')} in no cluster"
    return text
