"""Requests in, responses and errors out: in process or on a socket, with faults."""

from __future__ import annotations

from .app import Api, Response
from .faults import Body
from .requests import Request
from .server import Report, SocketServer
from .tokens import TokenCheck
from .transport import LocalTransport

__all__ = [
    "Api",
    "Body",
    "LocalTransport",
    "Report",
    "Request",
    "Response",
    "SocketServer",
    "TokenCheck",
]
