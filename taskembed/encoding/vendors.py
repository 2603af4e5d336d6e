"""The servers of hosted models: their addresses, key variables, requests and answers.

    SERVERS["cohere"].body(RequestBody("embed-v4.0", ["a text"], {"input_type": "search_query"}))

The formats follow the API reference of each vendor. models.toml lists the models of each server and
the values that name the task. _http.py sends the requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from taskembed.encoding._answers import indexed
from taskembed.secrets import KEY_OF_OWN

OWN = "own"  # name of the user's own server with OpenAI's interface


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A request to a server.

    Attributes:
        model: the id of the model at the server.
        texts: the texts to encode; none is empty.
        task_fields: the fields that name the task: {"input_type": "search_query"}; {} for none.
        dim: the requested dimension; None for the server's default.
        numbers: the expected dimension, which limits the size of the answer; None if unknown.
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
        url: the address without the path and without a final slash.
        path: the path; {model} stands for the model's id.
        key: the environment variable with the key.
        texts: the largest number of texts in a request.
        body: returns the JSON of a request.
        vectors: returns the vectors in an answer, in the order of the texts; for an invalid answer
            it raises KeyError, TypeError, ValueError, IndexError or AttributeError.
        characters: the largest number of characters in a request, unless a single text has more;
            it limits the tokens, which only the server can count.
        key_header: the header for the key; "" for "Authorization: Bearer".
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
    """Yield the texts of each request, in order; an empty text is replaced by a space."""
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
