"""Everything that a compiled model is made from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from taskembed.encoding.facts import Kind
from taskembed.models.adapters import AdapterFiles
from taskembed.models.files import Located
from taskembed.space import PromptType


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Everything that a compiled model is made from.

    Attributes:
        files: the model's.
        kind: what it is loaded as.
        adapter: merged into its weights; None for none.
        remote_code: whether its own Python code is run.
        answers: of a reranker that answers with a token: which tokens mean yes and no.
        side: whose branch it is, where queries and documents have models of their own.
    """

    files: Located
    kind: Kind = Kind.ENCODER
    adapter: AdapterFiles | None = None
    remote_code: bool = False
    answers: tuple[str, ...] = ()
    side: PromptType | None = None

    @property
    def digest(self) -> str:
        """Sha256 of all that the compiled model depends on, but for the engine."""
        adapter = self.adapter.digest if self.adapter else ""
        side = self.side.value if self.side else ""
        code = str(self.remote_code)
        parts = (self.kind.value, self.files.digest, adapter, code, side, *self.answers)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def name(self) -> str:
        """What a person calls it."""
        name = f"{self.files.name} + {self.adapter.name}" if self.adapter else self.files.name
        return f"{name} for a {self.side.value}" if self.side else name
