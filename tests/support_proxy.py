"""A forward proxy on loopback, behind which every host is one and the same server."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

LONGEST = 5.0

P = TypeVar("P", bound="Proxy")


class Proxy:
    """Relays while its ``with`` block runs, and notes the first request of each connection."""

    def __init__(
        self, port: int, *, tls: ssl.SSLContext | None = None, tunnels: bool = True
    ) -> None:
        self.requests: list[str] = []
        self._tls = tls
        self._tunnels = tunnels
        self._upstream = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"{'http' if tls is None else 'https'}://{self.address}"
        self._wake, self._woken = socket.socketpair()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def targets(self) -> list[str]:
        """What was asked for: an address, or ``host:port`` for a tunnel."""
        return [request.split(" ")[1] for request in self.requests]

    def __enter__(self: P) -> P:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wake.close()
        for thread in self._threads:
            thread.join(LONGEST)

    def _accept(self) -> None:
        with self._listener, self._woken:
            while True:
                ready, _, _ = select.select([self._listener, self._woken], [], [])
                if self._woken in ready:
                    return
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._relay, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _encrypted(self, accepted: socket.socket) -> socket.socket:
        return accepted if self._tls is None else self._tls.wrap_socket(accepted, server_side=True)

    def _relay(self, accepted: socket.socket) -> None:
        with (
            suppress(OSError),
            self._encrypted(accepted) as connection,
            socket.create_connection(self._upstream) as upstream,
        ):
            if not self._let_pass(connection, upstream):
                return
            other = {connection: upstream, upstream: connection}
            while True:
                ready, _, _ = select.select(list(other), [], [])
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    other[one].sendall(data)

    def _let_pass(self, connection: socket.socket, upstream: socket.socket) -> bool:
        """Read what is asked for, and return whether data may pass."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(65536)
            if not data:
                return False  # the other side hung up
            head += data
        self.requests.append(head.decode("latin-1"))
        if not head.startswith(b"CONNECT "):
            upstream.sendall(head)
        elif self._tunnels:
            connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return False
        return True


class SocksProxy(Proxy):
    """The same for SOCKS 5, without passwords; hosts are asked for by name.

    ``reply`` is its whole reply to such a request. With another than that of a proxy which has
    connected, it waits until the other side hangs up, and then sets ``hung_up``.
    """

    CONNECTED = b"\x05\x00\x00\x01" + bytes(6)
    REFUSED = b"\x05\x05\x00\x01" + bytes(6)

    def __init__(self, port: int, *, reply: bytes = CONNECTED) -> None:
        super().__init__(port)
        self.url = f"socks5://{self.address}"
        self.hung_up = threading.Event()
        self._reply = reply

    def _let_pass(self, connection: socket.socket, upstream: socket.socket) -> bool:
        connection.recv(65536)  # the versions and ways of signing in that the other side offers
        connection.sendall(b"\x05\x00")
        asked = connection.recv(65536)  # version, command, nothing, kind, length, name, port
        if not asked:
            return False  # the other side hung up
        name, port = asked[5:-2].decode("ascii"), int.from_bytes(asked[-2:], "big")
        self.requests.append(f"CONNECT {name}:{port}")
        connection.sendall(self._reply)
        if self._reply == self.CONNECTED:
            return True
        connection.recv(65536)
        self.hung_up.set()
        return False
