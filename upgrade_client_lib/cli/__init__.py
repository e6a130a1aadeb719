"""The command ``upgrade-client``, which the extra ``cli`` brings along."""

from __future__ import annotations

import sys


def main(name: str = "upgrade-client") -> None:
    """Run the command; where click or rich is missing, say what to install."""
    try:
        from .commands import upgrade_client
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        print(
            f"{name} needs {error.name}, which is not installed:"
            ' python -m pip install "upgrade-client-lib[cli]"',
            file=sys.stderr,
        )
        sys.exit(2)
    upgrade_client(prog_name=name)
