"""A blocking call never waits for anything but what its face offers."""

from __future__ import annotations

import asyncio

import pytest

from upgrade_client_lib._faces import run


def test_an_operation_that_awaits_something_else_is_a_mistake_of_ours_and_said_to_be() -> None:
    with pytest.raises(AssertionError, match="awaited something that its face does not offer"):
        run(asyncio.sleep(0))
