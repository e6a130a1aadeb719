"""What a user may set about how requests travel."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs

if TYPE_CHECKING:
    import ssl

    from ._transport import AsyncHttpClient, BlockingHttpClient, HttpTransport


@attrs.frozen(kw_only=True)
class TransportSettings:
    """The arguments of ``UpgradeConnection`` that are about sockets."""

    host_url: str
    headers: Mapping[str, str]
    max_connections: int
    proxy: str | None
    trust_env: bool
    ssl_context: ssl.SSLContext | None
    http_client: BlockingHttpClient | None
    async_http_client: AsyncHttpClient | None
    transport: HttpTransport | None

    def proxy_address(self) -> str | None:
        """The proxy on the way to the server: the one set, or the environment's."""
        if self.proxy is not None or not self.trust_env:
            return self.proxy
        parts = urlsplit(self.host_url)
        names = (parts.netloc, parts.hostname or "")  # which has no brackets around IPv6
        if any(urllib.request.proxy_bypass(name) for name in names):
            return None
        proxies = urllib.request.getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if proxy is None or "://" in proxy:
            return proxy
        return f"http://{proxy}"
