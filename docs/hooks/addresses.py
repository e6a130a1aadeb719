"""Gives the site its own address and links to the project's others; all stand in pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"


def on_config(config: MkDocsConfig) -> None:
    """Set the site's address, and add to its navigation; mkdocs calls this."""
    urls = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["urls"]
    config.site_url = urls["Documentation"]
    links = [{label: urls[label]} for label in ("Source", "Issues", "Changelog")]
    config.nav = [*(config.nav or []), {"Project": links}]
