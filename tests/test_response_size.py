"""How large an answer may be, and that no more of it is kept, however it is sent."""

from __future__ import annotations

import gzip
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.support_faulty_server import Fault, FaultyServer, answers
from tests.support_forms import Form, both_forms, every_way
from upgrade_client_lib import UnreadableAnswerError, UpgradeApiError, UpgradeConnection

pytestmark = pytest.mark.usefixtures("engine")

URL = "http://upgrade"
MB = 1_000_000


WINDOWS = {"gzip": 31, "deflate": 15, "raw deflate": -15}
"""How zlib is told which format to write."""


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    """Some 100 kB that become 100 MB, in each format."""
    return {name: bomb(window) for name, window in WINDOWS.items()}


def bomb(window: int) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, window)
    piece = bytes(MB)
    return b"".join(compressor.compress(piece) for _ in range(100)) + compressor.flush()


@contextmanager
def little_memory() -> Generator[None, None, None]:
    """Fail when more than 8 MB are held at any one time."""
    tracemalloc.start()
    try:
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * MB


@every_way
@pytest.mark.parametrize("own", [False, True], ids=["own sockets", "own client"])
@pytest.mark.parametrize("kind", WINDOWS)
def test_an_answer_that_expands_is_dropped_when_it_is_too_large(
    call: Form, kind: str, own: bool, bombs: dict[str, bytes]
) -> None:
    encoding = {"Content-Encoding": kind.split()[-1], "x-request-id": "r-1"}
    with (
        FaultyServer(init=answers(200, bombs[kind], encoding)) as server,
        connected(server.url, own, max_response_bytes=MB) as connection,
    ):
        client = connection.client("user", "my-app")
        with little_memory(), pytest.raises(UnreadableAnswerError) as caught:
            call(client.init)
        server.wait_until_all_hung_up()

    error = caught.value
    assert "max_response_bytes" in error.message
    assert (error.status_code, error.request_id, error.attempts) == (200, "r-1", 1)
    assert error.response_body is None
    assert error.may_have_been_applied
    assert error.endpoint == "POST /api/v6/init"


def never_ends(connection: socket.socket, _: bytes) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
    piece = b" " * 65536
    while True:  # until the other side hangs up
        connection.sendall(piece)


@every_way
@pytest.mark.parametrize("own", [False, True], ids=["own sockets", "own client"])
def test_an_answer_without_an_end_is_not_waited_for(call: Form, own: bool) -> None:
    with (
        FaultyServer(init=Fault(never_ends)) as server,
        connected(server.url, own, max_response_bytes=MB) as connection,
    ):
        client = connection.client("user", "my-app")
        with little_memory(), pytest.raises(UnreadableAnswerError, match="max_response_bytes"):
            call(client.init)
        server.wait_until_all_hung_up()


@both_forms
def test_what_follows_the_end_of_a_compressed_answer_is_limited_too(call: Form) -> None:
    body = gzip.compress(b'{"id": "user"}')
    with pytest.raises(UnreadableAnswerError, match="max_response_bytes"):
        call(answered_by([body, *[bytes(65536)] * 20], "gzip", limit=MB).init)
    assert call(answered_by([body, bytes(65536)], "gzip", limit=MB).init).id == "user"


@both_forms
@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_may_be_as_large_as_the_limit(call: Form, encoding: str, status: int) -> None:
    body = b'{"id": "user"}' + b" " * 100_000
    sent = gzip.compress(body) if encoding else body

    with pytest.raises(UpgradeApiError) as caught:
        call(answered_by([sent], encoding, limit=len(body) - 1, status=status).init)
    assert type(caught.value) is UnreadableAnswerError
    assert caught.value.status_code == status
    if status == 200:
        assert call(answered_by([sent], encoding, limit=len(body)).init).id == "user"


@both_forms
def test_the_limit_is_32_megabytes_unless_it_is_set(call: Form) -> None:
    start, whole = b'{"id": "user"}', 32 * 2**20

    def pieces(size: int) -> list[bytes]:
        return [start, *[b" " * 2**20] * 31, b" " * (2**20 - len(start) + size - whole)]

    assert call(answered_by(pieces(whole)).init).id == "user"
    with pytest.raises(UnreadableAnswerError, match="max_response_bytes"):
        call(answered_by(pieces(whole + 1)).init)


@both_forms
def test_a_transport_that_has_read_the_answer_is_held_to_the_limit(call: Form) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"id": "u" * 100}))
    connection = UpgradeConnection(URL, transport=transport, max_response_bytes=100)

    with pytest.raises(UnreadableAnswerError, match="max_response_bytes"):
        call(connection.client("user", "my-app").init)


# ---- Encodings ----


@both_forms
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate", "raw deflate"])
@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 131_072, 200_001])
@pytest.mark.parametrize("piece", [1, 7, 10**6])
def test_an_encoded_answer_is_read_however_it_is_cut(
    call: Form, encoding: str, size: int, piece: int
) -> None:
    compressor = zlib.compressobj(6, zlib.DEFLATED, WINDOWS.get(encoding, 31))
    sent = compressor.compress(b'{"id": "' + b"u" * size + b'"}') + compressor.flush()
    pieces = [b"", *(sent[i : i + piece] for i in range(0, len(sent), piece))]

    assert call(answered_by(pieces, encoding.split()[-1]).init).id == "u" * size


@both_forms
@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nothing"])
def test_an_encoding_that_was_not_asked_for_is_no_answer(call: Form, encoding: str) -> None:
    body = Pieces([b'{"id": "user"}'])

    with pytest.raises(UnreadableAnswerError, match=f"'{encoding}', and gzip, deflate were asked"):
        call(client_of(200, body, {"Content-Encoding": encoding}).init)

    assert body.is_closed


@both_forms
@pytest.mark.parametrize("encoding", ["identity", " Identity "])
def test_an_answer_may_say_that_it_is_not_encoded(call: Form, encoding: str) -> None:
    assert call(answered_by([b'{"id": "user"}'], encoding).init).id == "user"


@both_forms
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [b"no such thing", b"\x1f\x8b\x08no such thing", b"\x78no"])
def test_an_answer_that_cannot_be_decoded_is_no_answer(
    call: Form, encoding: str, body: bytes
) -> None:
    with pytest.raises(UnreadableAnswerError) as caught:
        call(answered_by([body], encoding).init)

    assert caught.value.may_have_been_applied


@both_forms
def test_own_clients_ask_for_what_can_be_limited(call: Form) -> None:
    with FaultyServer() as server, connected(server.url, True) as connection:
        call(connection.client("user", "my-app").init)

    assert server.received[0].headers["accept-encoding"] == "gzip, deflate"


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that arrives piece by piece."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    def close(self) -> None:
        self.is_closed = True

    async def aclose(self) -> None:
        self.is_closed = True


def client_of(status: int, body: Pieces, headers: dict[str, str], **options: Any) -> Any:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, stream=body))
    return UpgradeConnection(URL, transport=transport, **options).client("user", "my-app")


def answered_by(
    pieces: list[bytes], encoding: str = "", *, limit: int | None = None, status: int = 200
) -> Any:
    headers = {"Content-Encoding": encoding} if encoding else {}
    options = {} if limit is None else {"max_response_bytes": limit}
    return client_of(status, Pieces(pieces), headers, **options)


@contextmanager
def connected(url: str, own: bool, **options: Any) -> Generator[UpgradeConnection, None, None]:
    at_once = httpx.Limits(max_keepalive_connections=0)  # closes sockets after each answer
    given: dict[str, Any] = {}
    if own:
        given = {
            "http_client": httpx.Client(limits=at_once),
            "async_http_client": httpx.AsyncClient(limits=at_once),
            "async_engine": "httpx",
        }
    with UpgradeConnection(url, **given, **options) as connection:
        yield connection
