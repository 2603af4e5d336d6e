"""The embedding space: what must be equal for two vectors to be comparable.

An index is a set of vectors of one space. The space is stored with them, and every document and
query is checked to have the same space.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

TITLE_AND_TEXT = "{title?} {text}"  # the default template of an index


class Task(StrEnum):
    """The purpose of vectors. Common synonyms are accepted: Task("sts") is Task.SIMILARITY.

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
DECLARED = "declared:"  # prefix of the digest of weights that were declared, not checked
COSINE, DOT = "cosine", "dot"  # metrics: of normalised vectors; of vectors that are not normalised
_ALIASES = {"sts": "similarity", "text-matching": "similarity", "separation": "clustering"}


class PromptType(StrEnum):
    """The side of a text in a task: query or document. The name is that of MTEB.

    Raises:
        ValueError: there is no such side.
    """

    QUERY = "query"
    DOCUMENT = "document"

    @classmethod
    def _missing_(cls, value: object) -> PromptType:
        raise ValueError(f"{value!r} is not a side of a task; the sides are {', '.join(cls)}")


@dataclass(frozen=True, slots=True)
class HostedModel:
    """A model that a server runs, so that its weights cannot be checked.

    Attributes:
        server: the name of the server, such as "cohere"; "own" for the user's own server.
        server_model: the model's name at that server.
        parameter: the field of a request that names the side of a text; "" for none.
        query_value: the value of that field for queries.
        document_value: the value of that field for documents.
    """

    server: str
    server_model: str
    parameter: str = ""
    query_value: str = ""
    document_value: str = ""

    def fields_of_request(self, prompt_type: PromptType) -> dict[str, str]:
        """Return the fields of a request other than its texts: {"input_type": "search_query"}."""
        is_query = prompt_type is PromptType.QUERY
        value = self.query_value if is_query else self.document_value
        return {self.parameter: value} if value else {}


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """The fields that must be equal for two vectors to be comparable.

    Attributes:
        model: the model's id in models.toml; for an unknown model, the name that the user gave: a
            Hugging Face id or a folder.
        revision: commit of the model's repository; "" for a folder.
        weights_digest: sha256 over every file of the model that can change a vector; "" for a
            hosted model; "declared:" and a name if the user declared the model of imported vectors
            and they were not compared with it.
        query_adapter: name of the LoRA adapter merged into the weights for queries; "" for none.
        document_adapter: the same for documents; it is nearly always the same adapter.
        adapter_digest: sha256 of the adapters' files; "" for none.
        task: the purpose of the vectors.
        query_prompt: text before every query, byte for byte.
        document_prompt: text before every document, byte for byte.
        suffix: text after every text, added after truncation (zEmbed-1).
        pooling: how token vectors become one: "mean", "cls", "lasttoken", ...; "mean, prompt
            excluded" if the prompt's tokens are left out of the mean (INSTRUCTOR).
        max_length: largest number of tokens that the model reads, special tokens included; 0 if
            only the server of a hosted model knows it.
        dim: the dimension of the vectors.
        truncation: how the model's vectors were shortened to `dim`: "none", "slice", ...
        normalize: whether vectors have unit length: true if and only if `metric` is "cosine".
        metric: "cosine", or "dot": the inner product of vectors that are not normalised.
        template: the template by which a document's fields become its text; a property of the
            index, not of the model.
        hosted: for a model that a server runs: the server and the fields of requests; else None.
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
    template: str = TITLE_AND_TEXT
    hosted: HostedModel | None = None

    def prompt(self, prompt_type: PromptType | str) -> str:
        """Return the prompt of a side.

        Raises:
            ValueError: there is no such side.
        """
        is_query = PromptType(prompt_type) is PromptType.QUERY
        return self.query_prompt if is_query else self.document_prompt

    def adapter(self, prompt_type: PromptType | str) -> str:
        """Return the name of the adapter of a side; "" for none."""
        is_query = PromptType(prompt_type) is PromptType.QUERY
        return self.query_adapter if is_query else self.document_adapter

    def request(self, prompt_type: PromptType | str) -> str:
        """Return the field by which a hosted model is told the side: "input_type=query"; or ""."""
        told = self.hosted.fields_of_request(PromptType(prompt_type)) if self.hosted else {}
        return "".join(f"{field}={value}" for field, value in told.items())

    def swapped(self) -> EmbeddingSpace:
        """Return the space with the settings of queries and documents exchanged."""
        hosted = self.hosted and replace(
            self.hosted,
            query_value=self.hosted.document_value,
            document_value=self.hosted.query_value,
        )
        return replace(
            self,
            query_prompt=self.document_prompt,
            document_prompt=self.query_prompt,
            query_adapter=self.document_adapter,
            document_adapter=self.query_adapter,
            hosted=hosted,
        )

    def has_weights_of(self, other: EmbeddingSpace) -> bool:
        """Return whether the model is the same, by its weights or its name at the server."""
        if self.hosted and other.hosted:
            ours, theirs = self.hosted, other.hosted
            return (ours.server, ours.server_model) == (theirs.server, theirs.server_model)
        return self.hosted == other.hosted and self.weights_digest == other.weights_digest

    def differences(self, other: EmbeddingSpace) -> list[FieldDifference]:
        """Return the fields in which two spaces differ, in the order of the fields.

        A renamed but identical model has the same space: `model` and `revision` are compared only
        if the weights differ, and the names of adapters only if their digests differ. The fields of
        hosted models are compared one by one; they are "" for other models.
        """
        ignored: frozenset[str] = frozenset()
        if self.has_weights_of(other):
            ignored |= _NAMES
        if self.adapter_digest and self.adapter_digest == other.adapter_digest:
            ignored |= _ADAPTER_NAMES
        ours, theirs = _flat(self), _flat(other)
        return [
            FieldDifference(name, ours[name], theirs[name])
            for name in ours
            if name not in ignored and ours[name] != theirs[name]
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the space as a JSON object; `from_json` reads it."""
        values = asdict(self)
        values["task"] = self.task.value
        if self.hosted is None:
            del values["hosted"]
        return values

    @classmethod
    def from_json(cls, values: object) -> EmbeddingSpace:
        """Read the output of `to_json`.

        Raises:
            ValueError: a field is missing, unknown, or of another type.
        """
        if not isinstance(values, dict):
            raise ValueError("an embedding space is a JSON object")
        hosted = _hosted_from(values.get("hosted"))
        values = {key: value for key, value in values.items() if key != "hosted"}
        kinds = {field.name: str(field.type) for field in fields(cls) if field.name != "hosted"}
        _require_kinds(values, kinds, "an embedding space")
        if (values["metric"], values["normalize"]) not in {(COSINE, True), (DOT, False)}:
            raise ValueError(f"metric of an embedding space is not known: {values['metric']!r}")
        space = cls(**{**values, "task": Task(values["task"]), "hosted": hosted})
        return space if hosted else _from_version_1(space)


def _hosted_from(values: object) -> HostedModel | None:
    if values is None:
        return None
    if not isinstance(values, dict):
        raise ValueError("hosted of an embedding space is not a JSON object")
    kinds = {field.name: str(field.type) for field in fields(HostedModel)}
    _require_kinds(values, kinds, "hosted of an embedding space")
    return HostedModel(**values)


def _require_kinds(values: dict[str, Any], kinds: dict[str, str], what: str) -> None:
    """Refuse values with other keys or types.

    Raises:
        ValueError: a key is missing or unknown, or a value has another type.
    """
    if values.keys() != kinds.keys():
        wrong = ", ".join(sorted(map(str, values.keys() ^ kinds.keys())))
        raise ValueError(f"{what} has missing or unknown fields: {wrong}")
    for name, type_name in kinds.items():
        expected = {"str": str, "Task": str, "int": int, "bool": bool}[type_name]
        if type(values[name]) is not expected:
            raise ValueError(f"{name} of {what} is not a {type_name}")


def _from_version_1(space: EmbeddingSpace) -> EmbeddingSpace:
    """Convert a space that an early version wrote to its present form.

    Early versions stored a hosted model in the fields of a local model: "hosted:cohere/embed-v4.0"
    as the digest of the weights, and "input_type=search_query" as the adapter.
    """
    if not space.weights_digest.startswith(_HOSTED_DIGEST):
        return space
    server, _, model = space.weights_digest.removeprefix(_HOSTED_DIGEST).partition("/")
    parameter, _, query_value = space.query_adapter.partition("=")
    document_parameter, _, document_value = space.document_adapter.partition("=")
    return replace(
        space,
        weights_digest="",
        query_adapter="",
        document_adapter="",
        hosted=HostedModel(
            server, model, parameter or document_parameter, query_value, document_value
        ),
    )


def _flat(space: EmbeddingSpace) -> dict[str, Any]:
    """Return the fields of a space by name, including those of a hosted model."""
    values = {field.name: getattr(space, field.name) for field in fields(space)}
    hosted = values.pop("hosted") or HostedModel("", "")
    return values | {field.name: getattr(hosted, field.name) for field in fields(hosted)}


_HOSTED_DIGEST = "hosted:"
_NAMES = frozenset({"model", "revision"})
_ADAPTER_NAMES = frozenset({"query_adapter", "document_adapter"})


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field in which two spaces differ."""

    field: str
    ours: object
    theirs: object
