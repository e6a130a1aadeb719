"""Running one scenario through both forms: ``await method()`` and ``method_sync()``."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Protocol

import pytest


class Form(Protocol):
    """A way to call a method that exists as ``name`` and ``name_sync``."""

    def __call__(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any: ...


def in_event_loop(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the async method, in an event loop of its own."""

    async def scenario() -> Any:
        return await method(*args, **kwargs)

    return asyncio.run(scenario())


def blocking(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the ``_sync`` twin of the async method."""
    owner: Any = method.__self__  # type: ignore[attr-defined]
    return getattr(owner, f"{method.__name__}_sync")(*args, **kwargs)


both_forms = pytest.mark.parametrize(
    "call", [pytest.param(in_event_loop, id="async"), pytest.param(blocking, id="sync")]
)
"""Run a test with either form as its ``call``, as in ``call(client.init, group=...)``."""

every_way = pytest.mark.parametrize(
    ("engine", "call"),
    [
        pytest.param("httpx", in_event_loop, id="async"),
        pytest.param("aiohttp", in_event_loop, id="aiohttp"),
        pytest.param("httpx", blocking, id="sync"),
    ],
    indirect=["engine"],
)
"""The same, and with each engine of async calls, in modules that use the fixture ``engine``."""

each_engine = pytest.mark.parametrize("engine", ["httpx", "aiohttp"], indirect=True)
"""Run a test of async calls with each engine, in modules that use the fixture ``engine``."""
