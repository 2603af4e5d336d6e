"""The HTTP client for servers of hosted models: requests, retries, limits and keys.

    VendorClient("cohere", "embed-v4.0", None).send([RequestBody("embed-v4.0", ["a text"])])

The `openai` library sends requests, to any address, and repeats them with back-off. An answer is
used only if it is small enough, arrives in time, and fits the request (_bounded.py, _answers.py).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

import numpy as np

from taskembed.activity import Step, doing
from taskembed.encoding._answers import AnswerError, limit_bytes, vectors_of, web_page
from taskembed.encoding.vendors import SERVERS, RequestBody
from taskembed.errors import BadVectorError, ModelUnavailableError, UsageError
from taskembed.extras import install_hint
from taskembed.secrets import (
    KEY_OF_OWN,
    redacted,
    secrets_of_userinfo,
    shown_address,
    userinfo_of,
    without_userinfo,
)
from taskembed.vectors import FloatRows

if TYPE_CHECKING:
    import ssl

    import openai

AT_ONCE = 4  # concurrent requests
RETRIES = 10  # waiting times double up to 8 s, unless the server names one
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 60.0  # for one attempt: to connect; to the last byte
TOTAL_SECONDS = 180.0  # for a request with all of its attempts
SAID_CHARACTERS = 300  # characters shown of a server's error message
REFUSES_TEXTS = frozenset({400, 413, 422})  # statuses that a single text of a request can cause
REFUSES_KEYS = frozenset({401, 403})
ELSEWHERE = frozenset({301, 302, 303, 307, 308, 404, 405})  # statuses of a wrong address or model
CHECK_ADDRESS = "check --api-base: the address of most servers ends in /v1"
GOES_ON = "the same command goes on from what was indexed"


class VendorClient:
    """The client of one server, for one model."""

    def __init__(self, name: str, model: str, api_base: str | None) -> None:
        self.server = SERVERS[name]
        address = api_base or self.server.url
        if not address:
            raise UsageError(
                f"{model} is behind a server, but its address is not given",
                hint="--api-base URL, or TASKEMBED_API_BASE",
            )
        # the library would quote an address with a password in its errors
        self._userinfo = userinfo_of(address)
        self._url, self.host = _parsed(address)
        self._is_own = bool(api_base)
        # the key of a vendor is never sent to another address
        self._key_name = KEY_OF_OWN if api_base else self.server.key
        self._key = os.environ.get(self._key_name, "").strip()
        if not self._key and not api_base:
            raise ModelUnavailableError(
                f"{model} is behind {self.host}, which needs a key",
                hint=f"export {self._key_name}=KEY; it is never stored",
            )
        if not (self._key.isascii() and self._key.isprintable()):
            raise UsageError(
                f"{self._key_name} is not a valid key: it has characters other than printable ASCII"
            )
        self._status = 0  # HTTP status of the last answer
        self._wait = Step("")  # the step shown while waiting for answers
        self._limit_bytes = 0  # largest size of an answer to the current requests
        _require_library()

    def send(self, requests: Iterable[RequestBody]) -> list[FloatRows]:
        """Return the vectors of each request, float32[n, dim]; raises the errors of `answers`."""
        return [rows for group in self.answers(requests) for rows in group]

    def answers(self, requests: Iterable[RequestBody]) -> Generator[list[FloatRows], None, None]:
        """Yield lists of vectors, float32[n, dim] for each request; a few requests are concurrent.

        All requests use one client, which reuses connections. The event loop runs in its own
        thread, so that programs with their own event loop (notebooks, servers) can call this.

        Raises:
            ModelUnavailableError: the server cannot be reached, refuses, returns an invalid answer,
                or does not answer within `TOTAL_SECONDS`.
            BadVectorError: a number of a vector is not finite.
        """
        from anyio.from_thread import start_blocking_portal  # 0.05 s

        left = iter(requests)
        with start_blocking_portal() as portal:
            client = self._client()
            try:
                while group := list(islice(left, AT_ONCE)):
                    with doing(f"waiting for {self.host}", waits_for_others=True) as self._wait:
                        answers = portal.call(self._send, client, group)
                    yield answers
            finally:
                portal.call(client.close)

    async def _send(
        self, client: openai.AsyncOpenAI, requests: Sequence[RequestBody]
    ) -> list[FloatRows]:
        import asyncio

        import openai  # 0.7 s

        self._limit_bytes = max(limit_bytes(request.texts, request.numbers) for request in requests)

        async def one(request: RequestBody) -> FloatRows:
            async with asyncio.timeout(TOTAL_SECONDS):
                return await self._post(client, request)

        # "from None": the library's errors contain the request and the response
        try:
            return await asyncio.gather(*map(one, requests))
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except TimeoutError:
            last = f"; its last status was {self._status}" if self._status else ""
            raise self._error(
                f"did not answer completely within {TOTAL_SECONDS:g} s{last}"
            ) from None
        except openai.APIConnectionError as error:
            raise self._error(f"cannot be reached: {error.__cause__ or error}") from None
        except openai.OpenAIError as error:
            raise self._error(f"cannot be used: {error}") from None

    def _client(self) -> openai.AsyncOpenAI:
        import httpx2
        import openai

        from taskembed.encoding._bounded import bounding

        async def remember(response: httpx2.Response) -> None:
            self._status = response.status_code
            if response.is_error:
                self._wait.what = f"waiting for {self.host}, which answered {self._status}"

        try:
            url = httpx2.URL(self._url)
        except httpx2.InvalidURL as error:
            raise UsageError(f"--api-base {self._url!r}: {error}") from None
        return openai.AsyncOpenAI(
            api_key=self._key or "none",
            admin_api_key="",
            base_url=url,
            max_retries=RETRIES,
            timeout=openai.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            http_client=openai.DefaultAsyncHttpxClient(
                # texts and keys must not follow a redirection to another server
                follow_redirects=False,
                verify=_tls(),
                limits=httpx2.Limits(max_connections=AT_ONCE, keepalive_expiry=ANSWER_SECONDS),
                event_hooks={
                    "response": [remember, bounding(lambda: self._limit_bytes, ANSWER_SECONDS)]
                },
            ),
        )

    def _headers(self) -> dict[str, Any]:
        """Return headers of a request that are added to those of the library, or replace them."""
        import openai

        from taskembed.encoding._bounded import ACCEPTED

        omit, own = openai.Omit(), self.server.key_header
        headers: dict[str, Any] = {"Accept-Encoding": ACCEPTED}
        if own and self._key:
            headers[own] = self._key
        if self._userinfo:
            plain = unquote(self._userinfo).encode()
            headers["Authorization"] = f"Basic {base64.b64encode(plain).decode()}"
        elif own or not self._key:
            headers["Authorization"] = omit
        if self._key_name != SERVERS["openai"].key:  # the library's variables are for OpenAI only
            headers |= {"OpenAI-Organization": omit, "OpenAI-Project": omit}
        return headers

    async def _post(self, client: openai.AsyncOpenAI, request: RequestBody) -> FloatRows:
        import httpx2
        import openai

        path = self.server.path.format(model=request.model)
        try:
            answer = await client.post(
                path,
                cast_to=httpx2.Response,
                body=self.server.body(request),
                options={"headers": self._headers()},
            )
            rows = vectors_of(answer.content, self.server.vectors, request.texts, request.numbers)
        except AnswerError as error:
            raise self._error(
                f"answered {error}", hint=CHECK_ADDRESS if self._is_own else ""
            ) from None
        except openai.APIStatusError as error:
            if error.status_code not in REFUSES_TEXTS:
                raise
            half = len(request.texts) // 2
            if not half:
                raise self._refused(error, text=request.texts[0]) from None
            # send halves, until the refused text is found
            halves = (request.texts[:half], request.texts[half:])
            return self.joined(
                [await self._post(client, replace(request, texts=some)) for some in halves]
            )
        self._require_finite(rows, request.texts)
        return rows

    def joined(self, parts: Sequence[FloatRows]) -> FloatRows:
        """Return the rows of several answers, float32[n, dim] each, as one array.

        Raises:
            BadVectorError: the answers have different dimensions.
        """
        sizes = sorted({part.shape[1] for part in parts})
        if len(sizes) > 1:
            said = ", ".join(map(str, sizes))
            raise BadVectorError(f"{self.host} returned vectors of several sizes: {said} numbers")
        return np.concatenate(parts)

    def _require_finite(self, rows: FloatRows, texts: Sequence[str]) -> None:
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if bad.size:
            raise BadVectorError(
                f"{self.host} returned a number that is too large for the text that begins "
                f"{texts[int(bad[0])][:60]!r}"
            )

    def _refused(self, error: openai.APIStatusError, text: str = "") -> ModelUnavailableError:
        body, status = error.body, error.status_code
        said = str(body.get("message") or body) if isinstance(body, dict) else str(body or error)
        said = web_page(said.encode(errors="replace")) or said
        what = f" the text that begins {text[:60]!r}" if text else ""
        message = f"refuses{what} ({status}): {self._shown(said)[:SAID_CHARACTERS]}"
        if status in REFUSES_KEYS:
            kept = f"the key in {self._key_name}"
            if self._userinfo:
                kept = "the user and password in --api-base"
            return self._error(message, hint=f"check {kept}")
        if status in ELSEWHERE:
            where = f"{CHECK_ADDRESS}; and " if self._is_own else ""
            return self._error(message, hint=f"{where}check the name of the model")
        return self._error(message, hint="" if text else GOES_ON)

    def _error(self, what: str, hint: str = GOES_ON) -> ModelUnavailableError:
        return ModelUnavailableError(f"{self.host} {self._shown(what)}", hint=hint or None)

    def _shown(self, said: str) -> str:
        """Return a message of a server or a library, without the key and the password."""
        return redacted(said, [self._key, *secrets_of_userinfo(self._userinfo)])


@cache
def _tls() -> ssl.SSLContext:
    """Return the context with the certificates for checking servers, which takes 0.02 s to read."""
    import httpx2

    return httpx2.create_ssl_context()


def _parsed(address: str) -> tuple[str, str]:
    """Return an address without user and password, and its host.

    Raises:
        UsageError: it is not an http or https address.
    """
    bare = without_userinfo(address).rstrip("/")
    if why := _not_an_address(bare):
        raise UsageError(f"--api-base {shown_address(address).rstrip('/')!r}: {why}")
    return bare, urlsplit(bare).hostname or ""


def _not_an_address(bare: str) -> str:
    """Return why an address cannot be the address of a server; "" if it can."""
    try:
        parts = urlsplit(bare)
        host = (parts.hostname or "").encode("idna")
    except ValueError:
        return "its host is neither a name nor an IP address"
    if parts.scheme not in {"http", "https"} or not host:
        return "not an http or https address"
    if not _has_good_port(parts):
        return "its port is not a number from 1 to 65535"
    if parts.query or parts.fragment or not bare.isprintable() or " " in bare:
        return "the address of a server cannot have white space, a ? or a #"
    return ""


def _has_good_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _require_library() -> None:
    """Refuse hosted models if the openai library is missing, before anything is read or sent."""
    if any(find_spec(name) is None for name in ("openai", "httpx2")):
        raise ModelUnavailableError(
            "hosted models need the openai library, which is not installed",
            hint=install_hint("hosted"),
        )
