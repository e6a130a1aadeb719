"""A page of a Flask application: one connection, a client per request.

Run it with `python -m examples.flask_app`, and sign in at http://127.0.0.1:5000. It asks the
UpGrade server that UPGRADE_HOST_URL names, or a LocalUpgrade of its own.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from html import escape

from flask import Flask, redirect, request
from werkzeug.wrappers import Response

from examples.school import school
from upgrade_client_lib import Assignment, UpgradeApiError, UpgradeClient, UpgradeConnection
from upgrade_client_lib.types import LogInput, LogMetrics

APPLIED = UpgradeClient.MARKED_DECISION_POINT_STATUS.CONDITION_APPLIED


def create_app(host_url: str) -> Flask:
    """Make the application. Its connection opens nothing until the first request."""
    app = Flask(__name__)
    connection = UpgradeConnection(host_url, timeout=2.0)
    app.extensions["upgrade"] = connection

    def upgrade_client() -> UpgradeClient:
        """Give the client of the student whom this request comes from."""
        return connection.client(request.cookies.get("student", "guest"), "my-app")

    @app.get("/sign-in")
    def sign_in_page() -> str:
        return (
            '<form method="post">'
            'Student <input name="student" value="student-4"> '
            'in class <input name="school_class" value="class-1"> <button>Sign in</button></form>'
        )

    @app.post("/sign-in")
    def sign_in() -> Response:
        """Make the student known to UpGrade: once, not on every page."""
        student, school_class = request.form["student"], request.form["school_class"]
        client = connection.client(student, "my-app")
        try:
            client.init_sync({"class": [school_class]}, {"class": school_class})
        except UpgradeApiError as error:
            app.logger.warning("%s is not initialised: %s", student, error)
        response = redirect("/", code=303)
        response.set_cookie("student", student, httponly=True, samesite="Lax")
        return response

    @app.get("/")
    def home() -> str:
        """Show the home page with the banner and the dashboard that are this student's."""
        client = upgrade_client()
        try:
            banner = client.get_decision_point_assignment_sync("home", "banner")
            has_dashboard = client.has_feature_flag_sync("new-dashboard")
            if banner is not None:
                banner.mark_decision_point_sync(APPLIED)
        except UpgradeApiError as error:
            app.logger.warning("%s sees the page without UpGrade: %s", client.user_id, error)
            banner, has_dashboard = None, False
        return page(client.user_id, banner, has_dashboard)

    @app.post("/lesson-done")
    def lesson_done() -> tuple[str, int]:
        """Report how long a lesson took: a metric that experiments are judged by."""
        metrics = LogMetrics({"totalTimeSeconds": int(request.form["seconds"])})
        try:
            upgrade_client().log_sync([LogInput(datetime.now(timezone.utc), metrics)])
        except UpgradeApiError as error:
            app.logger.warning("%s is not logged: %s", metrics, error)
        return "", 204

    return app


def page(student: str, banner: Assignment | None, has_dashboard: bool) -> str:
    """Give the home page's HTML."""
    payload = banner.get_payload() if banner is not None else None
    greeting = payload.value if payload is not None else "Hello."
    dashboard = "the new dashboard" if has_dashboard else "the dashboard"
    return f"<h1>{escape(greeting)}</h1><p>{escape(student)}, here is {dashboard}.</p>"


if __name__ == "__main__":
    with school().serve() as url:
        create_app(os.environ.get("UPGRADE_HOST_URL", url)).run()
