"""A page of a FastAPI application, which decides, marks and logs for the student who signed in.

Run it with `python -m examples.fastapi_app`, and sign in at http://127.0.0.1:8000. It asks the
UpGrade server that UPGRADE_HOST_URL names, or a LocalUpgrade of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import datetime, timezone
from html import escape
from typing import Annotated, Union

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Form
from fastapi.requests import HTTPConnection
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from examples.school import school
from upgrade_client_lib import Decision, UpgradeApiError, UpgradeClient
from upgrade_client_lib.integrations.fastapi import Upgrade
from upgrade_client_lib.types import LogInput, LogMetrics

logger = logging.getLogger(__name__)
router = APIRouter()


def student_of(request: HTTPConnection) -> str | None:
    return request.cookies.get("student")


def classes_of(request: HTTPConnection) -> dict[str, list[str]]:
    """Give the student's class, with which they are made known to UpGrade when that is needed."""
    return {"class": [request.cookies["school_class"]]}


def working_class_of(request: HTTPConnection) -> dict[str, str]:
    return {"class": request.cookies["school_class"]}


upgrade = Upgrade(  # the server is the one that UPGRADE_HOST_URL names
    "my-app", user=student_of, group=classes_of, working_group=working_class_of
)
Client = Annotated[UpgradeClient, Depends(upgrade.client)]
ClientOrNone = Annotated[Union[UpgradeClient, None], Depends(upgrade.client_or_none)]


def create_app() -> FastAPI:
    """Make the application. Its connection lives as long as it runs."""
    app = FastAPI(lifespan=upgrade.lifespan)
    app.include_router(router)
    app.get("/health")(upgrade.health)
    return app


@router.get("/sign-in")
def sign_in_page() -> HTMLResponse:
    return HTMLResponse(
        '<form method="post" action="/sign-in">'
        'Student <input name="student" value="student-4"> '
        'in class <input name="school_class" value="class-1"> <button>Sign in</button></form>'
    )


@router.post("/sign-in")
async def sign_in(
    student: Annotated[str, Form()], school_class: Annotated[str, Form()]
) -> Response:
    """Remember who the student is; a real application keeps that in its session."""
    response = RedirectResponse("/", status_code=303)
    response.set_cookie("student", student, httponly=True, samesite="lax")
    response.set_cookie("school_class", school_class, httponly=True, samesite="lax")
    return response


@router.get("/")
async def home(client: ClientOrNone, after: BackgroundTasks) -> Response:
    """Show the home page with the banner and the dashboard that are this student's."""
    if client is None:
        return RedirectResponse("/sign-in", status_code=303)
    banner, dashboard = await asyncio.gather(
        client.decide("home", "banner", default="control"),
        client.decide_flag("new-dashboard"),
    )
    after.add_task(banner.mark)  # once the page has been sent, so that nobody waits for it
    return HTMLResponse(page(client.user_id, banner, dashboard.enabled))


@router.post("/lesson-done", status_code=204)
async def lesson_done(client: Client, seconds: Annotated[int, Form()]) -> None:
    """Report how long a lesson took: a metric that experiments are judged by."""
    metrics = LogMetrics({"totalTimeSeconds": seconds})
    try:
        await client.log([LogInput(datetime.now(timezone.utc), metrics)])
    except UpgradeApiError as error:
        logger.warning("%s is not logged: %s", metrics, error)


def page(student: str, banner: Decision, has_dashboard: bool) -> str:
    """Give the home page's HTML."""
    greeting = banner.payload.value if banner.payload else "Hello."
    dashboard = "the new dashboard" if has_dashboard else "the dashboard"
    return f"<h1>{escape(greeting)}</h1><p>{escape(student)}, here is {dashboard}.</p>"


if __name__ == "__main__":
    import uvicorn

    with school().serve() as url:
        os.environ.setdefault("UPGRADE_HOST_URL", url)
        uvicorn.run(create_app())
