"""Sending one request, blocking, and the pool of all threads."""

from __future__ import annotations

import threading

import httpx

from .._locks import held
from .conversion import read_rejected_by_hook, read_until
from .deadline import ending_at, enforce_sync
from .messages import AttemptLimits, Request, Response
from .origin import Origin, usable
from .pools import BorrowedSyncPool, SyncPool


class SyncTransport:
    """The connections of all threads; their pool is made when it is first needed."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._lock = threading.RLock()
        self._pool: SyncPool | BorrowedSyncPool | None = None

    def send(self, request: Request, limits: AttemptLimits) -> Response:
        """Send once and read the whole response, blocking."""
        origin = self._origin
        with origin.translated_errors(request):
            client = origin.settings.http_client
            if client is not None:
                return self._send_with_client(client, request, limits)
            pool = self._pool or self._make_pool()
            with pool.transport(limits.pool, origin.max_idle(request)) as transport:
                origin.check_open()  # it may have been closed while this call waited
                with ending_at(limits.deadline):
                    response = transport.handle_request(
                        origin.requests.for_transport(request, limits)
                    )
                    return read_until(limits.deadline, response, origin.settings.max_response_bytes)

    def close_idle(self) -> None:
        """Close the connections that no call uses; later calls connect again."""
        pool = self._pool
        if pool is not None:
            pool.close_idle()

    def close(self) -> None:
        """Close the pool; the origin is closed already, so that no other is made."""
        with held(self._lock):
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _send_with_client(
        self, client: httpx.Client, request: Request, limits: AttemptLimits
    ) -> Response:
        self._origin.check_open()
        max_bytes = self._origin.settings.max_response_bytes
        built = self._origin.requests.for_client(client, request, limits)
        try:
            response = client.send(built, stream=True, follow_redirects=False)
        except httpx.HTTPStatusError as error:
            return read_rejected_by_hook(error.response, max_bytes)
        return read_until(limits.deadline, response, max_bytes)

    def _make_pool(self) -> SyncPool | BorrowedSyncPool:
        settings = self._origin.settings
        with held(self._lock):
            self._origin.check_open()
            if self._pool is None:
                if settings.transport is None:
                    self._origin.socket_options.load()
                    self._pool = SyncPool(
                        self._make_transport, settings.max_connections, settings.keepalive_expiry
                    )
                else:
                    own = usable(settings.transport, httpx.BaseTransport)
                    self._pool = BorrowedSyncPool(own, settings.max_connections)
            return self._pool

    def _make_transport(self) -> httpx.HTTPTransport:
        transport = httpx.HTTPTransport(**self._origin.socket_options.arguments())
        enforce_sync(transport)
        return transport
