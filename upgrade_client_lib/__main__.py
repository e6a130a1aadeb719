"""``python -m upgrade_client_lib`` is the command ``upgrade-client``."""

from __future__ import annotations

import sys

NAME = "python -m upgrade_client_lib"


def main(arguments: list[str]) -> None:
    """Deliver, which needs nothing more; for all else, run the command that the extra brings."""
    if arguments[:1] == ["deliver"]:
        from ._delivering import main as deliver

        sys.exit(deliver(arguments[1:], NAME))
    from .cli import main as run_command

    run_command(NAME)


if __name__ == "__main__":
    main(sys.argv[1:])
