"""HTML from Python values, each text of which is escaped."""

from __future__ import annotations

from html import escape


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: object, **attributes: object) -> Html:
    """Return an element; ``class_`` and ``for_`` stand for Python's words.

    Children are escaped, unless they are ``Html``; ``None`` is left out. An attribute is left out
    where it is ``None`` or ``False``, and stands without a value where it is ``True``.
    """
    text = "".join(
        _attribute(name.rstrip("_").replace("_", "-"), value)
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{tag}{text}>{joined(*children)}</{tag}>")


def void_element(tag: str, **attributes: object) -> Html:
    """Return an element that has no content, such as ``input``."""
    return Html(element(tag, **attributes).removesuffix(f"</{tag}>"))


def joined(*children: object) -> Html:
    """Return children one after the other."""
    return Html(
        "".join(
            child if isinstance(child, Html) else escape(str(child))
            for child in children
            if child is not None
        )
    )


def _attribute(name: str, value: object) -> str:
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
