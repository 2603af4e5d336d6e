"""The spaces of imported vectors: read from their files, or declared by the caller."""

from __future__ import annotations

from collections.abc import Sequence

from taskembed.errors import BadInputError
from taskembed.reading.vectors.input import VectorSource
from taskembed.space import EmbeddingSpace
from taskembed.verbs.protocols import Encoder


def space_of_file(
    source: VectorSource, declared: Encoder | EmbeddingSpace | None
) -> EmbeddingSpace:
    """Return the space of the vectors in a file: as recorded in the file, otherwise as declared.

    Raises:
        BadInputError: the space is neither recorded nor declared, or its dimension differs.
    """
    named = declared if declared is None or isinstance(declared, EmbeddingSpace) else declared.space
    space = source.space or named
    if space is None:
        raise BadInputError(
            "the file does not name the embedding space of its vectors",
            what=str(source),
            hint="name the task and the model of the vectors: --task TASK --model MODEL",
        )
    if source.dim != space.dim:
        raise BadInputError(
            f"its vectors have {source.dim:,} dimensions; those of {space.model} have "
            f"{space.dim:,}",
            what=str(source),
        )
    return space


def spaces_of_views(
    source: VectorSource, space: EmbeddingSpace, others: Sequence[VectorSource]
) -> list[EmbeddingSpace]:
    """Return the spaces of the views after the first; each view has its own file.

    Args:
        source: the file of the first view.
        space: the space of the first view.
        others: the files of the other views.

    Raises:
        BadInputError: a file does not contain its space; two files are for the same task; or only
            some of the files are cut into chunks.
    """
    spaces: list[EmbeddingSpace] = []
    for other in others:
        if source.space is None or other.space is None:
            silent = other if other.space is None else source
            raise BadInputError(
                "the file does not name the embedding space of its vectors, which is required "
                "for several views",
                what=str(silent),
            )
        if other.space.task in {space.task, *(one.task for one in spaces)}:
            raise BadInputError(
                f"a second file for the task {other.space.task.value}: "
                "each view must have a different task",
                what=str(other),
            )
        if other.is_chunked != source.is_chunked:
            raise BadInputError(
                f"only one of it and {source} is cut into chunks; all views must be cut alike",
                what=str(other),
            )
        spaces.append(space_of_file(other, None))
    return spaces
