"""What a test makes go wrong on purpose: failed, slow, silent and dropped calls, and downtime."""

from __future__ import annotations

import math
from collections.abc import Mapping
from threading import Lock

from ._definitions import check_text
from ._http import Body, SocketServer
from ._inspection import Inspection


class Outages(Inspection):
    """The part of a LocalUpgrade that disturbs its clients."""

    _servers: list[SocketServer]
    _serving_lock: Lock

    def fail_next(
        self,
        endpoint: str,
        *,
        status: int = 503,
        times: int = 1,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
    ) -> None:
        """Answer the next ``times`` calls of an endpoint, such as "mark", with this status.

        Such a call does nothing else. Without a ``body`` the answer is HTML for 502 to 504, as
        proxies send it, nothing for 204 and 304, and UpGrade's JSON error for the rest. A
        ValueError or TypeError says what no answer can be, such as a status below 200.
        """
        check_text("endpoint", endpoint)
        with self._api.lock:
            self._api.faults.add(
                endpoint, status=status, times=times, headers=headers or {}, body=body
            )

    def slow(
        self,
        seconds: float,
        *,
        endpoint: str | None = None,
        user: str | None = None,
        times: int | None = None,
    ) -> None:
        """Send responses this many seconds late; the calls are applied at once.

        It holds for all calls until :meth:`up`, or only for those of an ``endpoint`` such as
        "mark", for those that send this ``user`` as their id, and for the next ``times`` of them.
        """
        self._disrupt(seconds, True, True, endpoint, user, times)

    def hang(
        self, *, endpoint: str | None = None, user: str | None = None, times: int | None = None
    ) -> None:
        """Take calls and never answer them. They are not applied.

        ``endpoint``, ``user`` and ``times`` choose the calls, as in :meth:`slow`. Connections stay
        open until the client gives up, or until :meth:`up`, which closes them.
        """
        self._disrupt(math.inf, False, False, endpoint, user, times)

    def drop(
        self,
        *,
        applied: bool = False,
        endpoint: str | None = None,
        user: str | None = None,
        times: int | None = None,
    ) -> None:
        """Close the connection instead of answering: before a call is applied, or after it.

        A client cannot tell which. ``endpoint``, ``user`` and ``times`` choose the calls, as in
        :meth:`slow`. What was not applied is not in :attr:`requests` either.
        """
        self._disrupt(0.0, applied, False, endpoint, user, times)

    def _disrupt(
        self,
        delay: float,
        applied: bool,
        responds: bool,
        endpoint: str | None,
        user: str | None,
        times: int | None,
    ) -> None:
        self._api.disruptions.add(
            delay=delay,
            applied=applied,
            responds=responds,
            endpoint=endpoint,
            user=user,
            times=times,
        )

    def down(self) -> None:
        """Refuse connections: ``httpx.ConnectError`` in process, closed ports on sockets."""
        with self._serving_lock:
            self._api.down = True
            self._api.disruptions.release()
            for server in self._servers:
                server.pause()

    def up(self) -> None:
        """Take connections again, on the same ports; end what slow, hang and drop asked for."""
        with self._serving_lock:
            self._api.down = False
            self._api.disruptions.clear()
            for server in self._servers:
                server.resume()
