"""What watches over all tests does see what it is there for."""

from __future__ import annotations

import socket

import pytest

from tests.support_conformance import complaints_of
from upgrade_client_lib.testing._http import Response


@pytest.mark.parametrize("host", ["upgrade.example.org", b"upgrade.example.org", "192.0.2.1"])
def test_looking_up_another_machine_fails_the_test(host: str | bytes) -> None:
    with pytest.raises(pytest.fail.Exception, match="tests reach loopback alone, not "):
        socket.getaddrinfo(host, 443)


@pytest.mark.parametrize("connect", ["connect", "connect_ex"])
def test_connecting_to_another_machine_fails_the_test(connect: str) -> None:
    with socket.socket() as outward, pytest.raises(pytest.fail.Exception, match=r"192\.0\.2\.1"):
        getattr(outward, connect)(("192.0.2.1", 443))


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (Response(418, [], b"{}"), "/api/v6/init answers 418, which the spec does not name for it"),
        (Response(200, [], b"[]"), "/api/v6/init answers 200: [] is not of type"),
    ],
)
def test_an_answer_that_the_spec_does_not_allow_is_complained_of(
    answer: Response, complaint: str
) -> None:
    (said,) = complaints_of("/api/v6/init", answer)
    assert said.startswith(complaint)
