"""Sequences of requests with a real server's answers, and what must agree in LocalUpgrade's.

Answers hold markers where values differ from run to run, and the beginnings of long queues.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from upgrade_client_lib._narrow import list_or_none, object_or_none
from upgrade_client_lib.testing import LocalUpgrade

RECORDINGS = Path(__file__).parent.parent / "recordings"
ENGINES_CHOICE = "adapt"  # sites whose condition the engine of adaptive experiments chooses

_MARKERS = {
    "<uuid>": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "<date>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "<int>": r"\d+",
}
_MARKER = re.compile(f"({'|'.join(_MARKERS)})")


def extended(name: str) -> Any:
    """Return one of the exports behind the sequences: experiments, flags or segments."""
    path = RECORDINGS / "exports_extended" / f"{name}.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))


def sequences() -> list[dict[str, Any]]:
    """Return every recorded sequence."""
    text = gzip.decompress((RECORDINGS / "sequences.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


def differences(local: LocalUpgrade, sequence: dict[str, Any]) -> Iterator[str]:
    """Yield the steps of a sequence whose answers differ; the server must be fresh."""
    by_name = {experiment.name: experiment for experiment in local.experiments}
    with httpx.Client(transport=local.transport, base_url="http://upgrade.local") as http:
        for number, step in enumerate(sequence["steps"]):
            change = step.get("set_state")
            if change is not None:
                local.set_state(by_name[change["experiment"]], change["state"])
                continue
            response = _send(http, step)
            expected = [step["status"], _compared(step, step["answer"])]
            actual = [response.status_code, _compared(step, _body(response))]
            if not agrees(expected, actual):
                sent = step.get("raw", json.dumps(step.get("body")))
                yield f"step {number}: {step['path']} {sent}\n  {expected}\n  {actual}"
    for experiment in by_name.values():
        local.set_state(experiment, experiment.state)


def agrees(expected: Any, actual: Any) -> bool:
    """Return whether an answer is the expected one, which may hold markers."""
    if isinstance(expected, str) and _MARKER.search(expected):
        pattern = "".join(_MARKERS.get(part, re.escape(part)) for part in _MARKER.split(expected))
        comparable = isinstance(actual, int if expected == "<int>" else str)
        return comparable and re.fullmatch(pattern, str(actual)) is not None
    fields, actual_fields = object_or_none(expected), object_or_none(actual)
    items, actual_items = list_or_none(expected), list_or_none(actual)
    if fields is not None and "<first>" in fields and actual_items is not None:
        first = fields["<first>"]
        return len(actual_items) == fields["<length>"] and agrees(first, actual_items[: len(first)])
    if fields is not None and actual_fields is not None:
        return fields.keys() == actual_fields.keys() and all(
            agrees(value, actual_fields[key]) for key, value in fields.items()
        )
    if items is not None and actual_items is not None:
        return len(items) == len(actual_items) and all(map(agrees, items, actual_items))
    return type(expected) is type(actual) and bool(expected == actual)


def _send(http: httpx.Client, step: dict[str, Any]) -> httpx.Response:
    headers = {"Content-Type": step.get("content_type", "application/json")}
    if step["user"] is not None:
        headers["User-Id"] = step["user"]
    content = step["raw"] if "raw" in step else json.dumps(step["body"], ensure_ascii=False)
    return http.request(step["method"], step["path"], content=content.encode(), headers=headers)


def _body(response: httpx.Response) -> Any:
    content_type = response.headers["Content-Type"]
    is_json = content_type.startswith("application/json")
    return response.json() if is_json else {"<not JSON>": content_type}


def _compared(step: dict[str, Any], answer: Any) -> Any:
    """Return what the step compares: lists without order are sorted, undefined points left out."""
    items = list_or_none(answer)
    if items is None or step["path"].rpartition("/")[2] not in ("assign", "featureflag"):
        return answer
    undefined = [tuple(point) for point in step.get("undefined", ())]
    compared = [
        item
        for item in items
        if object_or_none(item) is None
        or not (
            (item["site"], item["target"]) in undefined or item["site"].startswith(ENGINES_CHOICE)
        )
    ]
    return sorted(compared, key=_order)


def _order(item: Any) -> str:
    return item if isinstance(item, str) else f"{item['site']}\n{item['target']}"
