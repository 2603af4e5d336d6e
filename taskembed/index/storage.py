"""How segments are stored, by name; without numpy, which the command line starts without."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from taskembed.arguments import require_string


class VectorType(StrEnum):
    """How the numbers of a vector are stored."""

    FP32 = "fp32"
    FP16 = "fp16"

    @property
    def bytes(self) -> int:
        """How many bytes a number takes."""
        return 4 if self is VectorType.FP32 else 2


class Kind(StrEnum):
    """What the files of a segment are, and so how it is searched."""

    FLAT = "flat"  # every vector is scored
    RABITQ = "rabitq"  # codes find candidates, whose vectors are scored
    FORMAT_1 = "format-1"  # written by an older version: no checksums of single rows


class IndexType(StrEnum):
    """Which kind new segments are."""

    AUTO = "auto"  # codes where there are so many rows that they are faster
    FLAT = "flat"
    RABITQ = "rabitq"


@dataclass(frozen=True, slots=True)
class Storage:
    """How new segments are stored; the space of the vectors is the same however they are."""

    index_type: IndexType = IndexType.AUTO
    vectors: VectorType = VectorType.FP32
    words: str = ""  # the name of the tokenizer that makes words of texts; "" for no words

    @classmethod
    def from_json(cls, values: object) -> Storage:
        """Read what `dataclasses.asdict` gave.

        Raises:
            ValueError: it is not that.
        """
        if not isinstance(values, dict) or values.keys() != {"index_type", "vectors", "words"}:
            raise ValueError("the settings of its storage have wrong values")
        return cls(
            IndexType(values["index_type"]),
            VectorType(values["vectors"]),
            require_string(values["words"], "words"),
        )


DEFAULT_STORAGE = Storage()
