"""Gives PyPI the README with absolute links, as relative ones lead nowhere there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

CODE_OR_LINK = re.compile(r"(?ms)^```.*?^```$|(?<=\]\()(?P<path>[\w./-]+)(?=[#)])")


class AbsoluteLinks(MetadataHookInterface):
    """Fills in the field `readme`; hatchling calls it to read the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Read the README, and make its links absolute with the addresses in [project.urls]."""
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        text = CODE_OR_LINK.sub(lambda found: absolute(found, metadata["urls"]), readme)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def absolute(found: re.Match[str], urls: Mapping[str, str]) -> str:
    """Return a page's address on the documentation's site, any other file's in the repository."""
    path = found["path"]
    if path is None:
        return found[0]
    if path.startswith("docs/"):
        page = path.removeprefix("docs/").removesuffix(".md")
        return f"{urls['Documentation']}/{page}.html"
    return f"{urls['Source']}/blob/main/{path}"
