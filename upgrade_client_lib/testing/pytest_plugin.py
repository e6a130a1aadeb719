"""Fixtures for tests of applications that use UpGrade. pytest finds them by itself.

``local_upgrade`` is a new :class:`LocalUpgrade` for each test, and ``upgrade_client`` an
initialised client of it. Both take markers:

>>> @pytest.mark.local_upgrade(server="6.7")
>>> @pytest.mark.upgrade_client(user_id="u1", group={"class": ["class-1"]})
>>> def test_banner(local_upgrade, upgrade_client):
...     local_upgrade.experiment("home", "banner", conditions=["control", "treatment"])
...     show_home(upgrade_client)
...     local_upgrade.assert_marked("home", "banner", user="u1")
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from upgrade_client_lib import UpgradeClient

    from .local import LocalUpgrade

_MARKERS = (
    "local_upgrade(server, contexts, token_secret, api_key, adaptive, strict): "
    "how to make the LocalUpgrade of the fixture local_upgrade",
    "upgrade_client(user_id, context, group, working_group, init, ...): "
    "whose client the fixture upgrade_client is; it calls init, unless init=False; "
    "what else UpgradeClient takes, such as rotation, is handed on to it",
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture
def local_upgrade(request: pytest.FixtureRequest) -> LocalUpgrade:
    """Return a new, empty LocalUpgrade, made with the arguments of the marker of this name."""
    from .local import LocalUpgrade

    return LocalUpgrade(**_arguments(request, "local_upgrade"))


@pytest.fixture
def upgrade_client(
    request: pytest.FixtureRequest, local_upgrade: LocalUpgrade
) -> Generator[UpgradeClient, None, None]:
    """Yield a client of ``local_upgrade``, after ``init``; it is closed when the test is over.

    It is of ``"user"`` in ``"my-app"``, without groups, and with a token where the server checks
    them, unless the marker of this name says otherwise. The marker takes ``user_id``, ``context``,
    ``group``, ``working_group``, ``init`` and what else ``UpgradeClient`` does. With
    ``init=False``, the groups are stated for the client, as by its own arguments.
    """
    client, init = _client(local_upgrade, **_arguments(request, "upgrade_client"))
    with client:
        if init is not None:
            client.init_sync(**init)
        yield client


def _client(
    local: LocalUpgrade,
    *,
    user_id: str = "user",
    context: str | None = None,
    group: Mapping[str, Sequence[str]] | None = None,
    working_group: Mapping[str, str] | None = None,
    init: bool = True,
    **options: Any,
) -> tuple[UpgradeClient, dict[str, Any] | None]:
    """Return a client, and the arguments for its ``init`` if that is wanted."""
    from upgrade_client_lib import UpgradeClient

    from .local import DEFAULT_CONTEXT

    context = DEFAULT_CONTEXT if context is None else context
    local.context(context)
    options.setdefault("token", local.token)
    groups: dict[str, Any] = {"group": group, "working_group": working_group}
    if not init:
        options.update(groups)
    client = UpgradeClient(
        user_id, "http://upgrade.local", context, transport=local.transport, **options
    )
    return client, groups if init else None


def _arguments(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    """Collect the arguments of the markers of this name; those nearest to the test win."""
    arguments: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers(name))):
        if marker.args:
            raise pytest.UsageError(f"the marker {name} takes keyword arguments only")
        arguments.update(marker.kwargs)
    return arguments
