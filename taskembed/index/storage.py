"""How segments are stored, by name; without numpy, which the command line starts without."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from taskembed.arguments import require_string
from taskembed.index.chunking import Chunking


class VectorType(StrEnum):
    """How the numbers of a vector are stored."""

    FP32 = "fp32"
    FP16 = "fp16"

    @property
    def bytes(self) -> int:
        """The number of bytes of one number."""
        return 4 if self is VectorType.FP32 else 2


class Kind(StrEnum):
    """What the files of a segment are, and so how it is searched."""

    FLAT = "flat"  # every vector is scored
    RABITQ = "rabitq"  # codes find candidates, whose vectors are scored
    FORMAT_1 = "format-1"  # written by an older version: no checksums of single rows


class IndexType(StrEnum):
    """The kind of index that new segments get."""

    AUTO = "auto"  # RABITQ for segments with enough rows to be faster, else FLAT
    FLAT = "flat"
    RABITQ = "rabitq"


@dataclass(frozen=True, slots=True)
class Storage:
    """How new segments are stored; the embedding space does not depend on this."""

    index_type: IndexType = IndexType.AUTO
    vectors: VectorType = VectorType.FP32
    words: str = ""  # the name of the tokenizer that makes words of texts; "" for no words
    chunks: Chunking | None = None  # how documents are cut; None if each has one vector

    def to_json(self) -> dict[str, object]:
        """Return the settings as a JSON object."""
        values: dict[str, object] = {
            "index_type": self.index_type.value,
            "vectors": self.vectors.value,
            "words": self.words,
        }
        return {**values, **({"chunks": self.chunks.to_json()} if self.chunks else {})}

    @classmethod
    def from_json(cls, values: object) -> Storage:
        """Read the output of `to_json`.

        Raises:
            ValueError: `values` has another form.
        """
        names = {"index_type", "vectors", "words"}
        if not isinstance(values, dict) or values.keys() - {"chunks"} != names:
            raise ValueError("the settings of its storage have wrong values")
        return cls(
            IndexType(values["index_type"]),
            VectorType(values["vectors"]),
            require_string(values["words"], "words"),
            Chunking.from_json(values["chunks"]) if "chunks" in values else None,
        )


DEFAULT_STORAGE = Storage()
