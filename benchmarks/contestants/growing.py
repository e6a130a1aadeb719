"""This library and other vendors' SDKs, among a number of experiments, or of events that wait.

``read`` reads one of so many experiments again, for a user of whom everything is known. ``page`` is
what a web request does for such a user: it makes what reads, and makes ten reads. Each experiment
has two variations of equal weight. ``event`` hands an event over while so many wait, and nothing
can be sent: what a client's own threads do about it counts too.
"""

# Checkers do not have the SDKs:
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import functools
import itertools
import json
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.stores import MemoryStore, SQLiteStore

from . import timed as timing
from .fixed_response import HOST, FixedResponse, Outage
from .loopback import stay_on_loopback
from .timed import Timed, blocking

USERS = 1_000
VARIATIONS = {"a", "b"}
NEVER = 3_600.0
"""A number of seconds that no measurement lasts."""

stay_on_loopback()


def _keys(count: str) -> list[str]:
    """Return ten of so many experiments, some more than once where there are fewer."""
    return [f"t{number * 7 % int(count)}" for number in range(10)]


def _users(count: int = USERS) -> list[str]:
    return [f"learner-{number}" for number in range(count)]


def _checked(read: Callable[[], object]) -> Timed:
    """Time what answers with a variation."""
    found = read()
    if found not in VARIATIONS:
        raise ValueError(f"gave {found!r} instead of a variation")
    return blocking(read)


def _pages(page: Callable[[str], list[Any]]) -> Timed:
    """Time the pages of users who come one after the other."""
    users = itertools.cycle(_users())
    for user in _users():
        found = page(user)
        if len(found) != 10 or not VARIATIONS.issuperset(found):
            raise ValueError(f"gave {found!r} instead of ten variations")
    return blocking(lambda: page(next(users)))


def _events(hand_over: Callable[[str], object], waiting: str) -> Timed:
    """Time handing over one event after the other, of one user after the other."""
    users = itertools.cycle(_users())

    def calm() -> None:
        """Wait until this process's threads have nothing to do any more."""
        while True:
            begun = time.process_time()
            time.sleep(0.05)
            if time.process_time() - begun < 0.001:
                return

    def timed(loops: int) -> float:
        begun = timing.clock()
        for user in itertools.islice(users, loops):
            hand_over(user)
        calm()
        return timing.clock() - begun

    timed(int(waiting))
    return timed


@functools.lru_cache
def _silent_address() -> str:
    """Return the address of a server that takes requests and never answers."""
    _silent.bind(("127.0.0.1", 0))
    _silent.listen(100)
    host, port = _silent.getsockname()
    return f"http://{host}:{port}"


_silent = socket.socket()


# ---- This library ----


def _keys_of_all(count: str) -> Iterator[str]:
    return (f"t{number}" for number in range(int(count)))


def ours_read(count: str) -> Timed:
    connection = UpgradeConnection(HOST, transport=FixedResponse(int(count)))
    read = connection.client("learner-1", "my-app").get_decision_point_assignment_sync
    found = read("home", "t0")
    assert found is not None
    assert found.get_condition() in VARIATIONS
    return blocking(read, "home", "t0")


def ours_decision(count: str) -> Timed:
    connection = UpgradeConnection(HOST, transport=FixedResponse(int(count)))
    decide = connection.client("learner-1", "my-app").decide_sync
    assert decide("home", "t0", default="a").error is None
    return blocking(functools.partial(decide, default="a"), "home", "t0")


def ours_page(count: str) -> Timed:
    server = FixedResponse(int(count))
    store = MemoryStore(max_users=USERS)
    connection = UpgradeConnection(HOST, transport=server, store=store)
    keys = _keys(count)

    def page(user: str) -> list[Any]:
        read = connection.client(user, "my-app").get_decision_point_assignment_sync
        found = [read("home", key) for key in keys]
        return [one and one.get_condition() for one in found]

    timed = _pages(page)
    assert server.requests == USERS, "each user's assignments are fetched once"
    return timed


def _ours_event(store: Any, waiting: str) -> Timed:
    connection = UpgradeConnection(
        HOST, transport=Outage(1), outbox=store, max_events=10**9, flush_at_exit=0
    )
    clients = {user: connection.client(user, "my-app") for user in _users()}

    def hand_over(user: str) -> object:
        metrics = {"attributes": {"totalTimeSeconds": 95}, "groupedMetrics": []}
        entry = {"timestamp": "2026-11-20T08:00:00.000Z", "metrics": metrics}
        return clients[user].enqueue_log_sync([entry])

    return _events(hand_over, waiting)


def ours_event(waiting: str) -> Timed:
    return _ours_event(MemoryStore(), waiting)


def ours_event_sqlite(waiting: str) -> Timed:
    return _ours_event(SQLiteStore(Path(_folder.name) / "events.db"), waiting)


_folder = tempfile.TemporaryDirectory()


# ---- LaunchDarkly ----


def _launchdarkly(**options: Any) -> Any:
    import ldclient
    from ldclient.config import Config

    nowhere = {name: _silent_address() for name in ("base_uri", "events_uri", "stream_uri")}
    options = {**nowhere, "diagnostic_opt_out": True, "flush_interval": NEVER, **options}
    return ldclient.LDClient(Config("key", **options))


def _launchdarkly_flags(count: str) -> Any:
    from ldclient.integrations import Files

    halves = [{"variation": number, "weight": 50_000} for number in range(2)]
    flags = {
        key: {
            "key": key,
            "on": True,
            "version": 1,
            "salt": key,
            "variations": ["a", "b"],
            "fallthrough": {"rollout": {"variations": halves}},
        }
        for key in _keys_of_all(count)
    }
    file = Path(_folder.name) / "flags.json"
    file.write_text(json.dumps({"flags": flags}), "utf-8")
    source = Files.new_data_source(paths=[str(file)])
    return _launchdarkly(update_processor_class=source, send_events=False)


def launchdarkly_read(count: str) -> Timed:
    from ldclient import Context

    client, user = _launchdarkly_flags(count), Context.create("learner-1")
    return _checked(functools.partial(client.variation, "t0", user, None))


def launchdarkly_page(count: str) -> Timed:
    from ldclient import Context

    client, keys = _launchdarkly_flags(count), _keys(count)

    def page(user: str) -> list[Any]:
        context = Context.create(user)
        return [client.variation(key, context, None) for key in keys]

    return _pages(page)


def launchdarkly_event(waiting: str) -> Timed:
    from ldclient import Context
    from ldclient.integrations.test_data import TestData

    source = TestData.data_source()
    client = _launchdarkly(update_processor_class=source, events_max_pending=10**7)
    contexts = {user: Context.create(user) for user in _users()}

    def hand_over(user: str) -> object:
        return client.track("totalTimeSeconds", contexts[user], data=None, metric_value=95)

    return _events(hand_over, waiting)


# ---- GrowthBook ----


def _growthbook_features(count: str) -> dict[str, Any]:
    return {
        key: {"defaultValue": "a", "rules": [{"variations": ["a", "b"], "weights": [0.5, 0.5]}]}
        for key in _keys_of_all(count)
    }


def growthbook_read(count: str) -> Timed:
    from growthbook import GrowthBook

    user = GrowthBook(attributes={"id": "learner-1"}, features=_growthbook_features(count))
    return _checked(functools.partial(user.get_feature_value, "t0", None))


def growthbook_page(count: str) -> Timed:
    from growthbook import GrowthBook

    features, keys = _growthbook_features(count), _keys(count)

    def page(user: str) -> list[Any]:
        client = GrowthBook(attributes={"id": user}, features=features)
        found = [client.get_feature_value(key, None) for key in keys]
        client.destroy()
        return found

    return _pages(page)


def growthbook_event(waiting: str) -> Timed:
    from growthbook import GrowthBook
    from growthbook.plugins import growthbook_tracking_plugin

    plugin = growthbook_tracking_plugin(
        ingestor_host=_silent_address(), batch_size=10**7, batch_timeout=NEVER
    )
    client = GrowthBook(client_key="key", plugins=[plugin])

    def hand_over(user: str) -> None:
        client.set_attributes({"id": user})
        client.log_event("lesson finished", {"totalTimeSeconds": 95})

    return _events(hand_over, waiting)


# ---- PostHog ----


def _posthog(count: str = "0", **options: Any) -> Any:
    import posthog

    variants = [{"key": key, "rollout_percentage": 50} for key in ("a", "b")]
    filters = {
        "groups": [{"properties": [], "rollout_percentage": 100}],
        "multivariate": {"variants": variants},
    }
    client = posthog.Posthog("key", host=_silent_address(), timeout=NEVER, **options)
    client.feature_flags = [
        {"key": key, "active": True, "filters": filters} for key in _keys_of_all(count)
    ]
    return client


def posthog_read(count: str) -> Timed:
    client = _posthog(count, send=False)
    flags = client.evaluate_flags("learner-1", only_evaluate_locally=True)
    return _checked(functools.partial(flags.get_flag, "t0", send_feature_flag_events=False))


def posthog_page(count: str) -> Timed:
    client, keys = _posthog(count, send=False), _keys(count)

    def page(user: str) -> list[Any]:
        flags = client.evaluate_flags(user, only_evaluate_locally=True, flag_keys=keys)
        return [flags.get_flag(key, send_feature_flag_events=False) for key in keys]

    return _pages(page)


def posthog_event(waiting: str) -> Timed:
    client = _posthog(max_queue_size=10**7)

    def hand_over(user: str) -> object:
        properties = {"totalTimeSeconds": 95}
        return client.capture("lesson finished", distinct_id=user, properties=properties)

    return _events(hand_over, waiting)
