"""Encoders of hosted models: a server encodes the texts; requests name the task as it expects.

    encoder = open_hosted(identify("embed-v4.0"), EncoderRequest(Task.RETRIEVAL))

The weights cannot be inspected, so the space identifies the model by the names of the server and of
the model there. OpenAI's interface has no field for the task: for the user's own server with that
interface, the prompt is put before a text before it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from taskembed.activity import counted_texts
from taskembed.arguments import require_texts
from taskembed.encoding._http import VendorClient
from taskembed.encoding._request import EncoderRequest
from taskembed.encoding._shortening import choose_truncation, shorten
from taskembed.encoding.settings import EngineSettings
from taskembed.encoding.vendors import OWN, SERVERS, RequestBody, portions
from taskembed.errors import BadVectorError, ModelUnavailableError, UsageError
from taskembed.guard import NORM_TOLERANCE
from taskembed.models.catalogue import Identified, identify
from taskembed.models.resolve import ModelSpec, resolve
from taskembed.space import COSINE, EmbeddingSpace, PromptType
from taskembed.vectors import Encoded, FloatRows, Rows, gathered
from taskembed.version import __version__


class HostedEncoder:
    """The encoder of a space whose model runs on a server."""

    made_by: Mapping[str, str]

    def __init__(self, space: EmbeddingSpace, api_base: str | None) -> None:
        assert space.hosted is not None  # noqa: S101  # checked by the caller
        self._hosted = space.hosted
        server, self._model = space.hosted.server, space.hosted.server_model
        if server not in SERVERS:
            raise ModelUnavailableError(
                f"{space.model} is behind a server that this version does not support: {server!r}",
                hint="upgrade taskembed",
            )
        self._client = VendorClient(server, self._model, api_base)
        self.space = space
        cut_here = space.truncation not in {"none", "server"}
        self._numbers = identify(space.model).dim if cut_here else space.dim
        self.made_by = {"engine": self._client.host, "precision": "", "taskembed": __version__}

    def encode(self, texts: Sequence[str], prompt_type: PromptType | str) -> Encoded:
        """Return the vectors of texts, float32[n, dim]; row i belongs to texts[i].

        No text is reported as truncated, since servers do not tell.

        Raises:
            ModelUnavailableError: the server cannot be reached, refuses, or its answer is invalid.
            BadVectorError: a number of a vector is not finite, or the dimension has changed.
            TypeError: `texts` is a single string, or an item is not a string.
            ValueError: a text is not UTF-8, or `prompt_type` is not a side.
        """
        texts = require_texts(texts, "texts")
        slices = counted_texts(self.encode_slices(texts, prompt_type), len(texts))
        return gathered(slices, len(texts), self.space.dim)

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType | str
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Yield int64[m] positions of texts, and the m encoded texts, a few requests at a time.

        If a request fails, the texts yielded before are not lost.

        Raises:
            ModelUnavailableError, BadVectorError, TypeError, ValueError: see `encode`.
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
        fields = self._hosted.fields_of_request(prompt_type)
        dim = self.space.dim if self.space.truncation == "server" else None
        return RequestBody(self._model, texts, fields, dim, self._numbers)

    def _finished(self, vectors: FloatRows) -> FloatRows:
        """Return a server's vectors, shortened and normalised as the space requires."""
        space = self.space
        if space.truncation not in {"none", "server"}:
            if self._numbers not in {None, vectors.shape[1]}:  # shortening would hide it
                raise BadVectorError(
                    f"{self._client.host} returned vectors of {vectors.shape[1]} numbers, "
                    f"but vectors of {space.model} have {self._numbers}"
                )
            vectors = shorten(vectors.astype(np.float32), space.dim, space.truncation, Path())
        if not space.normalize:
            return np.ascontiguousarray(vectors, dtype=np.float32)
        # the guard refuses numbers that are not finite
        with np.errstate(invalid="ignore", divide="ignore"):
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors.astype(np.float32)

    def _require_lengths(self, vectors: FloatRows) -> None:
        """Refuse document vectors of unit length if the metric is the inner product.

        A server that normalises vectors changes their scores. A single vector may have unit length
        by chance.

        Raises:
            ModelUnavailableError: the vectors have unit length.
        """
        lengths = np.linalg.norm(vectors, axis=1)
        if len(vectors) > 1 and bool((np.abs(lengths - 1) < NORM_TOLERANCE).all()):
            raise ModelUnavailableError(
                f"{self._client.host} normalises the vectors of {self._model}, which are compared "
                "by their inner product without normalisation",
                hint="turn that off at the server, or leave out --api-base",
            )


def open_hosted(model: Identified, request: EncoderRequest) -> HostedEncoder:
    """Return the encoder of a hosted model for a task.

    Raises:
        ModelUnavailableError: the server cannot be used, or does not support the task.
        UsageError: an option of the request does not fit the model.
    """
    settings = request.settings
    spec = resolve(model, request.task, request.stated)
    if request.revision:
        raise UsageError(f"{spec.model} is behind a server, which takes no --revision")
    if spec.server and request.stated.adapter_for(request.task):
        raise UsageError(f"{spec.model} is behind a server, where no adapter can be merged")
    _require_online(spec.model, settings)
    _require_servable(spec)
    # for the user's own server: the name as given
    there = spec.model if spec.server else model.asked
    client = VendorClient(spec.server or OWN, there, settings.api_base)
    settings.notify(f"note: the texts are sent to {client.host}")
    full = spec.dim
    if full is None:
        full = client.send([RequestBody(there, ["how many numbers has a vector?"])])[0].shape[1]
    size, method = _size(spec, full, request.dim, force=request.force_dim)
    return HostedEncoder(_space(spec, there, size, method), settings.api_base)


def _space(spec: ModelSpec, there: str, size: int, method: str) -> EmbeddingSpace:
    """Return the space of a hosted model, whose name at its server is `there`."""
    metric = spec.metric or COSINE
    return EmbeddingSpace(
        model=spec.model,
        revision="",
        weights_digest="",
        query_adapter="",
        document_adapter="",
        adapter_digest="",
        task=spec.task,
        query_prompt=spec.prompt(PromptType.QUERY),
        document_prompt=spec.prompt(PromptType.DOCUMENT),
        suffix="",
        pooling="server",
        # the limit of the user's own server is unknown, whatever the name of the model is
        max_length=spec.max_length if spec.server else 0,
        dim=size,
        truncation=method,
        normalize=metric == COSINE,
        metric=metric,
        hosted=spec.hosted_model(spec.server or OWN, there),
    )


def open_hosted_of(space: EmbeddingSpace, settings: EngineSettings) -> HostedEncoder:
    """Return the encoder of the space of an index, if its model is behind a server.

    Raises:
        ModelUnavailableError: the server cannot be used.
    """
    _require_online(space.model, settings)
    return HostedEncoder(space, settings.api_base)


def _require_online(model: str, settings: EngineSettings) -> None:
    if settings.offline:
        raise ModelUnavailableError(
            f"{model} is behind a server, but the network may not be used",
            hint="leave out --offline",
        )


def _require_servable(spec: ModelSpec) -> None:
    """Refuse a model with weights that needs more than a prompt before the text.

    Raises:
        ModelUnavailableError: a server would silently return other vectors.
    """
    if spec.server:
        return
    if spec.has_adapter:
        why = f"its adapter {spec.adapter(PromptType.DOCUMENT)!r} cannot be merged by a server"
    elif spec.suffix:
        why = (
            f"the suffix {spec.suffix!r} must follow a text after truncation, which the server does"
        )
    elif not spec.prompt_in_pooling:
        why = "the prompt must be left out of the pooling, which the server does"
    else:
        return
    raise ModelUnavailableError(
        f"{spec.model} cannot be used through a server: {why}",
        hint="leave out --api-base to run it on this machine",
    )


def _size(spec: ModelSpec, full: int, wanted: int | None, *, force: bool) -> tuple[int, str]:
    """Return the dimension, and the method of truncation: "server" if the server can do it."""
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
