"""The body of a response, decompressed as it arrives, and no more of it than is allowed."""

from __future__ import annotations

import zlib
from typing import Any

import httpx

ENCODINGS = "gzip, deflate"
"""The encodings that are read here, as ``Accept-Encoding`` names them."""

# httpx decompresses all that has arrived at once, which may be a thousand times as much.
_DECOMPRESSED_AT_ONCE = 64 * 1024


class Body:
    """Takes a body piece by piece. One that grows too large is dropped, whatever comes after.

    ``response`` says how it is encoded, unless it is decoded already; ``max_bytes`` limits both
    what arrives and what becomes of it.
    """

    def __init__(self, response: httpx.Response | None, max_bytes: int) -> None:
        self.is_too_large = False
        self._max_bytes = max_bytes
        self._content = bytearray()
        self._received = 0
        self._decompressor: Any = None
        self._encoding = None if response is None else _encoding(response)

    def add(self, received: bytes) -> None:
        """Take what was received next, which is not empty, encoded as the headers say."""
        self._received += len(received)
        if self._received > self._max_bytes:
            self._drop()
        elif self._encoding is None:
            self._keep(received)
        else:
            self._decompress(received, self._encoding)

    def end(self) -> bytes:
        """Return what was taken; nothing, if it was too large."""
        if self._decompressor is not None and not self.is_too_large:
            self._keep(self._decompressor.flush())  # the last few bytes
        return bytes(self._content)

    def _decompress(self, received: bytes, encoding: str) -> None:
        if self._decompressor is None:
            self._decompressor = zlib.decompressobj(_window_bits(encoding, received[0]))
        try:
            # zlib would keep what comes after the end.
            while received and not self._decompressor.eof and not self.is_too_large:
                self._keep(self._decompressor.decompress(received, _DECOMPRESSED_AT_ONCE))
                received = self._decompressor.unconsumed_tail
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from error

    def _keep(self, content: bytes) -> None:
        if len(self._content) + len(content) > self._max_bytes:
            self._drop()
        else:
            self._content += content

    def _drop(self) -> None:
        self.is_too_large = True
        self._content.clear()


def _encoding(response: httpx.Response) -> str | None:
    """Return the encoding of a body that has one; an error for one that was not asked for."""
    named: str = response.headers.get("content-encoding", "").strip().lower()
    if named in ("", "identity"):
        return None
    if named in ("gzip", "x-gzip", "deflate"):
        return named
    raise httpx.DecodingError(f"its encoding is {named!r}, and {ENCODINGS} were asked for")


def _window_bits(encoding: str, first: int) -> int:
    """Return what zlib wants to know: servers send deflate with zlib's header and without."""
    if encoding != "deflate":
        return zlib.MAX_WBITS | 16
    has_header = first & 0x0F == zlib.DEFLATED
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
