"""Users of a LocalUpgrade, and what they send it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any, Final

import httpx

from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.testing import LocalUpgrade

CONDITIONS = ["control", "treatment"]
APPLIED: Final = "condition applied"
NOT_APPLIED: Final = "condition not applied"


def client(local: LocalUpgrade, user_id: str = "u1", **init: Any) -> UpgradeClient:
    made = UpgradeClient(user_id, "http://upgrade.local", "my-app", transport=local.transport)
    made.init_sync(**init)
    return made


def codes(local: LocalUpgrade, user_id: str = "u1", context: str = "my-app") -> dict[str, Any]:
    """The assigned condition codes, head first, by decision point."""
    answer = post(local, "assign", {"context": context}, user_id)
    assert answer.status_code == 200, answer.text
    return {
        f"{item['site']}/{item['target']}": [
            condition["conditionCode"] for condition in item["assignedCondition"]
        ]
        for item in answer.json()
    }


def post(
    local: LocalUpgrade, endpoint: str, body: object, user_id: str = "u1", method: str = "POST"
) -> httpx.Response:
    with httpx.Client(transport=local.transport) as http:
        url = f"http://upgrade.local/api/v6/{endpoint}"
        return http.request(method, url, headers={"User-Id": user_id}, json=body)


def mark(
    local: LocalUpgrade,
    site: str,
    target: str | None,
    code: str | None,
    user_id: str = "u1",
    status: str | None = APPLIED,
    experiment_id: str | None = None,
) -> httpx.Response:
    assigned = {"conditionCode": code, "experimentId": experiment_id}
    data = {"site": site, "target": target, "assignedCondition": assigned}
    return post(local, "mark", {"data": data, "status": status}, user_id)


def bearer(claims: dict[str, Any], secret: str = "secret") -> str:
    """An Authorization header with such a token."""

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    signed = ".".join(part(json.dumps(one).encode()) for one in ({"alg": "HS256"}, claims))
    signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"Bearer {signed}.{part(signature)}"
