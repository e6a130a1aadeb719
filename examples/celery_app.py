"""Tasks of a Celery application: a letter for each student, and a mark once it was sent.

With a Redis server that CELERY_BROKER_URL names, start a worker with
`celery --app examples.celery_app worker`. It asks the UpGrade server that UPGRADE_HOST_URL names.
"""

from __future__ import annotations

import os

from celery import Celery

from upgrade_client_lib.integrations.celery import Upgrade

broker = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0")
app = Celery("school", broker=broker, backend=broker)
upgrade = Upgrade()  # a connection for each worker process, to the server of UPGRADE_HOST_URL


@app.task
def send_letter(student: str, school_class: str) -> dict[str, object]:
    """Send a student the letter that is theirs, and tell which it was."""
    client = upgrade.connection.client(student, "my-app", group={"class": [school_class]})
    banner = client.decide_sync("home", "banner", default="control")
    # Here the letter would go out.
    banner.mark_sync()
    return {"condition": banner.condition, "reason": str(banner.reason), "worker": os.getpid()}
