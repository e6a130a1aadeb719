"""Packages that load what they export when it is first used, so that no program loads the rest."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module

from ._fork import fork_waits


def load(package: str, modules: Mapping[str, str], name: str) -> object:
    """Return what a package exports by this name: a module of it, or what that module has.

    It is an attribute of the package from then on. Forks wait for the import, in whichever order
    threads ask for names; so nothing else of the library is imported late without them.
    """
    if name not in modules:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    with fork_waits():
        module = import_module(f".{modules[name]}", package)
        value: object = module if modules[name] == name else getattr(module, name)
    setattr(sys.modules[package], name, value)
    return value
