"""UpGrade in applications of Flask, by Flask's own test client."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Callable

import pytest
from flask import Flask, render_template_string, request

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.integrations.flask import Upgrade
from upgrade_client_lib.testing import LocalUpgrade

ROOT = Path(__file__).parent.parent.parent
SIGNED_IN = {"student": "student-1"}

TEMPLATE = """\
{%- set banner = decision("home", "banner", default="control") -%}
{%- set board = decision("class", "board") -%}
{{ banner.condition }}, {{ board.condition or "none" }},
{%- if flag("new-dashboard") %} new{% else %} old{% endif %}
{%- if flag("dark-mode", default=True) %} dark{% endif %}"""


@pytest.fixture
def local() -> LocalUpgrade:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["treatment"])
    local.experiment("class", "board", conditions=["shown"], unit="group", group_type="class")
    local.flag("new-dashboard", include={"class": ["class-1"]})
    return local


@pytest.fixture
def connect(local: LocalUpgrade) -> Callable[[], UpgradeConnection]:
    return lambda: UpgradeConnection("http://upgrade.local", transport=local.transport, retries=0)


def student() -> str | None:
    return request.headers.get("student")


def upgrade_of(connect: Callable[[], UpgradeConnection]) -> Upgrade:
    return Upgrade(
        "my-app",
        user=student,
        group=lambda: {"class": ["class-1"]},
        working_group=lambda: {"class": "class-1"},
        connect=connect,
    )


def flask_app(upgrade: Upgrade) -> Flask:
    app = Flask(__name__)
    upgrade.init_app(app)
    pages: dict[str, Callable[[], Any]] = {
        "/": lambda: upgrade.client.decide_sync("home", "banner", default="control").condition,
        "/who": lambda: upgrade.client.user_id,
        "/maybe": lambda: {"signed in": upgrade.client_or_none is not None},
        "/same": lambda: {"same": upgrade.client is upgrade.client_or_none},
        "/template": lambda: render_template_string(TEMPLATE),
        "/health": upgrade.health,
    }
    for path, view in pages.items():
        app.add_url_rule(path, path, view)
    return app


def test_a_page_decides_for_the_user_who_asks_for_it(
    connect: Callable[[], UpgradeConnection], local: LocalUpgrade
) -> None:
    browser = flask_app(upgrade_of(connect)).test_client()
    assert browser.get("/", headers=SIGNED_IN).text == "treatment"
    assert [request.endpoint for request in local.requests] == ["assign", "init", "assign"]


def test_without_groups_nobody_is_made_known(
    connect: Callable[[], UpgradeConnection], local: LocalUpgrade
) -> None:
    app = flask_app(Upgrade("my-app", user=student, connect=connect))
    assert app.test_client().get("/", headers=SIGNED_IN).text == "control"
    assert {request.endpoint for request in local.requests} == {"assign"}


def test_where_nobody_has_signed_in_nothing_is_sent(
    connect: Callable[[], UpgradeConnection], local: LocalUpgrade
) -> None:
    browser = flask_app(upgrade_of(connect)).test_client()
    assert browser.get("/").status_code == 401
    assert browser.get("/maybe").json == {"signed in": False}
    assert browser.get("/maybe", headers=SIGNED_IN).json == {"signed in": True}
    assert browser.get("/template").text == "control, none, old dark"
    assert local.requests == ()


def test_a_request_has_one_client_and_the_next_has_another(
    connect: Callable[[], UpgradeConnection],
) -> None:
    upgrade = upgrade_of(connect)
    app = flask_app(upgrade)
    assert app.test_client().get("/same", headers=SIGNED_IN).json == {"same": True}
    with app.test_request_context(headers=SIGNED_IN):
        first = upgrade.client
    with app.test_request_context(headers=SIGNED_IN):
        assert upgrade.client is not first


@pytest.mark.parametrize("context", ["app_context", "test_request_context"])
def test_requests_within_another_context_have_their_own_users(
    connect: Callable[[], UpgradeConnection], local: LocalUpgrade, context: str
) -> None:
    app = flask_app(upgrade_of(connect))
    browser = app.test_client()
    with getattr(app, context)():
        assert browser.get("/maybe").json == {"signed in": False}
        assert browser.get("/who", headers={"student": "student-1"}).text == "student-1"
        assert browser.get("/who", headers={"student": "student-2"}).text == "student-2"
        assert browser.get("/who").status_code == 401


def test_after_a_sign_in_a_request_has_the_client_of_its_new_user(
    connect: Callable[[], UpgradeConnection],
) -> None:
    user: list[str | None] = [None, "ann", "ann", "bob", None]
    upgrade = Upgrade("my-app", user=lambda: user.pop(0), connect=connect)
    app = Flask(__name__)
    upgrade.init_app(app)
    with app.test_request_context():
        clients = [upgrade.client_or_none for _ in range(5)]
    assert [client and client.user_id for client in clients] == [None, "ann", "ann", "bob", None]
    assert clients[1] is clients[2]


def test_outside_of_a_request_the_client_is_that_of_the_present_user(
    connect: Callable[[], UpgradeConnection],
) -> None:
    users = iter(["student-1", None, "student-2"])
    upgrade = Upgrade("my-app", user=lambda: next(users), connect=connect)
    with flask_app(upgrade).app_context():
        assert upgrade.client.user_id == "student-1"
        assert upgrade.client_or_none is None
        assert upgrade.client.user_id == "student-2"


def test_templates_decide(connect: Callable[[], UpgradeConnection], local: LocalUpgrade) -> None:
    browser = flask_app(upgrade_of(connect)).test_client()
    assert browser.get("/template", headers=SIGNED_IN).text == "treatment, shown, new"
    endpoints = [request.endpoint for request in local.requests]
    assert (endpoints.count("assign"), endpoints.count("featureflag")) == (2, 1)


def test_templates_show_decisions_as_text(connect: Callable[[], UpgradeConnection]) -> None:
    app = flask_app(upgrade_of(connect))
    text = '{{ decision("home", "banner", default="<b>") }} {{ flag("new-dashboard") }}'
    for headers, shown in ((SIGNED_IN, "treatment True"), ({}, "&lt;b&gt; False")):
        with app.test_request_context(headers=headers):
            assert render_template_string(text) == shown


@pytest.mark.parametrize("headers", [SIGNED_IN, {}])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('decision("")', "site must not be empty"),
        ("decision(7)", "site must be a string, not int"),
        ('decision("home", 7)', "target must be a string, not int"),
        ('decision("home", default=none)', "default must be a string, not NoneType"),
        ('flag("")', "key must not be empty"),
        ('flag("new-dashboard", default="on")', "default must be True or False, not str"),
    ],
)
def test_wrong_arguments_of_a_template_raise_for_anybody(
    connect: Callable[[], UpgradeConnection], headers: dict[str, str], text: str, problem: str
) -> None:
    app = flask_app(upgrade_of(connect))
    with (
        app.test_request_context(headers=headers),
        pytest.raises((TypeError, ValueError), match=f"^{problem}$"),
    ):
        render_template_string("{{ " + text + " }}")


def test_during_an_outage_a_template_has_the_defaults(
    connect: Callable[[], UpgradeConnection], local: LocalUpgrade
) -> None:
    local.down()
    browser = flask_app(upgrade_of(connect)).test_client()
    assert browser.get("/template", headers=SIGNED_IN).text == "control, none, old dark"


def test_the_health_check_tells_of_an_outage_and_sends_nothing(
    connect: Callable[[], UpgradeConnection], local: LocalUpgrade
) -> None:
    browser = flask_app(upgrade_of(connect)).test_client()
    assert browser.get("/health").json == {"upgrade": "ok"}
    assert local.requests == ()
    local.down()
    for _ in range(5):
        browser.get("/", headers=SIGNED_IN)
    health = browser.get("/health")
    assert (health.status_code, health.json) == (200, {"upgrade": "unreachable"})


def test_applications_have_their_own_connections(
    connect: Callable[[], UpgradeConnection],
) -> None:
    upgrade = upgrade_of(connect)
    one, other = flask_app(upgrade), Flask("other")
    upgrade.init_app(other)
    with one.app_context():
        first = upgrade.connection
    with other.app_context():
        assert upgrade.connection is not first


def test_an_application_that_is_given_again_keeps_its_connection(
    connect: Callable[[], UpgradeConnection],
) -> None:
    opened: list[UpgradeConnection] = []

    def connect_and_tell() -> UpgradeConnection:
        opened.append(connect())
        return opened[-1]

    upgrade = upgrade_of(connect_and_tell)
    app = flask_app(upgrade)
    upgrade.init_app(app)
    with app.app_context():
        assert [upgrade.connection] == opened


def test_an_application_has_one_upgrade(connect: Callable[[], UpgradeConnection]) -> None:
    first, second = upgrade_of(connect), upgrade_of(connect)
    app = flask_app(first)
    with pytest.raises(RuntimeError, match="this application has an Upgrade already"):
        second.init_app(app)
    assert app.test_client().get("/template", headers=SIGNED_IN).text == "treatment, shown, new"
    with app.app_context():
        assert first.connection.host_url == "http://upgrade.local"
        with pytest.raises(RuntimeError, match=r"call upgrade.init_app\(app\)"):
            _ = second.connection


def test_an_application_that_is_gone_leaves_its_connection_closed(
    connect: Callable[[], UpgradeConnection],
) -> None:
    upgrade = upgrade_of(connect)
    app = Flask("short-lived")
    upgrade.init_app(app)
    with app.app_context():
        connection = upgrade.connection
    del app
    gc.collect()
    with pytest.raises(RuntimeError, match="closed"):
        connection.client("student-1", "my-app").init_sync()


def test_an_application_without_upgrade_says_so(connect: Callable[[], UpgradeConnection]) -> None:
    upgrade = upgrade_of(connect)
    with (
        Flask("other").app_context(),
        pytest.raises(RuntimeError, match=r"call upgrade.init_app\(app\)"),
    ):
        _ = upgrade.connection


def test_the_application_may_be_given_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPGRADE_HOST_URL", "http://upgrade.example.org")
    app = Flask(__name__)
    upgrade = Upgrade("my-app", app, user=student)
    with app.app_context():
        assert upgrade.connection.host_url == "http://upgrade.example.org"


def test_a_process_that_ends_closes_the_connection() -> None:
    program = """
        from flask import Flask
        from upgrade_client_lib import UpgradeConnection
        from upgrade_client_lib.integrations.flask import Upgrade

        class Told(UpgradeConnection):
            def close(self):
                print("closed")
                super().close()

        app = Flask("app")
        Upgrade("my-app", app, user=lambda: None, connect=lambda: Told("http://upgrade.local"))
        print("ends")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("ends\nclosed\n", "")
