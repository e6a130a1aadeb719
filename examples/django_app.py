"""A page of a Django project in one file, which decides, marks and logs for the student.

Run it with `python -m examples.django_app`, and sign in at http://127.0.0.1:8000/sign-in. It asks
the UpGrade server that UPGRADE_HOST_URL names, or a LocalUpgrade of its own. A server program finds
it as `examples.django_app:application` (WSGI) or `examples.django_app:asgi_application`.
"""

from __future__ import annotations

import logging
import os
from datetime import datetime, timezone
from pathlib import Path

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from examples.school import school
from upgrade_client_lib import UpgradeApiError
from upgrade_client_lib.types import LogInput, LogMetrics

logger = logging.getLogger(__name__)

# ---- Settings; a real project reads the student from its own sessions ----


def student_of(request: HttpRequest) -> str | None:
    return request.COOKIES.get("student")


def classes_of(request: HttpRequest) -> dict[str, list[str]]:
    """Give the student's class, with which they are made known to UpGrade when that is needed."""
    return {"class": [request.COOKIES["school_class"]]}


def working_class_of(request: HttpRequest) -> dict[str, str]:
    return {"class": request.COOKIES["school_class"]}


settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example has none",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [Path(__file__).parent / "templates"],
            "OPTIONS": {
                "builtins": ["upgrade_client_lib.integrations.django"],
                "context_processors": ["django.template.context_processors.request"],
            },
        }
    ],
    UPGRADE={  # the server is the one that UPGRADE_HOST_URL names
        "CONTEXT": "my-app",
        "USER": student_of,
        "GROUP": classes_of,
        "WORKING_GROUP": working_class_of,
    },
)
django.setup()

from upgrade_client_lib.integrations.django import client_of, health  # noqa: E402 - after setup

# ---- Views ----

SIGN_IN = (
    '<form method="post">'
    'Student <input name="student" value="student-4"> '
    'in class <input name="school_class" value="class-1"> <button>Sign in</button></form>'
)


@csrf_exempt
def sign_in(request: HttpRequest) -> HttpResponse:
    """Remember who the student is; a real project has django.contrib.auth for it."""
    if request.method != "POST":
        return HttpResponse(SIGN_IN)
    response = HttpResponseRedirect("/")
    for name in ("student", "school_class"):
        response.set_cookie(name, request.POST[name], httponly=True, samesite="Lax")
    return response


def home(request: HttpRequest) -> HttpResponse:
    """Show the home page with the banner and the dashboard that are this student's."""
    client = client_of(request)
    if client is None:
        return HttpResponseRedirect("/sign-in")
    page = render(request, "home.html", {"student": client.user_id})
    client.decide_sync("home", "banner", default="control").mark_sync()
    return page


@csrf_exempt
def lesson_done(request: HttpRequest) -> HttpResponse:
    """Report how long a lesson took: a metric that experiments are judged by."""
    client = client_of(request)
    if client is None:
        return HttpResponse(status=401)
    metrics = LogMetrics({"totalTimeSeconds": int(request.POST["seconds"])})
    try:
        client.log_sync([LogInput(datetime.now(timezone.utc), metrics)])
    except UpgradeApiError as error:
        logger.warning("%s is not logged: %s", metrics, error)
    return HttpResponse(status=204)


urlpatterns = [
    path("", home),
    path("sign-in", sign_in),
    path("lesson-done", lesson_done),
    path("health", health),
]
application = get_wsgi_application()
asgi_application = get_asgi_application()


if __name__ == "__main__":
    with school().serve() as url:
        os.environ.setdefault("UPGRADE_HOST_URL", url)
        execute_from_command_line(["manage.py", "runserver", "--noreload"])
