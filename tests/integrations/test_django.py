"""UpGrade in a project of Django, by Django's own test client."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.template import Context, RequestContext, Template, engines
from django.template.engine import Engine
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.integrations.django import (
    __doc__ as documentation,
    aclient_of,
    client_of,
    connection,
    health,
)
from upgrade_client_lib.testing import LocalUpgrade

settings.configure(
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF=__name__,
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "builtins": ["upgrade_client_lib.integrations.django"],
                "context_processors": ["django.template.context_processors.request"],
            },
        }
    ],
)
django.setup()

SIGNED_IN: dict[str, Any] = {"HTTP_STUDENT": "student-1"}

TEMPLATE = """\
{% decision "home" "banner" default="control" as banner %}{{ banner.condition }}, \
{% decision "class" "board" as board %}{{ board.condition|default:"none" }}, \
{% flag "new-dashboard" as dashboard %}{% if dashboard %}new{% else %}old{% endif %}\
{% flag "dark-mode" default=True as dark %}{% if dark %} dark{% endif %}"""


# ---- The project ----


def student(request: HttpRequest) -> str | None:
    return request.headers.get("student")


def classes(request: HttpRequest) -> dict[str, list[str]]:
    return {"class": ["class-1"]}


def working_class(request: HttpRequest) -> dict[str, str]:
    return {"class": "class-1"}


def home(request: HttpRequest) -> HttpResponse:
    client = client_of(request)
    assert client_of(request) is client
    if client is None:
        return HttpResponse(status=401)
    return HttpResponse(client.decide_sync("home", "banner", default="control").condition)


async def home_async(request: HttpRequest) -> HttpResponse:
    client = await aclient_of(request)
    assert client is not None
    return HttpResponse((await client.decide("home", "banner", default="control")).condition)


def template(request: HttpRequest) -> HttpResponse:
    engine = Engine.get_default()
    context = {"request": request}
    return HttpResponse(engine.from_string(TEMPLATE).render(Context(context)))


urlpatterns = [
    path("", home),
    path("async", home_async),
    path("template", template),
    path("health", health),
]


@pytest.fixture
def local() -> LocalUpgrade:
    local = LocalUpgrade()
    local.experiment("home", "banner", conditions=["treatment"])
    local.experiment("class", "board", conditions=["shown"], unit="group", group_type="class")
    local.flag("new-dashboard", include={"class": ["class-1"]})
    return local


@pytest.fixture(autouse=True)
def configured(local: LocalUpgrade) -> Iterator[dict[str, Any]]:
    setting = {
        "CONTEXT": "my-app",
        "USER": f"{__name__}.student",
        "GROUP": classes,
        "WORKING_GROUP": f"{__name__}.working_class",
        "CONNECT": lambda: UpgradeConnection(
            "http://upgrade.local", transport=local.transport, retries=0
        ),
    }
    with override_settings(UPGRADE=setting, ROOT_URLCONF=__name__):
        yield setting


# ---- Pages ----


def test_a_page_decides_for_the_user_who_asks_for_it(local: LocalUpgrade) -> None:
    assert Client().get("/", **SIGNED_IN).content == b"treatment"
    assert [request.endpoint for request in local.requests] == ["assign", "init", "assign"]


def test_an_async_view_decides(local: LocalUpgrade) -> None:
    async def visit() -> bytes:
        response: Any = await AsyncClient().get("/async", headers={"student": "student-1"})
        content: bytes = response.content
        return content

    assert asyncio.run(visit()) == b"treatment"


def test_where_nobody_has_signed_in_nothing_is_sent(local: LocalUpgrade) -> None:
    assert Client().get("/").status_code == 401
    assert Client().get("/template").content == b"control, none, old dark"
    assert local.requests == ()


def test_the_view_of_the_documentation_serves_everybody() -> None:
    assert documentation is not None
    code = documentation.split("In a view::")[1].split("In a template::")[0]
    module: dict[str, Any] = {}
    exec(textwrap.dedent(code), module)
    view = module["home"]
    assert view(RequestFactory().get("/", **SIGNED_IN)).content == b"treatment"
    assert view(RequestFactory().get("/")).status_code == 401


def test_templates_decide(local: LocalUpgrade) -> None:
    assert Client().get("/template", **SIGNED_IN).content == b"treatment, shown, new"
    endpoints = [request.endpoint for request in local.requests]
    assert (endpoints.count("assign"), endpoints.count("featureflag")) == (2, 1)


def test_a_rendered_template_has_its_request_from_the_context_processor() -> None:
    request = RequestFactory().get("/", **SIGNED_IN)
    engine = Engine.get_default()
    text = '{% flag "new-dashboard" as new %}{{ new.enabled }}'
    context = RequestContext(request)
    assert engine.from_string(text).render(context) == "True"


TEMPLATES = {
    "banner.html": '{% decision "home" "banner" %}',
    "page.html": '{% include "banner.html" only %}',
}


def test_an_included_template_without_the_variables_decides_too() -> None:
    request = RequestFactory().get("/", **SIGNED_IN)
    engine = Engine(
        builtins=["upgrade_client_lib.integrations.django"],
        context_processors=["django.template.context_processors.request"],
        loaders=[("django.template.loaders.locmem.Loader", TEMPLATES)],
    )
    assert engine.get_template("page.html").render(RequestContext(request)) == "treatment"


def test_a_template_decides_where_a_variable_is_named_request() -> None:
    page = engines["django"].from_string('{% decision "home" "banner" %}, {{ request }}')
    request = RequestFactory().get("/", **SIGNED_IN)
    assert page.render({"request": "of a friend"}, request) == "treatment, of a friend"


def shown(text: str, **headers: Any) -> str:
    """Render a template for a request."""
    context = Context({"request": RequestFactory().get("/", **headers)})
    return Engine.get_default().from_string(text).render(context)


def test_templates_show_decisions_as_text() -> None:
    text = '{% decision "home" "banner" default="<b>" %} {% flag "new-dashboard" %}'
    assert shown(text, **SIGNED_IN) == "treatment True"
    assert shown(text) == "&lt;b&gt; False"


def test_templates_that_do_not_escape_show_decisions_as_text_too() -> None:
    text = '{% decision "home" "banner" default="<b>" %} {% flag "new-dashboard" %}'
    text = "{% autoescape off %}" + text + "{% endautoescape %}"
    assert shown(text, **SIGNED_IN) == "treatment True"
    assert shown(text) == "<b> False"


def test_a_default_in_a_template_may_be_translated() -> None:
    text = '{% decision "away" default=_("control") %}'
    assert shown(text, **SIGNED_IN) == "control"
    assert shown(text) == "control"


@pytest.mark.parametrize("headers", [SIGNED_IN, {}])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("decision missing", "site must not be empty"),
        ("decision 7", "site must be a string, not int"),
        ('decision "home" 7', "target must be a string, not int"),
        ('decision "home" default=None', "default must be a string, not NoneType"),
        ("flag missing", "key must not be empty"),
        ('flag "new-dashboard" default="on"', "default must be True or False, not"),
    ],
)
def test_wrong_arguments_of_a_tag_raise_for_anybody(
    headers: dict[str, str], text: str, problem: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{problem}"):
        shown("{% " + text + " %}", **headers)


def test_during_an_outage_a_template_has_the_defaults(local: LocalUpgrade) -> None:
    local.down()
    assert Client().get("/template", **SIGNED_IN).content == b"control, none, old dark"


def test_the_health_check_tells_of_an_outage_and_sends_nothing(local: LocalUpgrade) -> None:
    assert Client().get("/health").json() == {"upgrade": "ok"}
    assert local.requests == ()
    local.down()
    for _ in range(5):
        Client().get("/", **SIGNED_IN)
    response = Client().get("/health")
    assert (response.status_code, response.json()) == (200, {"upgrade": "unreachable"})


# ---- Settings ----


class SignedIn:
    """A user as Django's authentication has them."""

    def __init__(self, pk: int | None) -> None:
        self.pk = pk
        self.is_authenticated = pk is not None


@pytest.mark.parametrize(("pk", "user_id"), [(7, "7"), (None, None)])
def test_the_user_is_the_one_who_has_signed_in_by_default(
    configured: dict[str, Any], pk: int | None, user_id: str | None
) -> None:
    with override_settings(UPGRADE={"CONTEXT": "my-app", "CONNECT": configured["CONNECT"]}):
        request: Any = RequestFactory().get("/")
        request.user = SignedIn(pk)
        client = client_of(request)
        assert (None if client is None else client.user_id) == user_id


def test_who_signs_in_or_out_during_a_request_is_the_present_user(
    configured: dict[str, Any],
) -> None:
    with override_settings(UPGRADE={"CONTEXT": "my-app", "CONNECT": configured["CONNECT"]}):
        request: Any = RequestFactory().get("/")
        seen: list[str | None] = []
        for pk in (None, 7, 8, None):
            request.user = SignedIn(pk)  # as login() and logout() do
            for client in (client_of(request), asyncio.run(aclient_of(request))):
                assert client is client_of(request)
                seen.append(None if client is None else client.user_id)
    assert seen == [None, None, "7", "7", "8", "8", None, None]


def test_without_authentication_it_says_what_to_set() -> None:
    with (
        override_settings(UPGRADE={"CONTEXT": "my-app"}),
        pytest.raises(ImproperlyConfigured, match=r"AuthenticationMiddleware before .* or set"),
    ):
        client_of(RequestFactory().get("/"))


def test_a_template_without_a_request_says_what_to_set() -> None:
    rendered = Template('{% flag "new-dashboard" as new %}')
    with pytest.raises(ImproperlyConfigured, match=r"no request: render it with one"):
        rendered.render(Context())


@pytest.mark.parametrize(
    "setting", [None, "my-app", {}, {"CONTEXT": ""}, {"CONTEXT": "my-app", "GROUPS": classes}]
)
def test_a_wrong_setting_is_named(setting: object) -> None:
    with (
        override_settings(UPGRADE=setting),
        pytest.raises(ImproperlyConfigured, match="the setting UPGRADE must be"),
    ):
        connection()


NO_FUNCTION = f"{__name__}.TEMPLATE"


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("CONTEXT", 5, "must be a string, not 5"),
        *(
            (key, value, problem)
            for key in ("USER", "GROUP", "WORKING_GROUP", "CONNECT")
            for value, problem in (
                (5, "must be a function or its dotted path, not 5"),
                (NO_FUNCTION, f"must be a function or its dotted path, not {NO_FUNCTION!r}"),
                ("absent.function", "cannot be imported: No module named 'absent'"),
                (f"{__name__}.absent", 'cannot be imported: .* does not define a "absent"'),
                ("", "cannot be imported: "),
                (".student", "cannot be imported: "),
                ("..student", "cannot be imported: "),
            )
        ),
        ("CONNECT", lambda: None, "must return an UpgradeConnection, not None"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(
    configured: dict[str, Any], key: str, value: object, problem: str
) -> None:
    with (
        override_settings(UPGRADE={**configured, key: value}),
        pytest.raises(ImproperlyConfigured, match=f'^"{key}" in the setting UPGRADE {problem}'),
    ):
        connection()


def test_a_process_has_one_connection_and_a_changed_setting_another(
    configured: dict[str, Any],
) -> None:
    first = connection()
    assert connection() is first
    with override_settings(DEBUG=False):
        assert connection() is first
    with override_settings(UPGRADE=configured):
        other = connection()
        assert other is not first
    with pytest.raises(RuntimeError, match="closed"):
        first.client("student-1", "my-app").init_sync()


def test_the_connection_is_made_from_the_environment_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UPGRADE_HOST_URL", "http://upgrade.example.org")
    with override_settings(UPGRADE={"CONTEXT": "my-app"}):
        assert connection().host_url == "http://upgrade.example.org"
