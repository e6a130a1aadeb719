"""The examples do what they say, against a LocalUpgrade."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from examples import batch
from examples.school import school
from upgrade_client_lib import ServerError, UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from flask.testing import FlaskClient

SOME = 500
"""How many of the batch's letters are sent."""

NOTEBOOK = Path(batch.__file__).parent / "notebook.ipynb"


class Browser(Protocol):
    """What a student does in a web application, whichever framework it is made with."""

    def sign_in(self, student: str, school_class: str) -> int: ...

    def home(self) -> str: ...

    def finish_lesson(self, seconds: int) -> int: ...


class FastAPIBrowser:
    def __init__(self, client: TestClient) -> None:
        self._client = client

    def sign_in(self, student: str, school_class: str) -> int:
        form = {"student": student, "school_class": school_class}
        return self._client.post("/sign-in", data=form, follow_redirects=False).status_code

    def home(self) -> str:
        return self._client.get("/").text

    def finish_lesson(self, seconds: int) -> int:
        return self._client.post("/lesson-done", data={"seconds": str(seconds)}).status_code


class FlaskBrowser:
    def __init__(self, client: FlaskClient) -> None:
        self._client = client

    def sign_in(self, student: str, school_class: str) -> int:
        form = {"student": student, "school_class": school_class}
        return self._client.post("/sign-in", data=form).status_code

    def home(self) -> str:
        return self._client.get("/", follow_redirects=True).text

    def finish_lesson(self, seconds: int) -> int:
        return self._client.post("/lesson-done", data={"seconds": seconds}).status_code


@pytest.fixture
def local() -> LocalUpgrade:
    return school()


@pytest.fixture(params=["fastapi", "flask"])
def browser(
    request: pytest.FixtureRequest, local: LocalUpgrade, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Browser]:
    """A browser of the application, which talks to `local` over a real socket."""
    framework: str = request.param
    with local.serve() as url:
        monkeypatch.setenv("UPGRADE_HOST_URL", url)
        if framework == "fastapi":
            from fastapi.testclient import TestClient

            from examples import fastapi_app

            client = TestClient(fastapi_app.create_app())
            with client:  # which begins and ends the application's lifespan
                yield FastAPIBrowser(client)
        else:
            from examples import flask_app

            app = flask_app.create_app()
            with app.app_context(), flask_app.upgrade.connection:
                yield FlaskBrowser(app.test_client())


def test_a_page_shows_what_the_student_is_assigned_and_marks_it(
    browser: Browser, local: LocalUpgrade
) -> None:
    local.force("home", "banner", user="student-1", condition="treatment")
    assert browser.sign_in("student-1", "class-1") == 303
    assert browser.home() == "<h1>Welcome back!</h1><p>student-1, here is the new dashboard.</p>"
    local.assert_marked("home", "banner", user="student-1", condition="treatment")
    assert [request.endpoint for request in local.requests].count("init") == 1


def test_another_condition_and_a_flag_that_is_off_show_the_usual_page(
    browser: Browser, local: LocalUpgrade
) -> None:
    local.force("home", "banner", user="student-2", condition="control")
    browser.sign_in("student-2", "class-2")
    assert browser.home() == "<h1>Hello.</h1><p>student-2, here is the dashboard.</p>"
    local.assert_marked("home", "banner", user="student-2", condition="control")


def test_a_finished_lesson_is_logged(browser: Browser, local: LocalUpgrade) -> None:
    browser.sign_in("student-1", "class-1")
    assert browser.finish_lesson(95) == 204
    local.assert_logged("totalTimeSeconds", value=95, user="student-1")


def test_without_upgrade_the_pages_still_come(
    browser: Browser, local: LocalUpgrade, caplog: pytest.LogCaptureFixture
) -> None:
    local.down()
    assert browser.sign_in("student-1", "class-1") == 303
    assert browser.home() == "<h1>Hello.</h1><p>student-1, here is the dashboard.</p>"
    assert browser.finish_lesson(95) == 204
    said = [record.getMessage() for record in caplog.records if "examples" in record.name]
    assert len(said) == 1
    assert "no connection" in said[0]


def test_after_an_outage_at_sign_in_the_next_page_is_right(
    browser: Browser, local: LocalUpgrade
) -> None:
    local.force("home", "banner", user="student-1", condition="treatment")
    local.down()
    browser.sign_in("student-1", "class-1")
    assert "Hello." in browser.home()
    local.up()
    assert "Welcome back!" in browser.home()
    local.assert_marked("home", "banner", user="student-1", condition="treatment")


def test_a_guest_is_asked_to_sign_in_and_nothing_is_sent(
    browser: Browser, local: LocalUpgrade
) -> None:
    assert "Sign in" in browser.home()
    assert browser.finish_lesson(95) == 401
    assert local.requests == ()


def test_a_mark_that_fails_does_not_cost_the_page(browser: Browser, local: LocalUpgrade) -> None:
    browser.sign_in("student-1", "class-1")
    local.fail_next("mark", status=500)
    assert "student-1" in browser.home()
    assert local.marks == ()


def test_every_user_of_the_batch_gets_one_letter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send_some(connection: UpgradeConnection, users: Sequence[str]) -> batch.Outcome:
        assert len(users) == 5_000
        return await send_letters(connection, users[:SOME])

    send_letters = batch.send_letters
    monkeypatch.setattr(batch, "send_letters", send_some)
    monkeypatch.delenv("UPGRADE_HOST_URL", raising=False)
    asyncio.run(batch.main())
    printed = capsys.readouterr()
    assert printed.out == "keep going: 245 letters\nyour week: 255 letters\n"
    assert printed.err.count("\r") == 100
    assert printed.err.endswith(f"\r[{'#' * 40}] 100 %\n")


def test_a_user_who_fails_does_not_stop_the_batch() -> None:
    local = LocalUpgrade()
    local.experiment("letter", "subject", conditions=["your week"])
    local.exclude(users=["student-3"])
    local.fail_next("mark", status=500)

    async def send() -> batch.Outcome:
        async with UpgradeConnection("http://upgrade.local", transport=local.transport) as all_:
            return await batch.send_letters(all_, ["student-1", "student-2", "student-3"])

    outcome = asyncio.run(send())
    assert outcome.sent == {"your week": 1, "as usual": 1}
    assert [type(error) for error in outcome.failed.values()] == [ServerError]


@pytest.mark.skipif(sys.platform == "win32", reason="the kernel wants another event loop there")
def test_the_notebook_prints_what_is_stored_in_it() -> None:
    nbclient: Any = pytest.importorskip("nbclient", reason="nox -s examples has nbclient")
    nbformat: Any = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="nox -s examples has ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=60).execute()
    assert outputs(notebook) == outputs(json.loads(NOTEBOOK.read_text("utf-8")))


def outputs(notebook: dict[str, Any]) -> list[str]:
    """What the cells of code printed."""
    return [
        "".join("".join(output["text"]) for output in cell["outputs"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]
