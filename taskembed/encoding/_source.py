"""The `ModelSource` type: all inputs of the compilation of a model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from taskembed.encoding.facts import Kind
from taskembed.models.adapters import AdapterFiles
from taskembed.models.files import Located
from taskembed.space import PromptType


@dataclass(frozen=True, slots=True)
class ModelSource:
    """All inputs of the compilation of a model.

    Attributes:
        files: the files of the model.
        kind: encoder or reranker.
        adapter: the adapter that is merged into its weights; None for none.
        remote_code: whether its own Python code is run.
        answers: the tokens that mean yes and no, for a reranker that answers with a token.
        side: the side, if queries and documents have different models; otherwise None.
    """

    files: Located
    kind: Kind = Kind.ENCODER
    adapter: AdapterFiles | None = None
    remote_code: bool = False
    answers: tuple[str, ...] = ()
    side: PromptType | None = None

    @property
    def digest(self) -> str:
        """Sha256 of everything that the compiled model depends on, except the engine."""
        adapter = self.adapter.digest if self.adapter else ""
        side = self.side.value if self.side else ""
        code = str(self.remote_code)
        parts = (self.kind.value, self.files.digest, adapter, code, side, *self.answers)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def name(self) -> str:
        """The name of the model in messages."""
        name = f"{self.files.name} + {self.adapter.name}" if self.adapter else self.files.name
        return f"{name} for a {self.side.value}" if self.side else name
