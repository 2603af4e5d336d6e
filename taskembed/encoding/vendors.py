"""The servers of hosted models: addresses, variables with the keys, bodies of requests.

    SERVERS["cohere"].body(RequestBody("embed-v4.0", ["a text"], {"input_type": "search_query"}))

The shapes are those of each vendor's own reference; which model is behind which server, and what
tells it the task, is in models.toml. What sends them is in _http.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from taskembed.encoding._answers import indexed
from taskembed.secrets import KEY_OF_OWN

OWN = "own"  # the name of a server that speaks OpenAI's interface and is named by its address


@dataclass(frozen=True, slots=True)
class RequestBody:
    """What is asked of a server.

    Attributes:
        model: its id there.
        texts: to encode, none of them empty.
        task_fields: the fields that say the task: {"input_type": "search_query"}; {} for none.
        dim: numbers in a vector that the server is asked for; None for its own default.
        numbers: in a vector, as far as that is known beforehand: a bound on the answer.
    """

    model: str
    texts: Sequence[str]
    task_fields: Mapping[str, str] = field(default_factory=dict)
    dim: int | None = None
    numbers: int | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """A server of hosted models.

    Attributes:
        url: before the path; without a slash at the end.
        path: after it, with {model} for the model's id.
        key: the environment variable that has the key.
        texts: in one request, at most.
        body: the JSON of a request.
        vectors: the vectors of an answer, in the order of the texts; what it raises for an answer
            of another shape is a KeyError, TypeError, ValueError, IndexError or AttributeError.
        characters: in one request, at most, unless one text has more: a bound on the tokens, which
            only the server can count.
        key_header: the header for the key; "" for the usual one (Bearer).
    """

    url: str
    path: str
    key: str
    texts: int
    body: Callable[[RequestBody], dict[str, Any]]
    vectors: Callable[[Any], list[Any]]
    characters: int = 100_000
    key_header: str = ""


def _body(
    request: RequestBody, texts: str = "input", dim: str = "dimensions", **more: object
) -> dict[str, Any]:
    body = {"model": request.model, texts: list(request.texts), **more, **request.task_fields}
    return body if request.dim is None else {**body, dim: request.dim}


def _gemini_body(request: RequestBody) -> dict[str, Any]:
    each: dict[str, Any] = {"model": f"models/{request.model}", **request.task_fields}
    if request.dim is not None:
        each["output_dimensionality"] = request.dim
    return {
        "requests": [{**each, "content": {"parts": [{"text": text}]}} for text in request.texts]
    }


def _data(answer: Any) -> list[Any]:  # noqa: ANN401  # JSON from outside
    return indexed(list(answer["data"]), "embedding")


SERVERS: Mapping[str, Server] = {
    # https://platform.openai.com/docs/api-reference/embeddings: 2,048 texts, 300,000 tokens
    "openai": Server(
        url="https://api.openai.com/v1",
        path="/embeddings",
        key="OPENAI_API_KEY",
        texts=512,
        body=partial(_body, encoding_format="float"),
        vectors=_data,
    ),
    # Any server with OpenAI's interface; text-embeddings-inference takes 32 texts by default.
    OWN: Server(
        url="",
        path="/embeddings",
        key=KEY_OF_OWN,
        texts=32,
        body=partial(_body, encoding_format="float"),
        vectors=_data,
    ),
    # https://docs.cohere.com/reference/embed
    "cohere": Server(
        url="https://api.cohere.com/v2",
        path="/embed",
        key="CO_API_KEY",
        texts=96,
        body=partial(_body, texts="texts", dim="output_dimension", embedding_types=["float"]),
        vectors=lambda answer: list(answer["embeddings"]["float"]),
    ),
    # https://docs.voyageai.com/reference/embeddings-api: 1,000 texts, 120,000 tokens
    "voyage": Server(
        url="https://api.voyageai.com/v1",
        path="/embeddings",
        key="VOYAGE_API_KEY",
        texts=128,
        body=partial(_body, dim="output_dimension"),
        vectors=_data,
    ),
    # https://ai.google.dev/api/embeddings; unverified: at most 100 texts
    "gemini": Server(
        url="https://generativelanguage.googleapis.com/v1beta",
        path="/models/{model}:batchEmbedContents",
        key="GEMINI_API_KEY",
        texts=100,
        body=_gemini_body,
        vectors=lambda answer: [row["values"] for row in answer["embeddings"]],
        key_header="x-goog-api-key",
    ),
    # https://api.jina.ai/docs; unverified: how many texts it takes
    "jina": Server(
        url="https://api.jina.ai/v1",
        path="/embeddings",
        key="JINA_API_KEY",
        texts=128,
        body=_body,
        vectors=_data,
    ),
    # https://docs.zeroentropy.dev/api-reference/models/embed; unverified: how many texts it takes
    "zeroentropy": Server(
        url="https://api.zeroentropy.dev/v1",
        path="/models/embed",
        key="ZEROENTROPY_API_KEY",
        texts=64,
        body=partial(_body, encoding_format="float"),
        vectors=lambda answer: [row["embedding"] for row in answer["results"]],
    ),
}


def portions(texts: Sequence[str], server: Server) -> Iterator[list[str]]:
    """Yield the texts in order, as many at once as one request takes; an empty one is a space."""
    portion: list[str] = []
    characters = 0
    for text in texts:
        if portion and (len(portion) == server.texts or characters + len(text) > server.characters):
            yield portion
            portion, characters = [], 0
        portion.append(text or " ")  # most servers refuse an empty text
        characters += len(text)
    if portion:
        yield portion
