"""Packages that load what they export when it is first used, so that no program loads the rest."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

from ._fork import fork_waits


def load(package: str, modules: Mapping[str, str], name: str) -> object:
    """Return what a package exports by this name: a module of it, or what that module has.

    It is no attribute of the package: tests may have the interpreter forget what was imported
    during them, and a class that was kept here would not be the one that is imported next. Forks
    wait for the import, in whichever order threads ask for names; so nothing else of the library
    is imported late without them.
    """
    if name not in modules:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    found = f"{package}.{modules[name]}"
    module = _imported.get(found)
    if module is None or sys.modules.get(found) is not module:
        with fork_waits():
            module = _imported[found] = import_module(found)
    return module if modules[name] == name else getattr(module, name)


_imported: dict[str, ModuleType] = {}
"""The modules whose import has ended."""
