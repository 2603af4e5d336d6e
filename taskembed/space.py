"""The embedding space: what must be equal for two vectors to be comparable.

An index is a set of vectors of one space. The space is written beside them, and every document and
every query must prove that it lives there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum


class Task(StrEnum):
    """What the vectors are for; a name in the words of the field will do: Task("sts").

    Raises:
        ValueError: no task has that name.
    """

    RETRIEVAL = "retrieval"
    SIMILARITY = "similarity"
    CLASSIFICATION = "classification"
    CLUSTERING = "clustering"
    CODE = "code"

    @classmethod
    def _missing_(cls, value: object) -> Task:
        name = str(value).lower()
        for task in cls:
            if task.value == _ALIASES.get(name, name):
                return task
        raise ValueError(f"{value!r} is not a task; the tasks are {', '.join(cls)}")


# whose two sides are alike
SYMMETRIC_TASKS = frozenset({Task.SIMILARITY, Task.CLASSIFICATION, Task.CLUSTERING})
COSINE, DOT = "cosine", "dot"  # of vectors of unit length; of vectors as the model makes them
HOSTED = "hosted:"  # begins what stands for the digest of weights that nobody here can see
_ALIASES = {"sts": "similarity", "text-matching": "similarity", "separation": "clustering"}


class PromptType(StrEnum):
    """Which side of a task a text stands on (MTEB's words); "query" will do for PromptType.QUERY.

    Raises:
        ValueError: there is no such side.
    """

    QUERY = "query"
    DOCUMENT = "document"

    @classmethod
    def _missing_(cls, value: object) -> PromptType:
        raise ValueError(f"{value!r} is not a side of a task; the sides are {', '.join(cls)}")


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """What must be equal, field by field, for the scores between two vectors to mean anything.

    Attributes:
        model: its id as models.toml spells it, else the name it was asked for by: a Hugging Face
            id, a folder, "minilm".
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
        normalize: whether vectors have unit length; they do where the metric is the cosine.
        metric: "cosine", or "dot": the inner product of the model's vectors as they are.
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

    def prompt(self, prompt_type: PromptType | str) -> str:
        """Return what is put before a text of that side."""
        is_query = PromptType(prompt_type) is PromptType.QUERY
        return self.query_prompt if is_query else self.document_prompt

    def differences(self, other: EmbeddingSpace) -> list[Difference]:
        """Return every field in which `other` is another space, in the order of the fields.

        A renamed but identical model is the same space: `model` and `revision` count only when the
        digest of the weights differs too, and the names of adapters when theirs does.
        """
        ignored: frozenset[str] = frozenset()
        if self.weights_digest == other.weights_digest:
            ignored |= _NAMES
        if self.adapter_digest and self.adapter_digest == other.adapter_digest:
            ignored |= _ADAPTER_NAMES
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
        if (values["metric"], values["normalize"]) not in {(COSINE, True), (DOT, False)}:
            raise ValueError(f"metric of an embedding space is not known: {values['metric']!r}")
        return cls(**{**values, "task": Task(values["task"])})


_NAMES = frozenset({"model", "revision"})
_ADAPTER_NAMES = frozenset({"query_adapter", "document_adapter"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which two spaces differ."""

    field: str
    ours: object
    theirs: object
