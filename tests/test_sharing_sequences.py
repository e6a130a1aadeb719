"""Sequences of several workers' calls run against any server, and tell what differs."""

from __future__ import annotations

import logging

import httpx
import pytest

from tests import support_sharing_sequences
from tests.stores.support_stores import memory
from tests.support_clock import MARGIN, taking
from tests.support_redis import RedisServer
from tests.support_server import client_of
from tests.support_sharing_sequences import Forwarding, main, run_sequences
from tests.testing.support_recorded import recorded_server
from upgrade_client_lib import UpgradeApiError, _store_access
from upgrade_client_lib._user import sharing
from upgrade_client_lib.stores import sqlite_connections


def test_each_store_stays_in_step_with_a_server_behind_an_address(
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sharing, "RECHECK_SECONDS", sharing.RECHECK_SECONDS)
    monkeypatch.setattr(_store_access, "SLOW_SECONDS", 60.0)  # on a busy machine
    monkeypatch.setattr(sqlite_connections, "BUSY_SECONDS", 60.0)
    caplog.set_level(logging.ERROR, "upgrade_client_lib")
    with recorded_server().serve() as url:
        main(url, "--sequences", "6", "--steps", "5", "--rotation", "decision_point")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["memory", "sqlite", "redis"]
    assert all(line.endswith("no difference") for line in printed)


def test_requests_for_flags_are_sent_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    # A 6.5 server ends where two of them overlap.
    monkeypatch.setattr(support_sharing_sequences, "FLAGS_APART", 0.05)
    with recorded_server().serve() as url, taking(0.05, 0.05 + MARGIN):
        forwarding = Forwarding(url)
        client = client_of(forwarding)
        for _ in range(2):
            with pytest.raises(UpgradeApiError):  # nobody knows the context
                client.get_all_feature_flags_sync(ignore_cache=True)
        forwarding.close()


class Forgetful(httpx.BaseTransport):
    """A server that assigns nothing each second time."""

    def __init__(self, behind: httpx.BaseTransport) -> None:
        self._behind = behind
        self._assigned = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/assign"):
            self._assigned += 1
            if self._assigned % 2 == 0:
                return httpx.Response(200, json=[])
        return self._behind.handle_request(request)


def test_a_difference_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "RECHECK_SECONDS", 0.0)
    with recorded_server().serve() as url:
        forgetful = Forgetful(Forwarding(url))
        with pytest.raises(AssertionError):
            run_sequences(forgetful, memory(), "auto", 20, 20)
