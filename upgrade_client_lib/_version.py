"""The version, in its one place."""

from __future__ import annotations

__version__ = "7.0.0.dev0"
