"""Reads the body of an HTTP response within limits on bytes and seconds.

    client = httpx2.AsyncClient(event_hooks={"response": [bounding(limit_bytes, seconds)]})

The body is decompressed here, in small pieces. The library would decompress everything that arrived
at once, but a hostile gzip stream grows a thousandfold, and again for each further encoding in the
headers. Importing this module imports the HTTP library.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx2

from taskembed.encoding._answers import AnswerError

ACCEPTED = "gzip"  # value of the request header accept-encoding
ERROR_BYTES = 2**16  # bytes read of the body of an error response
_PIECE_BYTES = 2**16  # bytes decompressed at a time
_GZIP_OR_ZLIB = 47  # zlib's wbits for gzip or zlib, detected by the header


def bounding(
    limit_bytes: Callable[[], int], seconds: float
) -> Callable[[httpx2.Response], Awaitable[None]]:
    """Return a hook that bounds the reading of a response's body.

    Reading more than `limit_bytes()` bytes raises AnswerError, and reading for longer than
    `seconds` raises a timeout. Only the beginning of the body of an error response is read.
    """

    async def bound(response: httpx2.Response) -> None:
        encoding = response.headers.pop("content-encoding", "").strip().lower()
        response.stream = _Bounded(
            response,
            unpack=_unpacker(encoding),
            limit_bytes=limit_bytes() if response.is_success else ERROR_BYTES,
            seconds=seconds,
        )

    return bound


class _Bounded(httpx2.AsyncByteStream):
    def __init__(
        self,
        response: httpx2.Response,
        *,
        unpack: Callable[[bytes], Iterator[bytes]],
        limit_bytes: int,
        seconds: float,
    ) -> None:
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101  # an async client's
        self._packed = response.stream
        self._request = response.request
        self._is_error = not response.is_success
        self._unpack = unpack
        self._limit_bytes = limit_bytes
        self._deadline = time.monotonic() + seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = packed_left = self._limit_bytes
        async for packed in self._packed:
            if time.monotonic() > self._deadline:
                raise httpx2.ReadTimeout("the answer takes too long", request=self._request)
            packed_left -= len(packed)  # a gzip stream can be endless without containing any data
            for piece in self._unpack(packed):
                left -= len(piece)
                if left < 0 or packed_left < 0:
                    break
                yield piece
            if left < 0 or packed_left < 0:
                if self._is_error:
                    return
                raise AnswerError(f"with more than {self._limit_bytes:,} bytes")

    async def aclose(self) -> None:
        await self._packed.aclose()


def _unpacker(encoding: str) -> Callable[[bytes], Iterator[bytes]]:
    if encoding in {"", "identity"}:
        return lambda data: iter([data])
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise AnswerError(f"with an encoding that was not requested: {encoding[:40]!r}")
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)

    def unpack(data: bytes) -> Iterator[bytes]:
        full = True
        # after a full piece, more output may be available
        while (data or full) and not unpacking.eof:
            try:
                piece = unpacking.decompress(data, _PIECE_BYTES)
            except zlib.error:
                raise AnswerError(
                    "with a body that is not gzip, although its header says so"
                ) from None
            data, full = unpacking.unconsumed_tail, len(piece) == _PIECE_BYTES
            yield piece

    return unpack
