"""The documented types: enums, what is sent (requests) and what comes back (responses)."""

from __future__ import annotations

from . import enums, outbox, requests, responses
from .enums import *
from .outbox import *
from .requests import *
from .responses import *

__all__: list[str] = []
__all__ += enums.__all__
__all__ += outbox.__all__
__all__ += requests.__all__
__all__ += responses.__all__
