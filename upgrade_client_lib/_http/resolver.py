"""Looking up a host's addresses, in threads of their own.

The system's resolver can take many seconds and cannot be interrupted. So a look-up runs in a daemon
thread, which all calls that need the same host wait for, each until its own deadline; no thread of
the application or of its event loop is taken.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from ipaddress import ip_address
from typing import Any

from .._fork import call_after_fork
from .._locks import held

_lock = threading.RLock()
_running: dict[tuple[str, int], Future[Sequence[str]]] = {}


def _reset_after_fork() -> None:
    """In a child process: the parent's look-ups do not end here."""
    global _lock, _running
    _lock = threading.RLock()
    _running = {}


call_after_fork(_reset_after_fork)


def look_up(host: str, port: int) -> Future[Sequence[str]]:
    """Return the host's addresses, when they are known; an ``OSError`` where there are none."""
    if _is_address(host):
        known: Future[Sequence[str]] = Future()
        known.set_result([host])
        return known
    key = host, port
    with held(_lock):
        running = _running.get(key)
        if running is not None:
            return running
        future: Future[Sequence[str]] = Future()
        future.set_running_or_notify_cancel()  # so that no waiter can cancel it
        name = f"upgrade_client_lib look-up of {host}"
        thread = threading.Thread(target=_run, args=(key, future), name=name, daemon=True)
        try:
            thread.start()
            _running[key] = future  # last, so that none is waited for whose thread did not start
            return future
        except RuntimeError:  # the interpreter shuts down
            pass
    _run(key, future)
    return future


def _run(key: tuple[str, int], future: Future[Sequence[str]]) -> None:
    try:
        addresses = _addresses(*key)
    except BaseException as error:
        _forget(key, future)
        future.set_exception(error)
    else:
        _forget(key, future)
        future.set_result(addresses)


def _forget(key: tuple[str, int], future: Future[Sequence[str]]) -> None:
    with held(_lock):
        if _running.get(key) is future:
            del _running[key]


def _is_address(host: str) -> bool:
    """Whether there is nothing to look up. The system's resolver is not asked: it may take long."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not found:  # as resolvers do that stand in for the system's
        raise socket.gaierror(socket.EAI_NONAME, "the host's name has no address")
    return list(dict.fromkeys(_with_scope(address) for *_, address in found))


def _with_scope(address: Any) -> str:
    """Return an address with its scope, which a link-local one of IPv6 needs."""
    host = str(address[0])
    scope = address[3] if len(address) > 3 else 0
    return f"{host}%{scope}" if scope and "%" not in host else host
