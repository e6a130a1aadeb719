"""The school that the demo, the examples and the documentation speak of, on a LocalUpgrade."""

from __future__ import annotations

from upgrade_client_lib.testing import sample_school as school

__all__ = ["school"]
