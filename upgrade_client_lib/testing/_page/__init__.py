"""The page that a served LocalUpgrade shows to a browser on the same machine."""

from __future__ import annotations

from .routes import Page

__all__ = ["Page"]
