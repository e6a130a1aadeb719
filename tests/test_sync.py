"""A blocking call never waits for anything but what its backend offers."""

from __future__ import annotations

import asyncio

import pytest

from upgrade_client_lib._sync import run_sync


def test_an_operation_that_awaits_something_else_is_a_mistake_of_ours_and_said_to_be() -> None:
    with pytest.raises(AssertionError, match="awaited something that its backend does not offer"):
        run_sync(asyncio.sleep(0))
