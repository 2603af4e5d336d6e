"""`taskembed cluster`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli._inputs.new_records import BadOptions, find_records
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import MachineOptions, OutputOptions, PlaceOptions
from taskembed.cli.options.input import InputOptions
from taskembed.cli.printing.clusters import (
    clusters_json,
    print_assignments,
    print_clusters,
    summary,
)
from taskembed.cli.printing.output import STDOUT, message, require_output, results, write
from taskembed.cli.printing.rejected import rejects_reported
from taskembed.cli.printing.table import is_for_people
from taskembed.english import counted
from taskembed.errors import AccessDeniedError, ExitCode, UsageError
from taskembed.escaping import json_text
from taskembed.extras import MAP, MAP_LIBRARIES, require_installed
from taskembed.space import Task

if TYPE_CHECKING:
    from taskembed.encoding.settings import EngineSettings
    from taskembed.index.reader import Index
    from taskembed.reading.rejects import RejectFile
    from taskembed.verbs.clustering.clusters import Clustering


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """The number of clusters, and which documents are outliers."""

    k: Annotated[
        int | None,
        typer.Option(
            "-k",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.RANKING,
            help="The number of clusters.  [default: the one with the best silhouette]",
        ),
    ] = None
    min_similarity: Annotated[
        float | None,
        typer.Option(
            "--min-similarity",
            min=-1,
            max=1,
            metavar="COSINE",
            rich_help_panel=opt.Panel.RANKING,
            help="Treat texts with a lower cosine to every centre as outliers (cluster -1).",
        ),
    ] = None

    @property
    def are_given(self) -> bool:
        """Whether one of these options is given."""
        return self.k is not None or self.min_similarity is not None


@with_groups
def cluster_command(
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    *,
    of_clusters: ClusterOptions,
    assign: Annotated[
        str | None,
        typer.Option(
            "--assign",
            metavar="INPUT",
            rich_help_panel=opt.Panel.INPUT,
            help="Assign the texts of this file to the existing clusters; - is stdin.",
        ),
    ] = None,
    of_input: InputOptions,
    of_bad: BadOptions,
    output: Annotated[
        Path | None,
        opt.output_option("Write the cluster of each text to this file, as JSONL."),
    ] = None,
    map_file: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE.html",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Write a map of the documents, as an HTML page (needs the extra map).",
        ),
    ] = None,
    place: PlaceOptions,
    machine: MachineOptions,
    out: OutputOptions,
) -> int:
    """Cluster documents by subject, or assign new texts to clusters.

    The index must be for the task clustering. On a terminal the clusters are shown: size, words,
    nearest texts. Elsewhere, a line of JSON with the cluster of each document is printed; with
    --json, one object with all clusters. The clusters are saved, so that --assign can use them
    later.

    Example:
        taskembed cluster --index headlines-index
        taskembed cluster --index headlines-index --assign new.jsonl
        taskembed cluster --index headlines-index --map map.html
    """
    if assign is not None and (of_clusters.are_given or map_file is not None):
        raise UsageError("-k, --min-similarity and --map cannot be combined with --assign")
    if str(output) not in STDOUT:
        require_output("--output", output, [index_folder, assign])
    _require_map(map_file, [index_folder, output])
    from taskembed.index.reader import Index
    from taskembed.verbs.cluster import require_clustering

    with Index.open(index_folder, task=Task.CLUSTERING) as index:
        require_clustering(index)
        if assign is None:
            _find(index, of_clusters, output, map_file, out)
            return ExitCode.OK
        settings, bad = machine.settings(quiet=out.quiet), of_bad.rejects()
        _Assigning(index, assign, of_input, bad).print(settings, place, output, out)
    return ExitCode.PARTIAL if bad.count else ExitCode.OK


def _require_map(path: Path | None, read: Iterable[Path | None]) -> None:
    """Check, before any work, that a map can be drawn and written."""
    if path is None:
        return
    require_output("--map", path, read)
    for library in MAP_LIBRARIES:
        require_installed(library, MAP)


def _find(
    index: Index,
    of_clusters: ClusterOptions,
    output: Path | None,
    map_file: Path | None,
    out: OutputOptions,
) -> None:
    """Find and save clusters, and print them or the cluster of each document."""
    from taskembed.verbs.cluster import assignments, cluster_index

    found = cluster_index(index, k=of_clusters.k, min_similarity=of_clusters.min_similarity)
    _keep(index, found, quiet=out.quiet)
    is_shown = out.as_json or (sys.stdout.isatty() and str(output) not in STDOUT)
    if output is not None or not is_shown:
        with results(output) as stream:
            print_assignments(assignments(index, found), stream)
    if out.as_json:
        write(json_text({"index": str(index.folder), **clusters_json(found)}) + "\n")
    elif is_shown:
        print_clusters(found)
    if not out.quiet:
        message(summary(found))
    if map_file is not None:
        _draw(index, found, map_file, quiet=out.quiet)


def _draw(index: Index, found: Clustering, path: Path, *, quiet: bool) -> None:
    from taskembed.verbs.clustering.cluster_map import map_of
    from taskembed.verbs.clustering.map_page import write_map

    drawn = map_of(index, found)
    with results(path) as stream:
        write_map(
            drawn, stream, title=f"{index.folder.name}: {counted(len(found.clusters), 'cluster')}"
        )
    if not quiet:
        message(f"{path} shows {counted(len(drawn.documents), 'document')}: open it in a browser")


def _keep(index: Index, found: Clustering, *, quiet: bool) -> None:
    from taskembed.verbs.clustering.clusters_file import save_clusters

    try:
        save_clusters(index.folder, found)
    except AccessDeniedError:
        if not quiet:
            message("note: there is no permission to write to the index, so clusters are not saved")


@dataclass(frozen=True, slots=True)
class _Assigning:
    """New texts, and the index whose clusters they are assigned to."""

    index: Index
    argument: str
    of_input: InputOptions
    bad: RejectFile

    def print(
        self,
        settings: EngineSettings,
        place: PlaceOptions,
        output: Path | None,
        out: OutputOptions,
    ) -> None:
        from taskembed.verbs.cluster import assign_documents
        from taskembed.verbs.clustering.clusters_file import load_clusters
        from taskembed.verbs.opening.encoders import encoder_for_search

        clusters = load_clusters(self.index.folder, self.index.space)
        corpus = find_records([self.argument], self.index, self.of_input)
        encoder = encoder_for_search(self.index, settings, model=place.model, adapter=place.adapter)
        with rejects_reported(self.bad), results(output) as stream:
            documents = corpus.documents(self.bad)
            found = assign_documents(documents, encoder, self.index, clusters)
            for_people = is_for_people(stream, as_json=out.as_json)
            print_assignments(found, stream, for_people=for_people)
