"""Running a flow through either form of the library, and the cassettes that flows replay from.

A flow is a coroutine on a ``Session``. With the form "async" it runs in one event loop from
beginning to end, with "sync" in none at all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Literal, TypeVar
from urllib.parse import urlsplit

import pytest

from upgrade_client_lib import UpgradeApiError, UpgradeClient, UpgradeConnection

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")

T = TypeVar("T")
E = TypeVar("E", bound=UpgradeApiError)

FormName = Literal["async", "sync"]
FORM_NAMES: list[FormName] = ["async", "sync"]

CASSETTES = Path(__file__).parent / "cassettes"
RECORDED_HOST = "http://127.0.0.1:3030"
"""What every cassette calls its server, whichever it was."""

_SESSION_ID = "11111111-2222-4333-8444-555555555555"
_KEPT_HEADERS = {
    "connection",
    "content-length",
    "content-type",
    "date",
    "etag",
    "keep-alive",
    "x-request-id",
}


class Session:
    """One run of a flow: its clients, and the one way to call them."""

    def __init__(self, connection: UpgradeConnection, form: FormName) -> None:
        self._connection = connection
        self._form = form

    def client(self, user_id: str, context: str = "my-app") -> UpgradeClient:
        return self._connection.client(user_id, context, client_session_id=_SESSION_ID)

    async def call(
        self, method: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call the method, or its ``_sync`` twin."""
        if self._form == "async":
            return await method(*args, **kwargs)
        owner: object = method.__self__  # type: ignore[attr-defined]
        outcome: T = getattr(owner, f"{method.__name__}_sync")(*args, **kwargs)
        return outcome

    async def refused(
        self,
        expected: type[E],
        method: Callable[P, Coroutine[Any, Any, object]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> E:
        """Call the method, which must raise just this; gives the error."""
        with pytest.raises(expected) as caught:
            await self.call(method, *args, **kwargs)
        assert type(caught.value) is expected
        return caught.value


Flow = Callable[[Session], Coroutine[Any, Any, None]]


def run(flow: Flow, connection: UpgradeConnection, form: FormName) -> None:
    """Run a flow to its end."""
    scenario = flow(Session(connection, form))
    if form == "async":
        asyncio.run(scenario)
    else:
        with pytest.raises(StopIteration):  # so it returned, without ever suspending
            scenario.send(None)


def replay(flow: Flow, form: FormName, folder: Path = CASSETTES) -> None:
    """Run a flow on its cassette, which must hold just its requests, in their order."""
    with _cassette(cassette_of(flow, folder), "none") as cassette:
        with UpgradeConnection(RECORDED_HOST) as connection:
            run(flow, connection, form)
        assert cassette.all_played
        assert list(cassette.play_counts.items()) == [(n, 1) for n in range(len(cassette))]


def record(flow: Flow, host_url: str, token: str, folder: Path) -> None:
    """Run a flow on a live server and put its cassette in the folder, unless something fails."""
    path = cassette_of(flow, folder)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with _cassette(fresh, "all"), UpgradeConnection(host_url, token=token) as connection:
        run(flow, connection, "async")
    fresh.replace(path)


def cassette_of(flow: Flow, folder: Path) -> Path:
    return folder / f"{flow.__name__}.yaml"


def _cassette(path: Path, record_mode: Literal["all", "none"]) -> Any:
    if int(version("vcrpy").split(".")[0]) < 8:
        pytest.skip("vcrpy before 8 sees none of what the library sends through httpx's transports")
    vcr: Any = import_module("vcr")  # it has no types
    player = vcr.VCR(
        record_mode=record_mode,
        match_on=["method", "path", "query", "user", "json"],
        filter_headers=[("authorization", "REDACTED")],
        before_record_request=_from_recorded_host,
        before_record_response=_without_volatile_headers,
        decode_compressed_response=True,
        record_on_exception=False,
    )
    player.register_matcher("user", _same_user)
    player.register_matcher("json", _same_json)
    return player.use_cassette(str(path), allow_playback_repeats=False)


def _same_user(one: Any, other: Any) -> None:
    assert one.headers["User-Id"] == other.headers["User-Id"]


def _same_json(one: Any, other: Any) -> None:
    assert json.loads(one.body) == json.loads(other.body)


def _from_recorded_host(request: Any) -> Any:
    uri = str(request.uri)
    request.uri = RECORDED_HOST + uri[uri.rindex("/api/") :]
    request.headers["Host"] = urlsplit(RECORDED_HOST).netloc
    return request


def _without_volatile_headers(response: Any) -> Any:
    kept = {
        name.lower(): values
        for name, values in response["headers"].items()
        if name.lower() in _KEPT_HEADERS
    }
    return {**response, "headers": kept}
