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
from upgrade_client_lib import Decision, UpgradeApiError, UpgradeClient, UpgradeConnection
from upgrade_client_lib.types import LogInput, LogMetrics


def create_app(host_url: str) -> Flask:
    """Make the application. Its connection opens nothing until the first request."""
    app = Flask(__name__)
    connection = UpgradeConnection(host_url, timeout=2.0)
    app.extensions["upgrade"] = connection

    def upgrade_client() -> UpgradeClient:
        """Give the client of the student whom this request comes from.

        With their class, they are made known to UpGrade when that is needed. A guest never is.
        """
        student = request.cookies.get("student", "guest")
        school_class = request.cookies.get("school_class")
        if school_class is None:
            return connection.client(student, "my-app")
        return connection.client(
            student,
            "my-app",
            group={"class": [school_class]},
            working_group={"class": school_class},
        )

    @app.get("/sign-in")
    def sign_in_page() -> str:
        return (
            '<form method="post">'
            'Student <input name="student" value="student-4"> '
            'in class <input name="school_class" value="class-1"> <button>Sign in</button></form>'
        )

    @app.post("/sign-in")
    def sign_in() -> Response:
        """Remember who the student is; a real application keeps that in its session."""
        response = redirect("/", code=303)
        for name in ("student", "school_class"):
            response.set_cookie(name, request.form[name], httponly=True, samesite="Lax")
        return response

    @app.get("/")
    def home() -> str:
        """Show the home page with the banner and the dashboard that are this student's."""
        client = upgrade_client()
        banner = client.decide_sync("home", "banner", default="control")
        dashboard = client.decide_flag_sync("new-dashboard")
        banner.mark_sync()
        return page(client.user_id, banner, dashboard.enabled)

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


def page(student: str, banner: Decision, has_dashboard: bool) -> str:
    """Give the home page's HTML."""
    greeting = banner.payload.value if banner.payload else "Hello."
    dashboard = "the new dashboard" if has_dashboard else "the dashboard"
    return f"<h1>{escape(greeting)}</h1><p>{escape(student)}, here is {dashboard}.</p>"


if __name__ == "__main__":
    with school().serve() as url:
        create_app(os.environ.get("UPGRADE_HOST_URL", url)).run()
