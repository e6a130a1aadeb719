"""UpGrade in the frameworks of its users: a module for each, an extra of the package for each.

Each is imported by its own name, such as ``upgrade_client_lib.integrations.openfeature``, and needs
``pip install "upgrade-client-lib[openfeature]"``; without it, an ``ImportError`` says so.
"""

from __future__ import annotations
