"""How the numbers of a vector are stored; without numpy, which the command line starts without."""

from __future__ import annotations

from enum import StrEnum


class VectorType(StrEnum):
    """How the numbers of a vector are stored."""

    FP32 = "fp32"
    FP16 = "fp16"

    @property
    def bytes(self) -> int:
        """How many bytes a number takes."""
        return 4 if self is VectorType.FP32 else 2
