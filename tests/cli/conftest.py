"""A served school, and the command for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.support_cli import Command
from upgrade_client_lib.testing import LocalUpgrade, sample_school


@pytest.fixture
def local() -> LocalUpgrade:
    return sample_school()


@pytest.fixture
def command(local: LocalUpgrade) -> Iterator[Command]:
    with local.serve() as url:
        yield Command(url)
