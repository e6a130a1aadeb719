"""A page of a FastAPI application: one connection, a client per request.

Run it with `python -m examples.fastapi_app`, and sign in at http://127.0.0.1:8000. It asks the
UpGrade server that UPGRADE_HOST_URL names, or a LocalUpgrade of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from html import escape
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Cookie, Depends, FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from examples.school import school
from upgrade_client_lib import Decision, UpgradeApiError, UpgradeClient, UpgradeConnection
from upgrade_client_lib.types import LogInput, LogMetrics

logger = logging.getLogger(__name__)
router = APIRouter()


def create_app(host_url: str) -> FastAPI:
    """Make the application. Its connection opens nothing until the first request."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        async with UpgradeConnection(host_url, timeout=2.0) as connection:
            app.state.upgrade = connection
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    return app


def upgrade_client(
    request: Request,
    student: Annotated[str, Cookie()] = "guest",
    school_class: Annotated[str, Cookie()] = "",
) -> UpgradeClient:
    """Give the client of the student whom this request comes from.

    With their class, they are made known to UpGrade when that is needed. A guest never is.
    """
    connection: UpgradeConnection = request.app.state.upgrade
    if not school_class:
        return connection.client(student, "my-app")
    return connection.client(
        student, "my-app", group={"class": [school_class]}, working_group={"class": school_class}
    )


Client = Annotated[UpgradeClient, Depends(upgrade_client)]


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
async def home(client: Client, after: BackgroundTasks) -> HTMLResponse:
    """Show the home page with the banner and the dashboard that are this student's."""
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
        uvicorn.run(create_app(os.environ.get("UPGRADE_HOST_URL", url)))
