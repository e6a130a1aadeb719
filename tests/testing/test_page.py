"""The page that a served LocalUpgrade shows: what it says, and who may change something there."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from tests.support_clients import client_at
from upgrade_client_lib.testing import LocalUpgrade, sample_school
from upgrade_client_lib.testing._http import RequestHead
from upgrade_client_lib.testing._page import Page

VOID = {"meta", "input"}
NASTY = "<script>alert('\"&1')</script>"


class Checked(HTMLParser):
    """Wants each element closed where it belongs, and knows all that would lead elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def text_of(page: httpx.Response) -> str:
    parsed = Checked()
    parsed.feed(page.text)
    parsed.close()
    assert parsed.open == []
    assert not parsed.tags & {"script", "img", "link", "iframe", "object"}
    assert (
        not {name for name in parsed.attributes if name.startswith("on")}
        | {
            "style",
            "src",
        }
        & parsed.attributes
    )
    return re.sub(r"\s+", " ", " ".join(parsed.texts))


@pytest.fixture
def local() -> LocalUpgrade:
    return sample_school()


@pytest.fixture
def browser(local: LocalUpgrade) -> Iterator[httpx.Client]:
    with local.serve() as url, httpx.Client(base_url=url) as client:
        client.headers["Origin"] = url
        yield client


def sign_in(local: LocalUpgrade, user: str, **groups: Any) -> None:
    client_at(local, user).init_sync(**groups)


# ---- What it shows ----


def test_it_shows_experiments_with_weights_and_enrolment(
    local: LocalUpgrade, browser: httpx.Client
) -> None:
    sign_in(local, "student-4")
    client_at(local, "student-4").mark_decision_point_sync(
        "home", "banner", "treatment", "condition applied"
    )
    page = browser.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    text = text_of(page)
    assert "LocalUpgrade 6.5.0" in text
    assert "a warmer welcome in my-app, enrolling, by individual; at home/banner" in text
    assert "by within-subjects (ordered round robin)" in text
    assert "by group (class)" in text
    assert "factorial; at lesson/layout" in text
    assert "adaptive; at lesson/hint" in text
    assert "control 50 % 0 treatment 50 % 1" in text
    bar = '<svg class="bar enrolled" role="img" aria-label="100%"><rect width="100%"'
    assert page.text.count(bar) == 1


def test_it_shows_flags_and_for_whom_they_are_on(
    local: LocalUpgrade, browser: httpx.Client
) -> None:
    local.flag("for-all")
    local.flag("off", enabled=False, exclude_users=["u2", "u1"], exclude={"class": ["c"]})
    local.flag("for-nobody", include={}, include_users=["u1"], exclude_users=["u9"])
    text = text_of(browser.get("/"))
    assert "new-dashboard my-app on class class-1" in text
    assert "for-all my-app on everybody" in text
    assert "off my-app off everybody, but for u1, u2, class c" in text
    assert "for-nobody my-app on u1, but for u9" in text


def test_it_shows_what_users_get_and_why(local: LocalUpgrade, browser: httpx.Client) -> None:
    sign_in(local, "student-4", group={"class": ["class-1"]}, working_group={"class": "class-1"})
    text = text_of(browser.get("/"))
    assert "student-4: class class-1; works in class class-1" in text
    assert "Feature flags: new-dashboard" in text
    assert "home/banner treatment 'a warmer welcome': the user may enter" in text
    assert "lesson/question words then pictures, numbers …" in text


def test_a_point_of_several_contexts_is_shown_for_each() -> None:
    local = LocalUpgrade()
    for context in ("c1", "c2"):
        local.experiment("s", "p", conditions=[f"from {context}"], context=context)
    with local.serve() as url:
        text = text_of(httpx.get(url, params={"user": "u1"}))
    for context in ("c1", "c2"):
        assert f"s/p in {context} from {context}" in text


def test_a_user_is_looked_up_and_not_made_known(local: LocalUpgrade, browser: httpx.Client) -> None:
    sign_in(local, "student-6")
    page = browser.get("/", params={"user": "student-4"})
    text = text_of(page)
    assert "student-4: no groups" in text
    assert "the user was not initialised" in text
    assert "<details open><summary>student-4" in page.text
    assert "<details><summary>student-6" in page.text
    assert 'href="/?user=student-4"' in page.text
    assert "student-4" not in text_of(browser.get("/"))


def test_it_shows_the_last_users_and_requests(local: LocalUpgrade, browser: httpx.Client) -> None:
    assert "Nobody was initialised yet." in text_of(browser.get("/"))
    for number in range(25):
        sign_in(local, f"user-{number}")
    text = text_of(browser.get("/"))
    assert text.index("user-24: no groups") < text.index("user-5: no groups")
    assert "user-4: no groups" not in text
    assert "And 5 users before these." in text
    assert "init user-24 200 init user-23 200" in text
    assert "init user-4 200" not in text


def test_an_empty_server_says_so() -> None:
    with LocalUpgrade().serve() as url:
        text = text_of(httpx.get(url))
        assert text_of(httpx.get(url, params={"user": "u1"})).count("no decision point") == 1
    assert text.count("There is none.") == 2
    assert "There was none." in text
    assert "None is switched on." in text


def test_every_text_is_escaped() -> None:
    local = LocalUpgrade(contexts=[NASTY])
    local.experiment(
        NASTY, NASTY, conditions=[NASTY], name=NASTY, context=NASTY, unit="group", group_type=NASTY
    )
    local.flag(NASTY, context=NASTY, include={NASTY: [NASTY]}, exclude_users=[NASTY])
    client_at(local, NASTY, NASTY).init_sync(group={NASTY: [NASTY]}, working_group={NASTY: NASTY})
    local.slow(1, user=NASTY)
    with local.serve() as url:
        page = httpx.get(url, params={"user": NASTY})
        refused = httpx.post(f"{url}/faults", data={"kind": NASTY}, headers={"Origin": url})
        elsewhere = httpx.get(url, headers={"Host": NASTY.replace("/", "")})
    assert "<script" not in page.text
    assert text_of(page).count(NASTY) > 15
    assert f"kind {NASTY!r}" in unescape(text_of(refused))
    assert "<script" not in refused.text + elsewhere.text


def test_it_is_whole_without_anything_else(browser: httpx.Client) -> None:
    page = browser.get("/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"https?://|//|url\(", page.text)
    assert page.headers["cache-control"] == "no-store"


def test_looking_changes_nothing(local: LocalUpgrade, browser: httpx.Client) -> None:
    assert browser.head("/").content == b""
    browser.get("/", params={"user": "u1"})
    assert local.requests == ()
    assert "user-id" not in str(browser.get("/").headers)


# ---- Faults ----


def switched_on(browser: httpx.Client) -> str:
    return text_of(browser.get("/")).split("Faults")[1].split("what happens answer late")[0]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"kind": "slow", "seconds": "0.5"}, "answers 0.5 s late all everybody until"),
        ({"kind": "hang", "endpoint": "mark"}, "never answers mark everybody until"),
        ({"kind": "drop", "times": "2"}, "connection before the call is applied all everybody 2"),
        ({"kind": "drop-applied", "user": "u1"}, "connection after the call is applied all u1"),
        (
            {"kind": "fail", "endpoint": "mark", "status": "503", "times": "3"},
            "answers with status 503 mark everybody 3 times",
        ),
        ({"kind": "fail", "user": "u1"}, "answers with status 503 all u1 until"),
    ],
)
def test_a_fault_is_switched_on_and_all_are_switched_off(
    browser: httpx.Client, fields: dict[str, str], shown: str
) -> None:
    done = browser.post("/faults", data=fields)
    assert (done.status_code, done.headers["location"]) == (303, "/#faults")
    assert shown in switched_on(browser)
    assert browser.post("/faults/off").status_code == 303
    assert "None is switched on." in switched_on(browser)


def test_a_fault_happens(local: LocalUpgrade, browser: httpx.Client) -> None:
    fault = {"kind": "fail", "endpoint": "init", "status": "418", "user": "u1", "times": "1e12"}
    browser.post("/faults", data=fault)
    headers = {"User-Id": "u1", "Content-Type": "application/json"}
    other = {**headers, "User-Id": "u2"}
    assert browser.post("/api/v6/init", content="{}", headers=other).status_code == 200
    for _ in range(2):
        assert browser.post("/api/v6/init", content="{}", headers=headers).status_code == 418
    browser.post("/faults/off")
    browser.post("/faults", data={"kind": "drop", "endpoint": "init"})
    with pytest.raises(httpx.RemoteProtocolError):
        browser.post("/api/v6/init", content="{}", headers=headers)
    browser.post("/faults/off")
    assert browser.post("/api/v6/init", content="{}", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "no fault of the kind ''"),
        ({"kind": "quake"}, "no fault of the kind 'quake'"),
        ({"kind": "fail", "endpoint": "mark", "status": "99"}, "200 to 999"),
        ({"kind": "fail", "endpoint": "mark", "status": "x"}, "status must be a number"),
        ({"kind": "slow", "seconds": "-1"}, "must not be negative"),
        ({"kind": "slow", "seconds": "nan"}, "seconds must be a number"),
        ({"kind": "hang", "times": "0"}, "times must be at least 1"),
        ({"kind": "hang", "endpoint": "nowhere"}, "'nowhere' is not one of init"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(
    browser: httpx.Client, fields: dict[str, str], message: str
) -> None:
    refused = browser.post("/faults", data=fields)
    assert refused.status_code == 400
    assert message in text_of(refused)
    assert "None is switched on." in switched_on(browser)


# ---- Who may see and change it ----


@pytest.mark.parametrize(
    "origin", [None, "null", "https://elsewhere.example.org", "http://127.0.0.1:1"]
)
@pytest.mark.parametrize("path", ["/faults", "/faults/off"])
def test_another_page_changes_nothing(
    local: LocalUpgrade, browser: httpx.Client, path: str, origin: str | None
) -> None:
    local.hang(endpoint="mark")
    del browser.headers["Origin"]
    headers = {} if origin is None else {"Origin": origin}
    refused = browser.post(path, data={"kind": "hang", "endpoint": "log"}, headers=headers)
    assert refused.status_code == 403
    assert "only this page itself" in text_of(refused)
    assert "never answers mark" in switched_on(browser)
    assert "log" not in switched_on(browser)


@pytest.mark.parametrize(
    "host", ["elsewhere.example.org", "127.0.0.1.example.org", "10.0.0.1:80", "["]
)
def test_a_name_of_another_machine_is_refused(browser: httpx.Client, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert browser.get("/", headers=headers).status_code == 403
    assert browser.post("/faults/off", headers=headers).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:3030", "127.0.0.1", "[::1]:3030"])
def test_the_names_of_this_machine_are_not(browser: httpx.Client, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert browser.get("/", headers=headers).status_code == 200
    assert browser.post("/faults/off", headers=headers).status_code == 303


def test_a_browser_on_another_machine_finds_no_page(local: LocalUpgrade) -> None:
    page = Page(local._api)  # pyright: ignore[reportPrivateUsage]
    head = RequestHead("GET", "/", {"host": "localhost"}, True)
    assert page.respond(head, b"", "10.0.0.1") is None
    seen = page.respond(head, b"", "127.0.0.1")
    assert seen is not None
    assert seen.status == 200


def test_a_path_that_is_no_address_is_not_found(browser: httpx.Client) -> None:
    url = browser.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall(b"GET //[ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")


def test_a_request_without_a_host_is_refused(browser: httpx.Client) -> None:
    url = browser.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/faults"), ("GET", "/faults/off"), ("POST", "/"), ("GET", "/index.html")],
)
def test_there_is_nothing_else(
    local: LocalUpgrade, browser: httpx.Client, method: str, path: str
) -> None:
    local.hang(endpoint="mark")
    assert browser.request(method, path).status_code == 404
    assert "never answers mark" in switched_on(browser)


def test_in_process_there_is_no_page(local: LocalUpgrade) -> None:
    with httpx.Client(transport=local.transport, base_url="http://localhost") as client:
        assert client.get("/").status_code == 404
