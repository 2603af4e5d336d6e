"""The servers of hosted models: where each is, which variable has its key, what it is sent.

    Wire("cohere", "embed-v4.0", None).send([Ask("embed-v4.0", ["a text"], {"input_type": ...})])

The shapes are those of each vendor's own reference; which model is behind which server, and what
tells it the task, is in models.toml. Requests, retries with back-off and time limits are the
`openai` library's, which posts to any address.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.vectors import FloatRows

if TYPE_CHECKING:
    import openai

AT_ONCE = 4  # requests
RETRIES = 10  # the waits before them double up to 8 s, or are what the server says
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 60.0
SAID_CHARACTERS = 300  # of what a server says of an error
REFUSES_TEXTS = frozenset({400, 413, 422})  # answers that one bad text of many may be the cause of
REFUSES_KEYS = frozenset({401, 403})

OWN = "own"  # the name of a server that speaks OpenAI's interface and is named by its address
KEY_OF_OWN = "TASKEMBED_API_KEY"  # the name of a variable


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a server.

    Attributes:
        model: its id there.
        texts: to encode, none of them empty.
        told: the fields that say the task: {"input_type": "search_query"}; {} for none.
        dim: numbers in a vector; None for the model's own.
    """

    model: str
    texts: Sequence[str]
    told: Mapping[str, str] = field(default_factory=dict)
    dim: int | None = None


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
            of another shape is a KeyError, TypeError, ValueError or AttributeError.
        characters: in one request, at most, unless one text has more: a bound on the tokens, which
            only the server can count.
        key_header: the header for the key; "" for the usual one (Bearer).
    """

    url: str
    path: str
    key: str
    texts: int
    body: Callable[[Ask], dict[str, Any]]
    vectors: Callable[[Any], list[Any]]
    characters: int = 100_000
    key_header: str = ""


def _body(
    ask: Ask, texts: str = "input", dim: str = "dimensions", **more: object
) -> dict[str, Any]:
    body = {"model": ask.model, texts: list(ask.texts), **more, **ask.told}
    return body if ask.dim is None else {**body, dim: ask.dim}


def _gemini_body(ask: Ask) -> dict[str, Any]:
    each: dict[str, Any] = {"model": f"models/{ask.model}", **ask.told}
    if ask.dim is not None:
        each["output_dimensionality"] = ask.dim
    return {"requests": [{**each, "content": {"parts": [{"text": text}]}} for text in ask.texts]}


def _data(answer: Any) -> list[Any]:  # noqa: ANN401  # JSON from outside
    rows = answer["data"]
    return [row["embedding"] for row in sorted(rows, key=lambda row: row.get("index", 0))]


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
    # Any server with OpenAI's interface; text-embeddings-inference takes 32 texts unless told.
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


class Wire:
    """The line to one server for one model."""

    def __init__(self, name: str, model: str, api_base: str | None) -> None:
        self.server = SERVERS[name]
        self._model = model
        self._url = (api_base or self.server.url).rstrip("/")
        if not self._url:
            raise UsageError(
                f"{model} is behind a server, and nothing says where",
                hint="--api-base URL, or TASKEMBED_API_BASE",
            )
        parts = urlsplit(self._url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"--api-base {self._url!r}: not an http or https address")
        self.host = parts.hostname
        # The key of a vendor is for the vendor: it is never sent to another address.
        self._key_name = KEY_OF_OWN if api_base else self.server.key
        self._key = os.environ.get(self._key_name, "").strip()
        if not self._key and not api_base:
            raise ModelUnavailableError(
                f"{model} is behind {self.host}, which wants a key",
                hint=f"export {self._key_name}=KEY: it is only read there, and stored nowhere",
            )
        if not (self._key.isascii() and self._key.isprintable()):
            raise UsageError(f"{self._key_name} holds what no key can: it is not printable ASCII")

    def send(self, asks: Sequence[Ask]) -> list[FloatRows]:
        """Return float32[n, dim] for each of the asks; a few are under way at once.

        Raises:
            ModelUnavailableError: the server cannot be reached, refuses, or answers nonsense.
        """
        import asyncio  # 0.05 s

        return asyncio.run(self._send(asks))

    async def _send(self, asks: Sequence[Ask]) -> list[FloatRows]:
        import asyncio

        openai = _openai()
        slots = asyncio.Semaphore(AT_ONCE)
        async with self._client() as client:

            async def one(ask: Ask) -> FloatRows:
                async with slots:
                    return await self._ask(client, ask)

            try:
                return await asyncio.gather(*map(one, asks))
            except openai.APIConnectionError as error:
                raise ModelUnavailableError(
                    f"{self.host} cannot be reached: {error.__cause__ or error}",
                    hint="the same command goes on from what was indexed",
                ) from error
            except openai.APIStatusError as error:
                raise self._refused(error) from error

    def _client(self) -> openai.AsyncOpenAI:
        library = _openai()
        client: openai.AsyncOpenAI = library.AsyncOpenAI(
            api_key=self._key or "none",
            admin_api_key="",
            base_url=self._url,
            max_retries=RETRIES,
            timeout=library.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            # neither texts nor keys follow a redirection to another server
            http_client=library.DefaultAsyncHttpxClient(follow_redirects=False),
        )
        return client

    def _headers(self) -> dict[str, Any]:
        """Return what a request has beside the library's own headers, or instead of them."""
        omit, own = _openai().Omit(), self.server.key_header
        headers: dict[str, Any] = {own: self._key} if own and self._key else {}
        if own or not self._key:
            headers["Authorization"] = omit
        if self._key_name != SERVERS["openai"].key:  # what the environment says is for OpenAI alone
            headers |= {"OpenAI-Organization": omit, "OpenAI-Project": omit}
        return headers

    async def _ask(self, client: openai.AsyncOpenAI, ask: Ask) -> FloatRows:
        openai = _openai()
        path = self.server.path.format(model=ask.model)
        try:
            answer = await client.post(
                path,
                cast_to=object,
                body=self.server.body(ask),
                options={"headers": self._headers()},
            )
        except openai.APIStatusError as error:
            if error.status_code not in REFUSES_TEXTS:
                raise
            half = len(ask.texts) // 2
            if not half:
                raise self._refused(error, text=ask.texts[0]) from error
            halves = (ask.texts[:half], ask.texts[half:])  # the one that it refuses is named
            return np.concatenate(
                [await self._ask(client, replace(ask, texts=some)) for some in halves]
            )
        try:
            rows = np.array(self.server.vectors(answer), dtype=np.float32)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelUnavailableError(
                f"{self.host} answered with something that is no list of vectors",
                hint="check --api-base" if not self.server.url else None,
            ) from error
        if rows.ndim != 2 or len(rows) != len(ask.texts):  # noqa: PLR2004  # a matrix
            raise ModelUnavailableError(
                f"{self.host} answered {len(ask.texts)} texts with {len(rows)} vectors"
            )
        return rows

    def _refused(self, error: openai.APIStatusError, text: str = "") -> ModelUnavailableError:
        body = error.body
        said = str(body.get("message") or body) if isinstance(body, dict) else str(body or error)
        if self._key:
            said = said.replace(self._key, "***")
        what = f" the text that begins {text[:60]!r}" if text else ""
        message = f"{self.host} refuses{what} ({error.status_code}): {said[:SAID_CHARACTERS]}"
        if error.status_code in REFUSES_KEYS:
            return ModelUnavailableError(message, hint=f"check the key in {self._key_name}")
        hint = None if text else "the same command goes on from what was indexed"
        return ModelUnavailableError(message, hint=hint)


def _openai() -> Any:  # noqa: ANN401  # a module
    try:
        import openai  # 0.7 s
    except ImportError as error:
        raise ModelUnavailableError(
            "hosted models need the openai library, which is not installed",
            hint='pip install "taskembed[hosted]"',
        ) from error
    return openai
