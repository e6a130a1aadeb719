"""The faults that the page shows, and switches on and off."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from .._http import Api, Disruption, Fault

KINDS = {
    "slow": "answer late",
    "hang": "never answer",
    "drop": "drop the connection before the call is applied",
    "drop-applied": "drop the connection after the call was applied",
    "fail": "answer with a status",
}


def switch_on(api: Api, fields: Mapping[str, str]) -> None:
    """Have calls fail as a form says; a ``ValueError`` says what cannot be."""
    kind, endpoint, user = fields.get("kind", ""), fields.get("endpoint"), fields.get("user")
    if kind not in KINDS:
        raise ValueError(f"there is no fault of the kind {kind!r}")
    times = int(_number(fields, "times", "")) if fields.get("times") else None
    if kind == "fail":
        status = int(_number(fields, "status", "503"))
        with api.lock:
            api.faults.add(endpoint, user=user, status=status, times=times, headers={}, body=None)
        return
    delays = {"slow": _number(fields, "seconds", "1"), "hang": math.inf}
    api.disruptions.add(
        delay=delays.get(kind, 0.0),
        applied=kind in ("slow", "drop-applied"),
        responds=kind == "slow",
        endpoint=endpoint,
        user=user,
        times=times,
    )


def switch_off(api: Api) -> None:
    """End all faults."""
    with api.lock:
        api.faults.waiting.clear()
    api.disruptions.clear()


def descriptions(api: Api) -> Iterator[tuple[str, str, str, str]]:
    """Yield what is switched on: what happens, at which endpoint, to whom, and how often."""
    switched_on: list[Disruption | Fault] = [*api.disruptions.waiting(), *api.faults.waiting]
    for one in switched_on:
        left = "until it is switched off" if one.left is None else f"{one.left} times"
        yield _what(one), one.endpoint or "all", one.user or "everybody", left


def _what(disruption: Disruption | Fault) -> str:
    if isinstance(disruption, Fault):
        return f"answers with status {disruption.status}"
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
