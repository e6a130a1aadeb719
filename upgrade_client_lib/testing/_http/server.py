"""Serve on a socket, with a thread for each connection."""

from __future__ import annotations

import logging
import selectors
import socket
import sys
import time
from contextlib import suppress
from threading import Lock, Thread, current_thread
from typing import Callable, Optional

from .app import Api, Response
from .disruptions import AT_ONCE, Delivery
from .http1 import (
    KEEP_ALIVE_SECONDS,
    BadRequest,
    ConnectionClosed,
    HeldBodies,
    Http1Connection,
    RequestHead,
)

Report = Callable[[str, str, Optional[str], int, float], None]
"""Called after each request with its method, path, user, status and seconds."""

Respond = Callable[[RequestHead, bytes, str], Optional[Response]]
"""What may answer a request, given its head, its body and the client's address, or leave it."""

_LAST_PORT = 65535
_MOST_CONNECTIONS = 1000
_FINISH_SECONDS = 0.5
_STEP = 0.02  # seconds between two looks at whether a waiting client is still there
_logger = logging.getLogger("upgrade_client_lib.testing")


class SocketServer:
    """A listening socket and the connections that it accepted, until ``stop``."""

    def __init__(
        self,
        api: Api,
        host: str,
        port: int,
        report: Report | None,
        page: Respond | None = None,
    ) -> None:
        if not 0 <= port <= _LAST_PORT:
            raise ValueError(f"port must be from 0 to {_LAST_PORT}, not {port}")
        self._api = api
        self._report = report
        self._page = page
        self._lock = Lock()
        self._connections: set[socket.socket] = set()
        self._threads: set[Thread] = set()
        self._bodies = HeldBodies()
        self._listener: _Listener | None = None
        self._address = (host, port)
        self.resume()

    @property
    def url(self) -> str:
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def resume(self) -> None:
        """Listen, on the same port as before."""
        if self._listener is None:
            self._listener = _Listener(self._address, self._accepted)
            self._address = self._listener.address

    def pause(self) -> None:
        """Stop listening, and close every connection."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        with self._lock:
            connections, threads = list(self._connections), list(self._threads)
        for connection in connections:
            _shut(connection)
        for thread in threads:
            if thread is not current_thread():  # a report may turn the server off
                thread.join(KEEP_ALIVE_SECONDS)

    stop = pause

    def _accepted(self, connection: socket.socket, peer: str) -> None:
        thread = Thread(target=self._serve_connection, args=(connection, peer), daemon=True)
        with self._lock:
            if len(self._connections) >= _MOST_CONNECTIONS:
                connection.close()
                return
            self._connections.add(connection)
            self._threads.add(thread)
        thread.start()

    def _serve_connection(self, connection: socket.socket, peer: str) -> None:
        """Serve one connection's requests, one after the other, until either side closes it."""
        http = Http1Connection(connection, self._bodies)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(KEEP_ALIVE_SECONDS)
            while self._serve_next(connection, http, peer):
                pass
        except BadRequest as refused:
            _finish(connection, http, Response(refused.status, [], b""))
        except (OSError, ConnectionClosed):  # gone, idle for too long, or the server is down
            pass
        except Exception:
            _logger.exception("a connection ended on an error of LocalUpgrade's own")
        finally:
            with self._lock:
                self._connections.discard(connection)
                self._threads.discard(current_thread())
            connection.close()

    def _serve_next(self, connection: socket.socket, http: Http1Connection, peer: str) -> bool:
        """Serve the next request; return False if it was the connection's last."""
        head = http.head()
        if head is None:
            return False
        try:
            return self._respond(connection, http, peer, head, http.body(head))
        finally:
            http.release()

    def _respond(
        self,
        connection: socket.socket,
        http: Http1Connection,
        peer: str,
        head: RequestHead,
        body: bytes,
    ) -> bool:
        """Send the response to a request, unless it is dropped; return whether more may come."""
        delivery = AT_ONCE
        started = time.perf_counter()
        try:
            response = self._page_response(peer, head, body)
            if response is None:
                response, delivery = self._api.deliver(head.method, head.path, head.headers, body)
        except ConnectionError:
            raise
        except Exception:
            _logger.exception("%s %s failed", head.method, head.path)
            response = Response(500, [("Content-Type", "text/plain")], b"Internal Server Error")
        if delivery is not AT_ONCE:
            _wait(connection, delivery)
            if not delivery.responds or self._api.down:
                return False
        if self._report is not None:
            seconds = time.perf_counter() - started
            self._report(
                head.method, head.path, head.headers.get("user-id"), response.status, seconds
            )
        http.send(response, keep_alive=head.keep_alive, with_body=head.method != "HEAD")
        return head.keep_alive

    def _page_response(self, peer: str, head: RequestHead, body: bytes) -> Response | None:
        return None if self._page is None else self._page(head, body, peer)


class _Listener:
    """A bound socket, and the thread that accepts its connections."""

    def __init__(
        self, address: tuple[str, int], accepted: Callable[[socket.socket, str], None]
    ) -> None:
        host, port = address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            # A port is free again at once; but Windows would let two servers share it.
            reuse = int(sys.platform != "win32")
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            self._socket.bind((host, port))
            self._socket.listen(128)
        except OSError as error:
            self._socket.close()
            raise OSError(
                error.errno, f"cannot serve on {host} port {port}: {error.strerror}"
            ) from None
        self.address: tuple[str, int] = (host, self._socket.getsockname()[1])
        self._accepted = accepted
        self._wake, self._woken = socket.socketpair()
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._wake.close()
        self._thread.join()

    def _accept(self) -> None:
        with self._socket, self._woken, selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                if self._woken in [key.fileobj for key, _ in selector.select()]:
                    return
                try:
                    connection, (peer, *_) = self._socket.accept()
                except OSError:  # the client left between the two calls
                    continue
                connection.setblocking(True)
                self._accepted(connection, peer)


def _finish(connection: socket.socket, http: Http1Connection, response: Response) -> None:
    """Send a last response; read what still arrives, for unread data would reset the connection."""
    with suppress(OSError):
        http.send(response, keep_alive=False, with_body=True)
        connection.shutdown(socket.SHUT_WR)
        until = time.monotonic() + _FINISH_SECONDS
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                break


def _wait(connection: socket.socket, delivery: Delivery) -> None:
    """Wait until a response is due, or nobody waits for it any longer."""
    until = time.monotonic() + delivery.delay
    while not delivery.ended.wait(max(0.0, min(_STEP, until - time.monotonic()))):
        if time.monotonic() >= until or _has_left(connection):
            return


def _has_left(connection: socket.socket) -> bool:
    """Return whether the client has closed the connection."""
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(KEEP_ALIVE_SECONDS)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
