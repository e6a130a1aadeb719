"""Which requests the page answers, and whom."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from .._http import Api, RequestHead, Response
from . import content, faults
from .markup import element
from .style import STYLE_HASH

_SECURITY = [
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
]


class Page:
    """The page at ``/``, which shows what a server has and did, and switches faults.

    It is for browsers on this machine alone: another one is told that there is no such page. A
    name in ``Host`` that is not this machine's is refused, since a page elsewhere may have had it
    lead here; and so is a change that another page asks for.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def respond(self, head: RequestHead, body: bytes, peer: str) -> Response | None:
        """Return the response to a request of the page; ``None`` where it is another's."""
        path, _, query = head.path.partition("?")
        route = ("GET" if head.method == "HEAD" else head.method, path)
        if route not in _ROUTES or not _is_loopback(peer):
            return None
        host = head.headers.get("host", "")
        if not _is_loopback(_name_of(host)):
            return _refused(f"this page is at a name of this machine, and not at {host!r}")
        if route[0] == "GET":
            return _shown(content.page(self._api, _fields(query).get("user")))
        if head.headers.get("origin") != f"http://{host}":
            return _refused("only this page itself may change something here")
        return self._change(path, _fields(body.decode("utf-8", "replace")))

    def _change(self, path: str, fields: Mapping[str, str]) -> Response:
        if path == "/faults/off":
            faults.switch_off(self._api)
        else:
            try:
                faults.switch_on(self._api, fields)
            except ValueError as error:
                return _problem(HTTPStatus.BAD_REQUEST, str(error))
        return Response(HTTPStatus.SEE_OTHER, [("Location", "/#faults")], b"")


_ROUTES = {("GET", "/"), ("POST", "/faults"), ("POST", "/faults/off")}


def _fields(text: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(text).items()}


def _name_of(host: str) -> str:
    """Return the name in a ``Host`` header; none where it is not one."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(why: str) -> Response:
    return _problem(HTTPStatus.FORBIDDEN, why)


def _problem(status: HTTPStatus, why: str) -> Response:
    back = element("a", "Back", href="/")
    return _shown(content.document(element("p", f"{why}.", class_="problem"), back), status)


def _shown(html: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    headers = [("Content-Type", "text/html; charset=utf-8"), *_SECURITY]
    return Response(status, headers, html.encode("utf-8", "replace"))
