"""Docstrings as Markdown: the few marks that they take from elsewhere are turned into its own.

The labels that say how an attribute is stored are left out: readers need not know.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|exc|func|meth|mod):`~?([\w.]+)`")
_LITERAL = re.compile(r"(?m)^::\n|(?<=:):$")
_SESSION = re.compile(r"(?m)^( *)>>> .*(?:\n\1.+)*")


class MarkdownDocstrings(griffe.Extension):
    """Rewrites every object when it has been read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value, obj)
        obj.labels -= {"class-attribute", "instance-attribute"}


def markdown(docstring: str, obj: griffe.Object) -> str:
    """Make links of roles, code of ``::`` paragraphs, and fenced code of what is after >>>."""
    docstring = _ROLE.sub(lambda role: f"[`{role[1]}`][{_target(role[1], obj)}]", docstring)
    docstring = _LITERAL.sub("", docstring)
    return _SESSION.sub(_fenced, docstring)


def _target(name: str, obj: griffe.Object) -> str:
    """What a name stands for here: mkdocstrings finds it, but for what a class inherits."""
    scope = obj if obj.is_class else obj.parent
    inherited = scope is not None and scope.is_class and name in scope.inherited_members
    return f"{scope.path}.{name}" if scope is not None and inherited else name


def _fenced(session: re.Match[str]) -> str:
    """Give a session without its prompts, so that it can be copied; what it prints is a comment."""
    indent = session[1]
    lines: list[str] = []
    for line in session[0].splitlines():
        text = line[len(indent) :]
        prompted = text.startswith((">>>", "..."))
        lines.append(indent + (text[4:] if prompted else f"# {text}"))
    return "\n".join([f"{indent}```python", *lines, f"{indent}```"])
