"""The embedding space: what must be equal for two vectors to be comparable.

An index is a set of vectors of one space. The space is written beside them, and every document and
every query must prove that it lives there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum


class Task(StrEnum):
    """What the vectors are for. Other names of the field are accepted: Task("sts").

    Raises:
        ValueError: no task has the name.
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


# tasks that encode queries and documents in the same way
SYMMETRIC_TASKS = frozenset({Task.SIMILARITY, Task.CLASSIFICATION, Task.CLUSTERING})
COSINE, DOT = "cosine", "dot"  # metrics: for vectors of unit length; for vectors as they are
HOSTED = "hosted:"  # prefix of `weights_digest` of a hosted model, whose weights are unknown
_ALIASES = {"sts": "similarity", "text-matching": "similarity", "separation": "clustering"}


class PromptType(StrEnum):
    """The side of a task that a text is on, in MTEB's words. "query" means PromptType.QUERY.

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
    """The fields that must be equal for two vectors to be comparable.

    Attributes:
        model: the model's id as models.toml spells it; for an unknown model the name that was
            given: a Hugging Face id or a folder.
        revision: commit of the model's repository; "" for a folder.
        weights_digest: sha256 over every file of the model that can change a vector. For a hosted
            model: "hosted:VENDOR/MODEL".
        query_adapter: name of the LoRA adapter merged into the weights for queries; "" for none.
            For a hosted model: the parameter that tells its server that a text is a query.
        document_adapter: the same for documents; it is nearly always the same adapter.
        adapter_digest: sha256 of the adapters' files; "" for none.
        task: what the vectors are for.
        query_prompt: text before every query, byte for byte.
        document_prompt: text before every document, byte for byte.
        suffix: text after every text, added after truncation (zEmbed-1).
        pooling: how token vectors become one: "mean", "cls", "lasttoken", ...; "mean, prompt
            excluded" if the prompt's tokens are left out of the mean (INSTRUCTOR).
        max_length: largest number of tokens that the model reads, special tokens included; 0 if
            only the server of a hosted model knows it.
        dim: numbers in a vector.
        truncation: how the model's vector was cut to `dim`: "none", "slice", ...
        normalize: whether vectors have unit length: exactly if the metric is the cosine.
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
        """Whether the model is behind a server."""
        return self.weights_digest.startswith(HOSTED)

    def prompt(self, prompt_type: PromptType | str) -> str:
        """Return the prompt of a side.

        Raises:
            ValueError: there is no such side.
        """
        is_query = PromptType(prompt_type) is PromptType.QUERY
        return self.query_prompt if is_query else self.document_prompt

    def differences(self, other: EmbeddingSpace) -> list[FieldDifference]:
        """Return the fields in which two spaces differ, in the order of the fields.

        A renamed but identical model is the same space: `model` and `revision` count only if the
        digests of the weights differ too, and the names of adapters only if their digests do.
        """
        ignored: frozenset[str] = frozenset()
        if self.weights_digest == other.weights_digest:
            ignored |= _NAMES
        if self.adapter_digest and self.adapter_digest == other.adapter_digest:
            ignored |= _ADAPTER_NAMES
        return [
            FieldDifference(field.name, getattr(self, field.name), getattr(other, field.name))
            for field in fields(self)
            if field.name not in ignored and getattr(self, field.name) != getattr(other, field.name)
        ]

    def to_json(self) -> dict[str, str | int | bool]:
        """Return the space as a JSON object; `from_json` reads it."""
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
class FieldDifference:
    """One field in which two spaces differ."""

    field: str
    ours: object
    theirs: object
