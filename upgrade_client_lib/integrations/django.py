"""Django: the client of a request's user, and decisions in templates.

In the settings::

    UPGRADE = {"CONTEXT": "my-app", "GROUP": "school.upgrade.classes_of"}
    TEMPLATES = [
        {
            ...,
            "OPTIONS": {
                "builtins": ["upgrade_client_lib.integrations.django"],
                "context_processors": ["django.template.context_processors.request"],
            },
        }
    ]

In a view::

    from django.http import HttpResponse

    from upgrade_client_lib.integrations.django import client_of


    def home(request):
        client = client_of(request)
        if client is None:  # nobody has signed in
            return HttpResponse(status=401)
        banner = client.decide_sync("home", "banner", default="control")
        return HttpResponse(banner.condition)

In a template::

    {% decision "home" "banner" default="control" as banner %}
    {% if banner.condition == "treatment" %} ... {% endif %}
    {% flag "new-dashboard" as new_dashboard %}
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

import attrs

from .._fork import call_after_fork
from .._narrow import mapping_or_none
from ..client import UpgradeClient
from ..connection import UpgradeConnection
from ..decision import Decision, FlagDecision
from ._decisions import undecided, undecided_flag
from ._health import health_of

try:
    from asgiref.sync import sync_to_async
    from django import template
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.signals import setting_changed
    from django.http import HttpRequest, JsonResponse
    from django.utils.functional import Promise
    from django.utils.module_loading import import_string
except ImportError as error:
    raise ImportError(
        'this module needs the package django: pip install "upgrade-client-lib[django]"'
    ) from error

if TYPE_CHECKING:
    from django.template.base import Parser, Token

__all__ = ["aclient_of", "client_of", "connection", "health", "register"]

register = template.Library()
"""The template tags ``decision`` and ``flag``."""


def signed_in_user(request: HttpRequest) -> str | None:
    """Return the primary key of the request's user, as text; ``None`` for an anonymous one."""
    user: Any = getattr(request, "user", None)
    if user is None:
        raise ImproperlyConfigured(
            "the request has no user: put django.contrib.auth.middleware.AuthenticationMiddleware"
            ' before what asks for it in MIDDLEWARE, or set "USER" in the setting UPGRADE'
        )
    return str(user.pk) if user.is_authenticated else None


@attrs.frozen
class _Settings:
    """The setting ``UPGRADE``."""

    context: str
    user: Callable[[HttpRequest], str | None]
    group: Callable[[HttpRequest], Mapping[str, Sequence[str]] | None] | None
    working_group: Callable[[HttpRequest], Mapping[str, str] | None] | None
    connect: Callable[[], object]


@attrs.define
class _Process:
    """What this process has of UpGrade, once it was needed."""

    lock: threading.RLock = attrs.field(factory=threading.RLock)
    settings: _Settings | None = None
    connection: UpgradeConnection | None = None

    def close(self) -> None:
        connection, self.connection, self.settings = self.connection, None, None
        if connection is not None:
            connection.close()

    def renew_lock(self) -> None:
        self.lock = threading.RLock()


_process = _Process()

_CLIENT = "_upgrade_client"
"""The attribute of a request that keeps its client."""


def connection() -> UpgradeConnection:
    """Return the connection of this process, which is made at first and closed at its end.

    It holds across forks, so it may be used before a server forks its workers.
    """
    with _process.lock:
        if _process.connection is None:
            made = _settings().connect()
            if not isinstance(made, UpgradeConnection):
                raise _improper("CONNECT", f"must return an UpgradeConnection, not {made!r}")
            _process.connection = made
        return _process.connection


def client_of(request: HttpRequest) -> UpgradeClient | None:
    """Return the client of the request's user; ``None`` where nobody has signed in.

    It is made once for each request, so a template finds what the view has asked for already; and
    anew for another user, after ``login()`` in a view.
    """
    wanted = _settings()
    user_id = wanted.user(request)
    if user_id is None:
        return None
    client: UpgradeClient | None = vars(request).get(_CLIENT)
    if client is None or client.user_id != user_id:
        client = vars(request)[_CLIENT] = connection().client(
            user_id,
            wanted.context,
            group=None if wanted.group is None else wanted.group(request),
            working_group=None if wanted.working_group is None else wanted.working_group(request),
        )
    return client


async def aclient_of(request: HttpRequest) -> UpgradeClient | None:
    """Return the same in an async view, where to read the user from the database may block."""
    client: UpgradeClient | None = await sync_to_async(client_of)(request)
    return client


def health(request: HttpRequest) -> JsonResponse:
    """Respond with ``{"upgrade": "ok"}``, or ``"unreachable"`` while the server is away.

    A view for ``path("health", health)``. The status is 200 in either case, since pages come
    without UpGrade too. It sends nothing: it tells what the last calls of this process saw.
    """
    return JsonResponse(health_of(connection()))


@register.simple_tag(takes_context=True)
def decision(
    context: Mapping[str, Any], site: str, target: str = "", default: str = ""
) -> Decision:
    """Decide, blocking, as ``{% decision "home" "banner" default="control" as banner %}``."""
    if isinstance(default, Promise):  # as _("control") is, which is translated once it is shown
        default = str(default)
    client = client_of(_request(context))
    if client is None:
        return undecided(_settings().context, site, target, default)
    return client.decide_sync(site, target, default=default)


@register.simple_tag(takes_context=True)
def flag(context: Mapping[str, Any], key: str, default: bool = False) -> FlagDecision:
    """Decide about a flag, blocking, as ``{% flag "new-dashboard" as new_dashboard %}``."""
    client = client_of(_request(context))
    if client is None:
        return undecided_flag(_settings().context, key, default)
    return client.decide_flag_sync(key, default=default)


def _shown_as_text(tag: str) -> None:
    """Have a tag without ``as`` be text also where templates do not escape, as Django wants it."""
    compile_tag = register.tags[tag]

    def compile_to_text(parser: Parser, token: Token) -> template.Node:
        return _Text(compile_tag(parser, token))

    register.tag(tag, compile_to_text)


class _Text(template.Node):
    """What another node renders, as text."""

    def __init__(self, node: template.Node) -> None:
        self.node = node

    def render(self, context: template.Context) -> str:
        return str(self.node.render(context))


_shown_as_text("decision")
_shown_as_text("flag")


def _request(context: Mapping[str, Any]) -> HttpRequest:
    # What a template is rendered with also goes into {% include ... only %}, which variables do
    # not, and a view may have a variable of this name for something else.
    request: HttpRequest | None = getattr(context, "request", None)
    if request is None:
        request = context.get("request")
    if request is None:
        raise ImproperlyConfigured(
            "the template has no request: render it with one, as render(request, ...) does"
        )
    return request


def _settings() -> _Settings:
    found = _process.settings
    if found is None:
        found = _process.settings = _read(getattr(settings, "UPGRADE", None))
    return found


def _read(setting: object) -> _Settings:
    """Return the settings, with what they name imported."""
    given = mapping_or_none(setting)
    known = ("CONTEXT", "USER", "GROUP", "WORKING_GROUP", "CONNECT")
    if given is None or not given.get("CONTEXT") or not set(given) <= set(known):
        raise ImproperlyConfigured(
            'the setting UPGRADE must be a dictionary with "CONTEXT", as in {"CONTEXT": "my-app"},'
            ' and perhaps "USER", "GROUP", "WORKING_GROUP" and "CONNECT"'
        )
    context = given["CONTEXT"]
    if not isinstance(context, str):
        raise _improper("CONTEXT", f"must be a string, not {context!r}")
    user, group, working_group, connect = (_function(name, given.get(name)) for name in known[1:])
    return _Settings(
        context,
        user or signed_in_user,
        group,
        working_group,
        connect or UpgradeConnection.from_env,
    )


def _function(name: str, given: Any) -> Callable[..., Any] | None:
    """Return a function that is given itself, or by its dotted path; ``None`` for none."""
    if given is None:
        return None
    try:
        function: Any = import_string(given) if isinstance(given, str) else given
    except (ImportError, TypeError, ValueError) as error:  # the last two, of a path such as ".name"
        raise _improper(name, f"cannot be imported: {error}") from error
    if not callable(function):
        raise _improper(name, f"must be a function or its dotted path, not {given!r}")
    found: Callable[..., Any] = function
    return found


def _improper(name: str, problem: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f'"{name}" in the setting UPGRADE {problem}')


def _reset(*, setting: str, **_: object) -> None:
    """When a test overrides the setting: the next one who asks reads it anew."""
    if setting == "UPGRADE":
        _process.close()


setting_changed.connect(_reset)
atexit.register(_process.close)
call_after_fork(_process.renew_lock)
