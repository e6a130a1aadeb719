"""Nothing that is compared may reach beyond this machine, whatever it does on its own."""

from __future__ import annotations

import sys
from typing import Any, cast

HERE = {"127.0.0.1", "::1", "localhost"}


class BeyondLoopbackError(OSError):
    """Something wanted to reach another machine."""


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    host: object = None
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and not isinstance(arguments[1], str):
        host = cast("tuple[object, ...]", arguments[1])[0]  # else it is a Unix socket
    if host is not None and host not in HERE:
        raise BeyondLoopbackError(f"{host!r} is not this machine")


def stay_on_loopback() -> None:
    """Have this process, until it ends, connect to no other machine."""
    sys.addaudithook(_refuse)
