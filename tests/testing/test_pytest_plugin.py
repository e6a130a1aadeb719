"""The fixtures that an application's tests get, run in tests of an application's own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade, pytest_plugin

pytest_plugins = ["pytester"]
PLUGIN = pytest_plugin.__name__
# A run forgets what it was the first to import; with these there is one httpx for all runs.
LOADED = (UpgradeClient, LocalUpgrade)


@pytest.fixture
def application(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder of tests with the plugin, whether or not this package is installed."""
    pytester.makeconftest(
        f"""
        import pytest

        def pytest_configure(config):
            if not config.pluginmanager.hasplugin("upgrade_client_lib"):
                config.pluginmanager.import_plugin("{PLUGIN}")
        """
    )
    return pytester


def test_each_test_gets_a_server_and_an_initialised_client(application: pytest.Pytester) -> None:
    application.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("run", [1, 2])
        def test_fresh(run, local_upgrade, upgrade_client):
            assert local_upgrade.experiments == ()
            assert [one.user for one in local_upgrade.requests] == ["user"]
            local_upgrade.experiment("home", "banner", conditions=["only"])
            assignment = upgrade_client.get_decision_point_assignment_sync("home", "banner")
            assignment.mark_decision_point_sync("condition applied")
            local_upgrade.assert_marked("home", "banner", user="user", condition="only")
        """
    )
    application.runpytest("--strict-markers").assert_outcomes(passed=2)


def test_markers_say_which_server_and_whose_client(application: pytest.Pytester) -> None:
    application.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.upgrade_client(user_id="module", context="other-app")

        @pytest.mark.local_upgrade(server="6.7", contexts=[])
        @pytest.mark.upgrade_client(
            user_id="u1", group={"class": ["c1"]}, working_group={"class": "c1"}
        )
        def test_marked(local_upgrade, upgrade_client):
            assert repr(local_upgrade).startswith("<LocalUpgrade 6.7.0")
            assert (upgrade_client.user_id, upgrade_client.context) == ("u1", "other-app")
            assert upgrade_client.get_all_experiment_conditions_sync() == []
            assert local_upgrade.requests[0].json == {
                "group": {"class": ["c1"]}, "workingGroup": {"class": "c1"}
            }

        @pytest.mark.upgrade_client(init=False)
        def test_not_initialised(local_upgrade, upgrade_client):
            assert upgrade_client.user_id == "module"
            assert local_upgrade.requests == ()
        """
    )
    application.runpytest("--strict-markers").assert_outcomes(passed=2)


def test_where_the_server_checks_tokens_the_client_has_one(application: pytest.Pytester) -> None:
    application.makepyfile(
        """
        import pytest
        from upgrade_client_lib import UpgradeApiError

        pytestmark = pytest.mark.local_upgrade(token_secret="secret", api_key="key")

        def test_good(local_upgrade, upgrade_client):
            assert [one.status for one in local_upgrade.requests] == [200]

        @pytest.mark.upgrade_client(token="bad", init=False)
        def test_bad(upgrade_client):
            with pytest.raises(UpgradeApiError) as raised:
                upgrade_client.init_sync()
            assert raised.value.status_code == 401
        """
    )
    application.runpytest("--strict-markers").assert_outcomes(passed=2)


def test_the_clients_own_arguments_are_handed_on(application: pytest.Pytester) -> None:
    application.makepyfile(
        """
        import pytest

        @pytest.mark.upgrade_client(
            init=False,
            rotation="experiment",
            groups_for_session={"class": ["c1"]},
            include_stored_user_groups=False,
        )
        def test_session_groups(local_upgrade, upgrade_client):
            local_upgrade.flag("of-class", include={"class": ["c1"]})
            assert upgrade_client.has_feature_flag_sync("of-class")
        """
    )
    application.runpytest("--strict-markers").assert_outcomes(passed=1)


def test_groups_are_stated_for_the_client_where_init_is_not_called(
    application: pytest.Pytester,
) -> None:
    application.makepyfile(
        """
        import pytest

        @pytest.mark.upgrade_client(
            init=False, group={"class": ["c1"]}, working_group={"class": "c1"}
        )
        def test_stated(local_upgrade, upgrade_client):
            assert local_upgrade.requests == ()
            assert upgrade_client.get_all_feature_flags_sync() == []
            inits = [one.json for one in local_upgrade.requests if one.endpoint == "init"]
            assert inits == [{"group": {"class": ["c1"]}, "workingGroup": {"class": "c1"}}]
        """
    )
    application.runpytest("--strict-markers").assert_outcomes(passed=1)


def test_a_conftest_may_fill_the_server(application: pytest.Pytester) -> None:
    application.makepyfile(
        """
        import pytest

        @pytest.fixture
        def local_upgrade(local_upgrade):
            local_upgrade.flag("new-dashboard")
            return local_upgrade

        def test_filled(upgrade_client):
            assert upgrade_client.has_feature_flag_sync("new-dashboard")
        """
    )
    application.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "complaint"),
    [
        ('upgrade_client("u1")', "the marker upgrade_client takes keyword arguments only"),
        ('upgrade_client(user="u1")', "unexpected keyword argument 'user'"),
        ('upgrade_client(rotation="x")', "rotation must be one of *, not 'x'"),
        ('local_upgrade(server="5")', "server '5' is not one of 6.5, 6.7"),
    ],
)
def test_a_marker_that_makes_no_sense_is_an_error_of_the_test(
    application: pytest.Pytester, marker: str, complaint: str
) -> None:
    application.makepyfile(
        f"""
        import pytest

        @pytest.mark.{marker}
        def test_marked(upgrade_client):
            pass
        """
    )
    result = application.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{complaint}*"])


def test_the_client_is_closed_after_the_test(application: pytest.Pytester) -> None:
    application.makepyfile(
        """
        kept = []

        def test_first(upgrade_client):
            kept.append(upgrade_client)

        def test_second():
            try:
                kept[0].init_sync()
            except RuntimeError:
                return
            assert False
        """
    )
    application.runpytest("-p", "no:randomly").assert_outcomes(passed=2)


def test_a_run_that_uses_no_fixture_loads_nothing_but_the_plugin() -> None:
    code = (
        f"import sys, {PLUGIN}; "
        "print(*(name for name in sys.modules "
        "if name == 'httpx' or name.startswith('upgrade_client_lib.testing.')))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == PLUGIN
