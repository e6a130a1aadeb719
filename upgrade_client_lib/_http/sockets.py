"""The arguments with which httpx makes connections: limits, proxy and TLS."""

from __future__ import annotations

import importlib.util
import ipaddress
import ssl
import sys
import urllib.request
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx

from .._fork import fork_waits
from .settings import TransportSettings

TLS_IN_TLS = (3, 11)
"""The first Python whose event loops can encrypt what is encrypted already."""


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
            expected = " or ".join(map(_class_name, classes))
            given = _class_name(type(argument))
            why = ": requests are sent by means of httpx" if given.startswith("httpx2") else ""
            raise TypeError(f"{name} must be an {expected}, not {given}{why}")
        if settings.transport not in (None, argument):
            raise ValueError(f"a transport stands in for the sockets: give it without {name}")
    if settings.async_engine != "httpx":
        _check_engine(settings)
    own = (settings.transport, settings.http_client, settings.async_http_client)
    if settings.proxy is not None or own == (None, None, None):
        _proxy_address(settings)


def _check_engine(settings: TransportSettings) -> None:
    engine = settings.async_engine
    if not isinstance(engine, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"async_engine must be a string, not {type(engine).__name__}")
    if engine != "aiohttp":
        raise ValueError(f"async_engine must be 'httpx' or 'aiohttp', not {engine!r}")
    for name in ("async_http_client", "transport"):
        if getattr(settings, name) is not None:
            raise ValueError(f"{name} sends async calls itself: give it without async_engine")
    if importlib.util.find_spec("aiohttp") is None:
        raise ValueError(
            "async_engine='aiohttp' needs one more package: install it with"
            ' pip install "upgrade-client-lib[aiohttp]"'
        )


class SocketOptions:
    """Makes the arguments of httpx's transports for one server; certificates are loaded once."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._ssl_context = settings.ssl_context
        self.route = settings.host_url
        """The server, and how it is reached, for messages."""

    def load(self) -> None:
        """Check the environment's proxy, and load the certificates: a ``ValueError`` for either."""
        self.arguments()

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``httpx.HTTPTransport`` and its async form, for one request."""
        settings = self._settings
        proxy = _proxy_address(settings)
        if proxy is not None:
            self.route = f"{settings.host_url} through the proxy {_without_password(proxy)}"
        if self._ssl_context is None:
            with fork_waits():  # OpenSSL holds a lock while it starts, which a child would inherit
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
    """Return the address of the proxy to use, checked: the one set, or the environment's."""
    if settings.proxy is not None:
        _check_proxy("proxy", settings.proxy, settings)
        return settings.proxy
    if not settings.trust_env:
        return None
    parts = urlsplit(settings.host_url)
    host = parts.hostname or ""  # which has no brackets around IPv6
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None or _is_in_a_range(host, proxies.get("no", "")):
        return None
    if any(urllib.request.proxy_bypass(name) for name in (parts.netloc, host)):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    _check_proxy("the environment's proxy", proxy, settings)
    return proxy


def _is_in_a_range(host: str, exceptions: str) -> bool:
    """Whether a host is an address in a range that ``NO_PROXY`` lists, as in ``10.0.0.0/8``."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for exception in exceptions.split(","):
        with suppress(ValueError):  # most are names
            if address in ipaddress.ip_network(exception.strip(), strict=False):
                return True
    return False


def _check_proxy(name: str, address: str, settings: TransportSettings) -> None:
    try:
        url = httpx.Proxy(address).url
        url.host.encode("idna")
    except (ValueError, httpx.InvalidURL) as error:
        detail = "it cannot be read" if "@" in address else error  # no password in messages
        raise ValueError(f"{name} is not the address of one: {detail}") from None
    if not url.host:
        raise ValueError(f"{name} must name a host, as in 'http://proxy.example.org:3128'")
    is_socks = url.scheme.startswith("socks")
    if is_socks and importlib.util.find_spec("socksio") is None:
        raise ValueError(
            f"{name} is a SOCKS proxy, which needs one more package: install it with"
            ' pip install "upgrade-client-lib[socks]"'
        )
    if settings.async_engine == "aiohttp":
        if is_socks:
            raise ValueError(f"{name} is a SOCKS proxy, which async_engine='aiohttp' cannot use")
        if url.scheme == "https" and _is_https(settings.host_url) and sys.version_info < TLS_IN_TLS:
            raise ValueError(
                f"{name} is an https:// one, through which async_engine='aiohttp' reaches an"
                " https:// server from Python 3.11 on alone"
            )


def _without_password(address: str) -> str:
    return str(httpx.URL(address).copy_with(userinfo=b"", path="/")).rstrip("/")


def _class_name(kind: type) -> str:
    """Return the name of a class with its package: clients of httpx2 are none of httpx."""
    package = kind.__module__.partition(".")[0]
    return kind.__name__ if package == "builtins" else f"{package}.{kind.__name__}"


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
