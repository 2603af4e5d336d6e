"""The properties of a collection: its embedding space, and how its documents were indexed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from taskembed.errors import NewerFormatError, SpaceMismatchError
from taskembed.index.chunking import Chunking
from taskembed.space import EmbeddingSpace
from taskembed.verbs.milvus.rows import digest

FORMAT = "1"
_FORMAT, _SPACE, _COMPLETE, _ABOUT = (
    f"taskembed.{name}" for name in ("format", "space", "complete", "about")
)
_NOT_OURS = "name another collection; or to replace this one: taskembed export ... --recreate"


@dataclass(frozen=True, slots=True)
class CollectionHeader:
    """The properties of a collection.

    Attributes:
        space: the embedding space of the vectors.
        made_by: the engine, its precision and the version, for people.
        declared: as in `index.contents.Part`: for vectors whose space was declared.
        chunking: how the documents are cut into chunks; None if each has one vector.
        generation: the generation of the index that was exported.
        is_complete: whether the last export to the collection has finished.
    """

    space: EmbeddingSpace
    made_by: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, object] = field(default_factory=dict)
    chunking: Chunking | None = None
    generation: int = 0
    is_complete: bool = False

    @property
    def space_digest(self) -> str:
        """The digest of the space, which every row has."""
        return digest(_canonical(self.space.to_json()))

    def to_properties(self) -> dict[str, str]:
        """Return the properties; Milvus stores strings."""
        about = {
            "made_by": dict(self.made_by),
            "declared": dict(self.declared),
            "chunking": self.chunking.to_json() if self.chunking else None,
            "generation": self.generation,
        }
        return {
            _FORMAT: FORMAT,
            _SPACE: _canonical(self.space.to_json()).decode(),
            _COMPLETE: "yes" if self.is_complete else "no",
            _ABOUT: _canonical(about).decode(),
        }

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], what: str) -> CollectionHeader:
        """Read the output of `to_properties`.

        Args:
            properties: of the collection.
            what: its address, for messages.

        Raises:
            SpaceMismatchError: the collection does not say what its embedding space is.
            NewerFormatError: it was written by a newer taskembed.
        """
        if _SPACE not in properties:
            raise SpaceMismatchError(
                "the collection does not say what its embedding space is, so no query can be "
                "compared with its vectors: taskembed did not write it",
                what=what,
                hint=_NOT_OURS,
            )
        if properties.get(_FORMAT) != FORMAT:
            raise NewerFormatError(
                "a newer taskembed wrote the collection", what=what, hint="update taskembed"
            )
        try:
            space = EmbeddingSpace.from_json(json.loads(properties[_SPACE]))
            about = json.loads(properties[_ABOUT])
            chunking = about["chunking"] and Chunking.from_json(about["chunking"])
            return cls(
                space,
                {str(name): str(value) for name, value in about["made_by"].items()},
                dict(about["declared"]),
                chunking,
                int(about["generation"]),
                properties.get(_COMPLETE) == "yes",
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SpaceMismatchError(
                f"the properties of the collection were changed and cannot be read: {error}",
                what=what,
                hint=_NOT_OURS,
            ) from error


def _canonical(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
