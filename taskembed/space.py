"""The embedding space: what must be equal for two vectors to be comparable.

An index is a set of vectors of one space. The space is written beside them, and every document and
every query must prove that it lives there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import Enum


class Task(Enum):
    """What the vectors are for. The value is the name that is written and typed."""

    RETRIEVAL = "retrieval"
    SIMILARITY = "similarity"
    CLASSIFICATION = "classification"
    CLUSTERING = "clustering"
    CODE = "code"

    @classmethod
    def parse(cls, name: str) -> Task:
        """Return the task of that name in the words of the field: "sts" is Task.SIMILARITY.

        Raises:
            ValueError: no task has that name.
        """
        try:
            return cls(_ALIASES.get(name.lower(), name.lower()))
        except ValueError:
            known = ", ".join(task.value for task in cls)
            raise ValueError(f"{name!r} is not a task; the tasks are {known}") from None


# whose two sides are alike
SYMMETRIC_TASKS = frozenset({Task.SIMILARITY, Task.CLASSIFICATION, Task.CLUSTERING})
HOSTED = "hosted:"  # begins what stands for the digest of weights that nobody here can see
_ALIASES = {"sts": "similarity", "text-matching": "similarity", "separation": "clustering"}


class PromptType(Enum):
    """Which side of a task a text stands on (MTEB's words)."""

    QUERY = "query"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """What must be equal, field by field, for the scores between two vectors to mean anything.

    Attributes:
        model: the name it was asked for by: a Hugging Face id, a folder, "minilm".
        revision: the commit of the model's repository; "" for a folder.
        weights_digest: sha256 over every file of the model that can move a vector; of a hosted
            model "hosted:", the server's name, a slash, the model's.
        query_adapter: the name of the LoRA adapter merged into the weights for queries; "" for
            none. Of a hosted model, what tells its server that a text is a query.
        document_adapter: likewise for documents; nearly always the same.
        adapter_digest: sha256 of the adapters' files; "" for none.
        task: what the vectors are for.
        query_prompt: put before every query, byte for byte.
        document_prompt: put before every document, byte for byte.
        suffix: put after every text, after truncation (zEmbed-1).
        pooling: how token vectors become one: "mean", "cls", "lasttoken", ...; "mean, prompt
            excluded" when the prompt's tokens are left out of it (INSTRUCTOR).
        max_length: tokens that the model reads of a text, special tokens included.
        dim: numbers in a vector.
        truncation: how the model's vector was cut to `dim`: "none", "slice", ...
        normalize: whether vectors have unit length.
        metric: "cosine".
        template: how a document's fields become its text: "{title?} {text}".
    """

    model: str
    revision: str
    weights_digest: str
    query_adapter: str
    document_adapter: str
    adapter_digest: str
    task: Task
    query_prompt: str
    document_prompt: str
    suffix: str
    pooling: str
    max_length: int
    dim: int
    truncation: str
    normalize: bool
    metric: str
    template: str

    @property
    def hosted(self) -> bool:
        """Whether its model is behind a server."""
        return self.weights_digest.startswith(HOSTED)

    def prompt(self, prompt_type: PromptType) -> str:
        """Return what is put before a text of that side."""
        return self.query_prompt if prompt_type is PromptType.QUERY else self.document_prompt

    def differences(self, other: EmbeddingSpace) -> list[Difference]:
        """Return every field in which `other` is another space, in the order of the fields.

        A renamed but identical model is the same space: `model` and `revision` count only when the
        digest of the weights differs too.
        """
        same_weights = self.weights_digest == other.weights_digest
        ignored = _NAMES if same_weights else frozenset()
        return [
            Difference(field.name, getattr(self, field.name), getattr(other, field.name))
            for field in fields(self)
            if field.name not in ignored and getattr(self, field.name) != getattr(other, field.name)
        ]

    def to_json(self) -> dict[str, str | int | bool]:
        """Return the space as what JSON can hold; `from_json` is the way back."""
        values = asdict(self)
        values["task"] = self.task.value
        return values

    @classmethod
    def from_json(cls, values: object) -> EmbeddingSpace:
        """Read what `to_json` gave.

        Raises:
            ValueError: a field is missing, unknown, or of another type.
        """
        if not isinstance(values, dict):
            raise ValueError("an embedding space is a JSON object")
        names = {field.name: str(field.type) for field in fields(cls)}
        if values.keys() != names.keys():
            wrong = ", ".join(sorted(values.keys() ^ names.keys()))
            raise ValueError(f"an embedding space without its exact fields: {wrong}")
        for name, type_name in names.items():
            expected = {"str": str, "Task": str, "int": int, "bool": bool}[type_name]
            if type(values[name]) is not expected:
                raise ValueError(f"{name} of an embedding space is not a {type_name}")
        return cls(**{**values, "task": Task.parse(values["task"])})


_NAMES = frozenset({"model", "revision"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which two spaces differ."""

    field: str
    ours: object
    theirs: object
