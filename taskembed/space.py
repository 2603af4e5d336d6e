"""The embedding space: what must be equal for two vectors to be comparable.

An index is a set of vectors of one space. The space is written beside them, and every document and
every query must prove that it lives there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

TITLE_AND_TEXT = "{title?} {text}"  # the template of an index, unless another one is asked for


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
DECLARED = "declared:"  # begins the digest of weights that nobody has seen
COSINE, DOT = "cosine", "dot"  # metrics: for vectors of unit length; for vectors as they are
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
class HostedModel:
    """A model that a server runs; nobody here can see its weights.

    Attributes:
        server: the name of the server, such as "cohere"; "own" for one named by its address.
        server_model: the model's name at that server.
        parameter: the field of a request that says which side a text is of; "" for none.
        query_value: the value of that field for queries.
        document_value: the value of that field for documents.
    """

    server: str
    server_model: str
    parameter: str = ""
    query_value: str = ""
    document_value: str = ""

    def fields_of_request(self, prompt_type: PromptType) -> dict[str, str]:
        """Return what a request has beside its texts: {"input_type": "search_query"}."""
        is_query = prompt_type is PromptType.QUERY
        value = self.query_value if is_query else self.document_value
        return {self.parameter: value} if value else {}


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """The fields that must be equal for two vectors to be comparable.

    Attributes:
        model: the model's id as models.toml spells it; for an unknown model the name that was
            given: a Hugging Face id or a folder.
        revision: commit of the model's repository; "" for a folder.
        weights_digest: sha256 over every file of the model that can change a vector; "" for a
            hosted model; "declared:" and a name if vectors are declared to be of a model that
            nobody compared them with.
        query_adapter: name of the LoRA adapter merged into the weights for queries; "" for none.
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
        template: how a document's fields become its text: of the index, not of the model.
        hosted: for a model behind a server: the server, and the task fields of requests; else None.
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
        """Return what tells a hosted model's server the side: "input_type=query"; "" for none."""
        told = self.hosted.fields_of_request(PromptType(prompt_type)) if self.hosted else {}
        return "".join(f"{field}={value}" for field, value in told.items())

    def swapped(self) -> EmbeddingSpace:
        """Return the space in which queries are encoded as documents are here, and the reverse."""
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
        """Tell whether the model is the same, whatever it is called: its files, or its server's."""
        if self.hosted and other.hosted:
            ours, theirs = self.hosted, other.hosted
            return (ours.server, ours.server_model) == (theirs.server, theirs.server_model)
        return self.hosted == other.hosted and self.weights_digest == other.weights_digest

    def differences(self, other: EmbeddingSpace) -> list[FieldDifference]:
        """Return the fields in which two spaces differ, in the order of the fields.

        A renamed but identical model is the same space: `model` and `revision` count only if the
        weights differ too, and the names of adapters only if their digests do. The fields of a
        hosted model are compared one by one; for any other model they are "".
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
    """Refuse values that have not exactly these keys, or not these types."""
    if values.keys() != kinds.keys():
        wrong = ", ".join(sorted(map(str, values.keys() ^ kinds.keys())))
        raise ValueError(f"{what} has missing or unknown fields: {wrong}")
    for name, type_name in kinds.items():
        expected = {"str": str, "Task": str, "int": int, "bool": bool}[type_name]
        if type(values[name]) is not expected:
            raise ValueError(f"{name} of {what} is not a {type_name}")


def _from_version_1(space: EmbeddingSpace) -> EmbeddingSpace:
    """Return a space as it is today that an early version wrote.

    A hosted model was written in fields that are a local model's: "hosted:cohere/embed-v4.0" as
    the digest of the weights, and "input_type=search_query" as the adapter.
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
    """Return the fields of a space by name, those of a hosted model among them."""
    values = {field.name: getattr(space, field.name) for field in fields(space)}
    hosted = values.pop("hosted") or HostedModel("", "")
    return values | {field.name: getattr(hosted, field.name) for field in fields(hosted)}


_HOSTED_DIGEST = "hosted:"
_NAMES = frozenset({"model", "revision"})
_ADAPTER_NAMES = frozenset({"query_adapter", "document_adapter"})


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field in which two spaces differ."""

    field: str
    ours: object
    theirs: object
