"""Requests in, responses and errors out: in process or on a socket, with faults."""

from __future__ import annotations

from .app import Api, Response
from .disruptions import Disruption
from .faults import Body, Fault
from .http1 import RequestHead
from .requests import Request
from .server import Report, SocketServer
from .tokens import TokenCheck
from .transport import LocalTransport

__all__ = [
    "Api",
    "Body",
    "Disruption",
    "Fault",
    "LocalTransport",
    "Report",
    "Request",
    "RequestHead",
    "Response",
    "SocketServer",
    "TokenCheck",
]
