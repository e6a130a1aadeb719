"""Lets long names in a page's table of contents wrap where they have an underscore."""

from __future__ import annotations

from collections.abc import Iterable

from mkdocs.structure.pages import Page
from mkdocs.structure.toc import AnchorLink


def on_page_content(html: str, page: Page, **_: object) -> str:
    """Mark the places in the table of contents; mkdocs calls this."""
    _let_wrap(page.toc)
    return html


def _let_wrap(links: Iterable[AnchorLink]) -> None:
    for link in links:
        link.title = link.title.replace("_", "_<wbr>")
        _let_wrap(link.children)
