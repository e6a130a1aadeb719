"""What a user may set about sockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import ssl

    import httpx

    from .transport import HttpTransport


DEFAULT_MAX_RESPONSE_BYTES = 32 * 2**20


@attrs.frozen(kw_only=True)
class TransportSettings:
    """The arguments of ``UpgradeConnection`` that are about sockets, validated."""

    host_url: str
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    max_connections: int = 20
    keepalive_expiry: float = 4.0
    async_engine: str = "httpx"
    max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES
    proxy: str | None = attrs.field(default=None, repr=False)
    trust_env: bool = True
    ssl_context: ssl.SSLContext | None = None
    http_client: httpx.Client | None = None
    async_http_client: httpx.AsyncClient | None = None
    transport: HttpTransport | None = None
