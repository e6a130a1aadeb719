"""The arguments with which httpx makes connections: limits, proxy and TLS."""

from __future__ import annotations

import ssl
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import httpx

from .settings import TransportSettings


def check_settings(settings: TransportSettings) -> None:
    """Reject what httpx would reject too late, or would not understand."""
    arguments: list[tuple[str, object, tuple[type, ...]]] = [
        ("http_client", settings.http_client, (httpx.Client,)),
        ("async_http_client", settings.async_http_client, (httpx.AsyncClient,)),
        ("transport", settings.transport, (httpx.BaseTransport, httpx.AsyncBaseTransport)),
        ("ssl_context", settings.ssl_context, (ssl.SSLContext,)),
        ("proxy", settings.proxy, (str,)),
    ]
    for name, argument, classes in arguments:
        if argument is None:
            continue
        if not isinstance(argument, classes):
            expected = " or ".join(f"{one.__module__}.{one.__name__}" for one in classes)
            raise TypeError(f"{name} must be an {expected}, not {type(argument).__name__}")
        if settings.transport not in (None, argument):
            raise ValueError(f"a transport stands in for the sockets: give it without {name}")
    if settings.proxy is not None:
        _check_proxy("proxy", settings.proxy)


class SocketOptions:
    """Makes the arguments of httpx's transports for one server; certificates are loaded once."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._ssl_context = settings.ssl_context

    def load(self) -> None:
        """Check the environment's proxy, and load the certificates: a ``ValueError`` for either."""
        self.arguments()

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``httpx.HTTPTransport`` and its async form, for one request."""
        settings = self._settings
        proxy = _proxy_address(settings)
        if proxy is not None and settings.proxy is None:
            _check_proxy("the environment's proxy", proxy)
        if self._ssl_context is None:
            self._ssl_context = _ssl_context(settings, proxy)
        tls_proxy = self._ssl_context if _is_https(proxy) else None
        return {
            "verify": self._ssl_context,
            "proxy": None if proxy is None else httpx.Proxy(proxy, ssl_context=tls_proxy),
            "limits": httpx.Limits(
                max_connections=1,  # each request has a transport to itself; see pools.py
                max_keepalive_connections=1,
                keepalive_expiry=settings.keepalive_expiry,
            ),
        }


def _proxy_address(settings: TransportSettings) -> str | None:
    """Return the address of the proxy to use: the one set, or the environment's."""
    if settings.proxy is not None or not settings.trust_env:
        return settings.proxy
    parts = urlsplit(settings.host_url)
    names = (parts.netloc, parts.hostname or "")  # which has no brackets around IPv6
    if any(urllib.request.proxy_bypass(name) for name in names):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None or "://" in proxy:
        return proxy
    return f"http://{proxy}"


def _check_proxy(name: str, address: str) -> None:
    try:
        host = httpx.Proxy(address).url.host
        host.encode("idna")
    except (ValueError, httpx.InvalidURL) as error:
        detail = "it cannot be read" if "@" in address else error  # no password in messages
        raise ValueError(f"{name} is not the address of one: {detail}") from None
    if not host:
        raise ValueError(f"{name} must name a host, as in 'http://proxy.example.org:3128'")


def _is_https(address: str | None) -> bool:
    return address is not None and httpx.URL(address).scheme == "https"


def _ssl_context(settings: TransportSettings, proxy: str | None) -> ssl.SSLContext:
    if _is_https(settings.host_url) or _is_https(proxy):
        try:
            return httpx.create_ssl_context(trust_env=settings.trust_env)
        except OSError as error:
            raise ValueError(f"the certificates to trust cannot be loaded: {error}") from error
    # Loading certificates takes longer than a request; this context verifies, and trusts nobody.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
