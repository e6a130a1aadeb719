"""``python -m upgrade_client_lib`` is the command ``upgrade-client``."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main("python -m upgrade_client_lib")
