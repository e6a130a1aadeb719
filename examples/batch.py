"""A nightly job: draw the subject of a letter for each of 5,000 users, and mark it as sent.

Run it with `python -m examples.batch`. It asks the UpGrade server that UPGRADE_HOST_URL names, or
a LocalUpgrade in this process.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence

import attrs

from upgrade_client_lib import UpgradeApiError, UpgradeClient, UpgradeConnection
from upgrade_client_lib.testing import LocalUpgrade

APPLIED = UpgradeClient.MARKED_DECISION_POINT_STATUS.CONDITION_APPLIED
AT_ONCE = 20  # as many as a connection has sockets by default: more would only wait for them
BAR_WIDTH = 40


@attrs.frozen
class Outcome:
    """How often each subject was sent, and who got no letter, and why."""

    sent: Counter[str] = attrs.field(factory=Counter[str])
    failed: dict[str, UpgradeApiError] = attrs.field(factory=dict[str, UpgradeApiError])

    @property
    def done(self) -> int:
        return sum(self.sent.values()) + len(self.failed)


async def send_letters(connection: UpgradeConnection, users: Sequence[str]) -> Outcome:
    """Send every user a letter, a few users at a time."""
    outcome = Outcome()
    waiting = iter(users)

    async def work() -> None:
        for user in waiting:  # all workers take from this one iterator, so each user comes once
            try:
                outcome.sent[await send_letter(connection, user)] += 1
            except UpgradeApiError as error:
                outcome.failed[user] = error
            show_progress(outcome.done, len(users))

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return outcome


async def send_letter(connection: UpgradeConnection, user: str) -> str:
    """Send one letter, and give its subject."""
    client = connection.client(user, "my-app")
    await client.init()
    assignment = await client.get_decision_point_assignment("letter", "subject")
    if assignment is None:
        return "as usual"
    # Here the letter would go out.
    await assignment.mark_decision_point(APPLIED)
    return assignment.get_condition()


def show_progress(done: int, total: int) -> None:
    """Draw a bar on standard error, afresh at each whole percent."""
    percent = done * 100 // total
    if percent > (done - 1) * 100 // total:
        bar = ("#" * (percent * BAR_WIDTH // 100)).ljust(BAR_WIDTH)
        end = "\n" if done == total else ""
        print(f"\r[{bar}] {percent:3} %", end=end, file=sys.stderr, flush=True)


def upgrade_connection() -> UpgradeConnection:
    """Give the connection to the real server, or to one in this process."""
    host_url = os.environ.get("UPGRADE_HOST_URL")
    if host_url:
        return UpgradeConnection(host_url)
    local = LocalUpgrade()
    local.experiment("letter", "subject", conditions={"your week": 50, "keep going": 50})
    return UpgradeConnection("http://upgrade.local", transport=local.transport)


async def main() -> None:
    users = [f"student-{number}" for number in range(1, 5001)]
    async with upgrade_connection() as connection:
        outcome = await send_letters(connection, users)
    for subject, count in sorted(outcome.sent.items()):
        print(f"{subject}: {count:,} letters")
    for user, error in sorted(outcome.failed.items()):
        print(f"{user}: no letter, {error}")


if __name__ == "__main__":
    asyncio.run(main())
