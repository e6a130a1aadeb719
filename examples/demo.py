"""Run the README's quick start against a LocalUpgrade on loopback, and tell what happened."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, cast

from examples.school import school
from upgrade_client_lib import UpgradeClient
from upgrade_client_lib.types import DecisionPoint

README = Path(__file__).parent.parent / "README.md"
ADDRESS = "http://127.0.0.1:3030"


def before_the_mark(user_id: str) -> list[tuple[str, list[Any]]]:
    """Give the documented methods that come before a mark, with arguments for a user."""
    return [
        ("init", [{"class": ["class-1"]}, {"class": "class-1"}]),
        ("set_group_membership", [{"class": ["class-1", "class-2"]}]),
        ("set_working_group", [{"class": "class-2"}]),
        ("set_alt_user_ids", [[f"{user_id}-at-home"]]),
        ("get_all_experiment_conditions", []),
        ("get_decision_point_assignment", ["classroom", "leaderboard"]),
        ("get_decision_point_assignment", ["lesson", "hint"]),
    ]


def from_the_mark_on(hint: str) -> list[tuple[str, list[Any]]]:
    """Give the other documented methods, with the condition to mark."""
    time = {"timestamp": "2026-11-20T09:00:00Z", "metrics": {"attributes": {"totalTimeSeconds": 7}}}
    return [
        ("mark_decision_point", ["lesson", "hint", hint, "condition applied"]),
        ("get_all_feature_flags", []),
        ("has_feature_flag", ["dark-mode"]),
        ("log", [[time]]),
        ("send_reward", ["SUCCESS", None, None, DecisionPoint("lesson", "hint")]),
    ]


def quick_start(name: str) -> str:
    """Give the code of one of the README's two quick starts."""
    pattern = rf"<!-- quick start, {name} -->\n```python\n(.*?)```"
    found = re.search(pattern, README.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise SystemExit(f"the README has no quick start named {name!r}")
    return found.group(1)


def tour_sync(url: str) -> None:
    """Call every documented method, blocking."""
    client = UpgradeClient("toured-sync", url, "my-app")
    for name, arguments in before_the_mark(client.user_id):
        show(name + "_sync", getattr(client, name + "_sync")(*arguments))
    hint = client.get_decision_point_assignment_sync("lesson", "hint")
    for name, arguments in from_the_mark_on(hint.get_condition() if hint else ""):
        show(name + "_sync", getattr(client, name + "_sync")(*arguments))


async def tour(url: str) -> None:
    """Call every documented method in the running event loop."""
    client = UpgradeClient("toured-async", url, "my-app")
    for name, arguments in before_the_mark(client.user_id):
        show(name, await getattr(client, name)(*arguments))
    hint = await client.get_decision_point_assignment("lesson", "hint")
    for name, arguments in from_the_mark_on(hint.get_condition() if hint else ""):
        show(name, await getattr(client, name)(*arguments))


def show(method: str, result: Any) -> None:
    """Print one line for each thing that a method gave."""
    for one in cast("list[object]", result) if isinstance(result, list) else [result]:
        print(f"  {method}: {one}")


def main() -> None:
    """Serve the school, run the quick starts and every method, and print what the server saw."""
    local = school()
    with local.serve() as url:
        print(f"LocalUpgrade serves at {url}\n")
        for name in ("sync", "async"):
            print(f"The quick start, {name}:")
            code = compile(quick_start(name).replace(ADDRESS, url), f"README.md, {name}", "exec")
            exec(code, {"__name__": "__main__"})  # it is this project's own page
            print()
        print("Every method, sync:")
        tour_sync(url)
        print("\nEvery method, async:")
        asyncio.run(tour(url))

    print("\nWhat the server saw:")
    for mark in local.marks:
        condition = mark.condition or "no condition"
        print(f"  marked    {mark.user} at {mark.site}/{mark.target}: {condition} ({mark.status})")
    for metric in local.logs:
        print(f"  logged    {metric.user}: {metric.metric} = {metric.value}")
    for reward in local.rewards:
        print(f"  rewarded  {reward.user}: {reward.value} for {reward.condition}")
    print(f"{len(local.requests)} requests in all.")


if __name__ == "__main__":
    main()
