"""Hosted models: their server encodes, and is told the task as it wants to be told.

    encoder = load_hosted("embed-v4.0", Task.RETRIEVAL, settings=EngineSettings())

Nobody here can see the weights, so the space has the server's name and the model's in their place.
A server of one's own that speaks OpenAI's interface knows no tasks: the prompt is put before a text
here, before it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from taskembed.activity import counted_texts
from taskembed.arguments import require_texts
from taskembed.encoding._http import VendorClient
from taskembed.encoding._shortening import choose_truncation, shorten
from taskembed.encoding.settings import EngineSettings
from taskembed.encoding.vendors import OWN, SERVERS, RequestBody, portions
from taskembed.errors import BadVectorError, ModelUnavailableError, UsageError
from taskembed.guard import NORM_TOLERANCE
from taskembed.models.catalogue import find_family
from taskembed.models.resolve import ModelSpec, PromptOverrides, resolve
from taskembed.reading.template import DEFAULT_TEMPLATE
from taskembed.secrets import without_userinfo
from taskembed.space import COSINE, HOSTED, EmbeddingSpace, PromptType, Task
from taskembed.vectors import Encoded, FloatRows, Rows, gathered
from taskembed.version import __version__


class HostedEncoder:
    """The encoder of one space whose model is behind a server."""

    made_by: Mapping[str, str]

    def __init__(self, space: EmbeddingSpace, api_base: str | None) -> None:
        name, _, self._model = space.weights_digest.removeprefix(HOSTED).partition("/")
        if name not in SERVERS:
            raise ModelUnavailableError(
                f"{space.model} is behind a server that this version does not know: {name!r}",
                hint="upgrade taskembed",
            )
        self._client = VendorClient(name, self._model, api_base)
        self.space = space
        cut_here = space.truncation not in {"none", "server"}
        self._numbers = _full_size(space.model) if cut_here else space.dim
        self.made_by = {"engine": self._client.host, "precision": "", "taskembed": __version__}

    def encode(self, texts: Sequence[str], prompt_type: PromptType | str) -> Encoded:
        """Return float32[n, dim], as `TextEncoder` does.

        No text is known to be cut: servers do not say.

        Raises:
            ModelUnavailableError: the server cannot be reached, refuses, or answers nonsense.
            BadVectorError: a vector has a number that is not finite, or another size than before.
            TypeError: texts is one text, or one of them is none.
            ValueError: a text is not UTF-8, or there is no such side.
        """
        texts = require_texts(texts, "texts")
        slices = counted_texts(self.encode_slices(texts, prompt_type), len(texts))
        return gathered(slices, len(texts), self.space.dim)

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType | str
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Yield the answers to a few requests at a time: what fails later was not paid for in vain.

        Raises:
            ModelUnavailableError: as `encode`.
        """
        texts, prompt_type = require_texts(texts, "texts"), PromptType(prompt_type)
        prompt = self.space.prompt(prompt_type)
        requests = (
            self._asked(some, prompt_type)
            for some in portions([prompt + text for text in texts], self._client.server)
        )
        first = 0
        for parts in self._client.answers(requests):
            vectors = self._finished(self._client.joined(parts))
            if prompt_type is PromptType.DOCUMENT and not self.space.normalize:
                self._require_lengths(vectors)
            rows = np.arange(first, first + len(vectors), dtype=np.int64)
            yield rows, Encoded(vectors, np.zeros(len(vectors), dtype=np.bool_))
            first += len(vectors)

    def _asked(self, texts: Sequence[str], prompt_type: PromptType) -> RequestBody:
        space = self.space
        is_query = prompt_type is PromptType.QUERY
        told = space.query_adapter if is_query else space.document_adapter
        field, _, value = told.partition("=")
        dim = space.dim if space.truncation == "server" else None
        return RequestBody(self._model, texts, {field: value} if value else {}, dim, self._numbers)

    def _finished(self, vectors: FloatRows) -> FloatRows:
        """Return a server's vectors as the space has them: their size, their length."""
        space = self.space
        if space.truncation not in {"none", "server"}:
            if self._numbers not in {None, vectors.shape[1]}:  # the cut would hide it
                raise BadVectorError(
                    f"{self._client.host} gave vectors of {vectors.shape[1]} numbers, "
                    f"and those of {space.model} have {self._numbers}"
                )
            vectors = shorten(vectors.astype(np.float32), space.dim, space.truncation, Path())
        if not space.normalize:
            return np.ascontiguousarray(vectors, dtype=np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):  # the guard finds what is not finite
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors.astype(np.float32)

    def _require_lengths(self, vectors: FloatRows) -> None:
        """Refuse documents whose lengths a server has taken, which the scores need.

        One vector alone may have unit length by chance.

        Raises:
            ModelUnavailableError: it has.
        """
        lengths = np.linalg.norm(vectors, axis=1)
        if len(vectors) > 1 and bool((np.abs(lengths - 1) < NORM_TOLERANCE).all()):
            raise ModelUnavailableError(
                f"{self._client.host} normalises the vectors of {self._model}, which are compared "
                "by inner product at their own lengths",
                hint="turn that off at the server, or leave out --api-base",
            )


def load_hosted(  # noqa: PLR0913  # as `load_encoder`
    model: str | None,
    task: Task,
    *,
    revision: str | None = None,
    stated: PromptOverrides | None = None,
    dim: int | None = None,
    force_dim: bool = False,
    template: str = str(DEFAULT_TEMPLATE),
    settings: EngineSettings,
) -> HostedEncoder:
    """Return the encoder of a hosted model for a task; the arguments are those of `load_encoder`.

    Raises:
        ModelUnavailableError: the server cannot be used, or knows nothing of the task.
        UsageError: what is stated does not fit the model.
    """
    if model is None:
        raise UsageError("--api-base needs the name of a model there", hint="--model NAME")
    spec = resolve(without_userinfo(model), task, stated)  # the name is stored
    if revision:
        raise UsageError(f"{spec.model} is behind a server, which takes no --revision")
    if spec.server and stated and stated.adapter_for(task):
        raise UsageError(f"{spec.model} is behind a server, where no adapter can be merged")
    _require_online(spec.model, settings)
    _require_servable(spec)
    server = spec.server or OWN
    there = spec.model if spec.server else without_userinfo(model)  # its own server's name for it
    client = VendorClient(server, there, settings.api_base)
    settings.notify(f"note: the texts are sent to {client.host}")
    family = find_family(spec.model)
    full = _full_size(spec.model)
    if full is None:
        full = client.send([RequestBody(there, ["how many numbers has a vector?"])])[0].shape[1]
    size, method = _size(spec, full, dim, force=force_dim)
    metric = spec.metric or COSINE
    space = EmbeddingSpace(
        model=spec.model,
        revision="",
        weights_digest=f"{HOSTED}{server}/{there}",
        query_adapter=spec.query_adapter,
        document_adapter=spec.document_adapter,
        adapter_digest="",
        task=task,
        query_prompt=spec.query_prompt,
        document_prompt=spec.document_prompt,
        suffix="",
        pooling="server",
        # of one's own server nobody here knows where it cuts, whatever the model is called there
        max_length=family.max_length if family and spec.server else 0,
        dim=size,
        truncation=method,
        normalize=metric == COSINE,
        metric=metric,
        template=template,
    )
    return HostedEncoder(space, settings.api_base)


def load_hosted_of(space: EmbeddingSpace, settings: EngineSettings) -> HostedEncoder:
    """Return the encoder of an index's space whose model is behind a server.

    Raises:
        ModelUnavailableError: the server cannot be used.
    """
    _require_online(space.model, settings)
    return HostedEncoder(space, settings.api_base)


def _full_size(model: str) -> int | None:
    """Return how many numbers a vector of a model has, when nobody cuts it; None if unknown."""
    family = find_family(model)
    return family.models.get(model) if family else None


def _require_online(model: str, settings: EngineSettings) -> None:
    if settings.offline:
        raise ModelUnavailableError(
            f"{model} is behind a server, and the network is not to be used",
            hint="leave out --offline",
        )


def _require_servable(spec: ModelSpec) -> None:
    """Refuse a model with weights that needs more than a prompt before the text.

    Raises:
        ModelUnavailableError: a server would give other vectors, and say nothing.
    """
    if spec.server:
        return
    if spec.query_adapter or spec.document_adapter:
        why = f"its adapter {spec.document_adapter!r} cannot be merged there"
    elif spec.suffix:
        why = f"the suffix {spec.suffix!r} must follow a text after it was cut, which happens there"
    elif not spec.prompt_in_pooling:
        why = "the prompt must be left out of the pooling, which happens there"
    else:
        return
    raise ModelUnavailableError(
        f"{spec.model} cannot be used through a server: {why}",
        hint="leave out --api-base to run it on this machine",
    )


def _size(spec: ModelSpec, full: int, wanted: int | None, *, force: bool) -> tuple[int, str]:
    """Return the size of the vectors and what shortens them: the server, when it can be told to."""
    if not spec.server:
        return choose_truncation(spec, None, full, wanted, force=force)
    if wanted is None or wanted == full:
        return full, "none"
    if wanted > full:
        raise UsageError(f"--dim {wanted}: the vectors of {spec.model} have {full} numbers")
    if wanted in spec.truncated_dims or force:
        return wanted, "server"
    sizes = ", ".join(map(str, [*(dim for dim in sorted(spec.truncated_dims) if dim < full), full]))
    raise UsageError(
        f"--dim {wanted}: {spec.model} offers {sizes}",
        hint="--force-dim asks its server for that size anyway",
    )
