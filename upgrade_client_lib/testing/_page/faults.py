"""The faults that the page shows, and switches on and off."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from .._http import Api, Disruption

KINDS = {
    "slow": "answer late",
    "hang": "never answer",
    "drop": "drop the connection before the call is applied",
    "drop-applied": "drop the connection after the call was applied",
    "fail": "answer with a status",
}


def switch_on(api: Api, fields: Mapping[str, str]) -> None:
    """Have calls fail as a form says; a ``ValueError`` says what cannot be."""
    kind, endpoint = fields.get("kind", ""), fields.get("endpoint")
    if kind not in KINDS:
        raise ValueError(f"there is no fault of the kind {kind!r}")
    times = int(_number(fields, "times", "")) if fields.get("times") else None
    if kind == "fail":
        if endpoint is None:
            raise ValueError("an answer with a status is one of an endpoint: choose one")
        status = int(_number(fields, "status", "503"))
        with api.lock:
            api.faults.add(endpoint, status=status, times=times or 1, headers={}, body=None)
        return
    delays = {"slow": _number(fields, "seconds", "1"), "hang": math.inf}
    api.disruptions.add(
        delay=delays.get(kind, 0.0),
        applied=kind in ("slow", "drop-applied"),
        responds=kind == "slow",
        endpoint=endpoint,
        user=fields.get("user"),
        times=times,
    )


def switch_off(api: Api) -> None:
    """End all faults."""
    with api.lock:
        api.faults.waiting.clear()
    api.disruptions.clear()


def descriptions(api: Api) -> Iterator[tuple[str, str, str, str]]:
    """Yield what is switched on: what happens, at which endpoint, to whom, and how often."""
    for disruption in api.disruptions.waiting():
        left = "until it is switched off" if disruption.left is None else f"{disruption.left} times"
        yield (
            _what(disruption),
            disruption.endpoint or "all",
            disruption.user or "everybody",
            left,
        )
    for endpoint, waiting in api.faults.waiting.items():
        for status in dict.fromkeys(fault.status for fault in waiting):
            count = sum(fault.status == status for fault in waiting)
            yield f"answers with status {status}", endpoint, "everybody", f"{count} times"


def _what(disruption: Disruption) -> str:
    if disruption.responds:
        return f"answers {disruption.delay:g} s late"
    if math.isinf(disruption.delay):
        return "never answers"
    return f"drops the connection {'after' if disruption.applied else 'before'} the call is applied"


def _number(fields: Mapping[str, str], name: str, default: str) -> float:
    text = fields.get(name, default)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number, not {text!r}")
    return number
