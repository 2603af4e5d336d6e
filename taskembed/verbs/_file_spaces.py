"""The spaces of the vectors that are imported: as their files say, or as somebody declares."""

from __future__ import annotations

from collections.abc import Sequence

from taskembed.errors import BadInputError
from taskembed.reading.vector_input import VectorSource
from taskembed.space import EmbeddingSpace
from taskembed.verbs.protocols import Encoder


def space_of_file(
    source: VectorSource, declared: Encoder | EmbeddingSpace | None
) -> EmbeddingSpace:
    """Return the space of the vectors of a file: as it says, or else as is declared.

    Raises:
        BadInputError: neither says it, or the vectors have another length.
    """
    named = declared if declared is None or isinstance(declared, EmbeddingSpace) else declared.space
    space = source.space or named
    if space is None:
        raise BadInputError(
            "it does not say which embedding space its vectors are of",
            what=str(source),
            hint="--task TASK --model MODEL: those that the vectors were made with",
        )
    if source.dim != space.dim:
        raise BadInputError(
            f"its vectors have {source.dim:,} numbers, and those of {space.model} {space.dim:,}",
            what=str(source),
        )
    return space


def spaces_of_views(
    source: VectorSource, space: EmbeddingSpace, others: Sequence[VectorSource]
) -> list[EmbeddingSpace]:
    """Return the spaces of the views after the first, of which each has a file.

    Args:
        source: the file of the first view.
        space: of the first view.
        others: the files of the other views.

    Raises:
        BadInputError: a file does not say its space; or two are of one task, or not cut alike.
    """
    spaces: list[EmbeddingSpace] = []
    for other in others:
        if source.space is None or other.space is None:
            silent = other if other.space is None else source
            raise BadInputError(
                "it does not say which embedding space its vectors are of, as the file of one of "
                "several views must",
                what=str(silent),
            )
        if other.space.task in {space.task, *(one.task for one in spaces)}:
            raise BadInputError(
                f"it is the second file for the task {other.space.task.value}: "
                "each view has another task",
                what=str(other),
            )
        if other.is_chunked != source.is_chunked:
            raise BadInputError(
                f"either it or {source} was cut into chunks, and all views are cut alike",
                what=str(other),
            )
        spaces.append(space_of_file(other, None))
    return spaces
