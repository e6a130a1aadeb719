"""A page of a Flask application, which decides, marks and logs for the student who signed in.

Run it with `python -m examples.flask_app`, and sign in at http://127.0.0.1:5000. It asks the
UpGrade server that UPGRADE_HOST_URL names, or a LocalUpgrade of its own.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone

from flask import Flask, redirect, render_template_string, request
from werkzeug.wrappers import Response

from examples.school import school
from upgrade_client_lib import UpgradeApiError
from upgrade_client_lib.integrations.flask import Upgrade
from upgrade_client_lib.types import LogInput, LogMetrics

upgrade = Upgrade(  # the server is the one that UPGRADE_HOST_URL names
    "my-app",
    user=lambda: request.cookies.get("student"),
    # With their class, they are made known to UpGrade when that is needed.
    group=lambda: {"class": [request.cookies["school_class"]]},
    working_group=lambda: {"class": request.cookies["school_class"]},
)

PAGE = """\
{%- set banner = decision("home", "banner", default="control") -%}
<h1>{{ banner.payload.value if banner.payload else "Hello." }}</h1>
{%- set dashboard = "the new dashboard" if flag("new-dashboard") else "the dashboard" -%}
<p>{{ student }}, here is {{ dashboard }}.</p>"""


def create_app() -> Flask:
    """Make the application. Its connection opens nothing until the first request."""
    app = Flask(__name__)
    upgrade.init_app(app)
    app.add_url_rule("/health", view_func=upgrade.health)

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
    def home() -> str | Response:
        """Show the home page with the banner and the dashboard that are this student's."""
        client = upgrade.client_or_none
        if client is None:
            return redirect("/sign-in", code=303)
        page = render_template_string(PAGE, student=client.user_id)
        client.decide_sync("home", "banner", default="control").mark_sync()
        return page

    @app.post("/lesson-done")
    def lesson_done() -> tuple[str, int]:
        """Report how long a lesson took: a metric that experiments are judged by."""
        metrics = LogMetrics({"totalTimeSeconds": int(request.form["seconds"])})
        try:
            upgrade.client.log_sync([LogInput(datetime.now(timezone.utc), metrics)])
        except UpgradeApiError as error:
            app.logger.warning("%s is not logged: %s", metrics, error)
        return "", 204

    return app


if __name__ == "__main__":
    with school().serve() as url:
        os.environ.setdefault("UPGRADE_HOST_URL", url)
        create_app().run()
