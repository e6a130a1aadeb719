"""Logging when a server becomes unreachable, and when it is reachable again."""

from __future__ import annotations

import logging

from ..exceptions import UpgradeApiError

_logger = logging.getLogger("upgrade_client_lib")


class Reachability:
    """Whether the server was reachable when last tried; logs each change."""

    __slots__ = ("_host_url", "_reachable")

    def __init__(self, host_url: str) -> None:
        self._host_url = host_url
        self._reachable = True

    def succeeded(self) -> None:
        if not self._reachable:
            self._reachable = True
            _logger.info("the UpGrade server at %s is reachable again", self._host_url)

    def failed(self, error: UpgradeApiError) -> None:
        if self._reachable:
            self._reachable = False
            _logger.warning("the UpGrade server at %s is unreachable: %s", self._host_url, error)
