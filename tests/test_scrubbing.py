"""What a server says is shown without secrets, short, and on one line."""

from __future__ import annotations

import html
import json
import logging
import pickle
import socket
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote, quote_plus

import httpx
import pytest

import upgrade_client_lib
from tests.support_calls import INIT, MARK, Operation, by_endpoint
from tests.support_exchanges import Answer, ScriptedServer
from tests.support_faulty_server import Fault, FaultyServer
from tests.support_forms import Form, both_forms
from upgrade_client_lib import NoConnectionError, UpgradeApiError, UpgradeConnection

LIBRARY = Path(upgrade_client_lib.__file__).parent
URL = "http://upgrade"
PLAIN = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl"
ODD = 'p@ss/w\xf6rd  +"x"&<=y>'
every_place = pytest.mark.parametrize(
    "given",
    [
        {"token": PLAIN},
        {"token": ODD},
        {"headers": {"X-Gateway-Key": PLAIN}},
        {"headers": {"x-gateway-key": ODD}},
        {"headers": {"Authorization": f"Basic {PLAIN}"}},
        {"token": "another", "headers": {"X-Key": ODD}},
    ],
    ids=["token", "odd token", "header", "odd header", "authorization", "both"],
)


def secret_of(given: dict[str, Any]) -> str:
    return PLAIN if PLAIN in str(given) else ODD


@contextmanager
def nothing_shows(secret: str, caplog: pytest.LogCaptureFixture) -> Generator[None, None, None]:
    """The block raises an error; neither it nor a log line shows the secret, however spelled."""
    caplog.set_level(logging.NOTSET)
    with pytest.raises(UpgradeApiError) as caught:
        yield
    error = caught.value
    shown = [str(error), repr(error), repr(vars(error)), repr(error.args), *locals_shown_by(error)]
    shown += traceback.format_exception(None, error, None)
    ours = [record for record in caplog.records if record.name == "upgrade_client_lib"]
    shown += [text for record in ours for text in (record.getMessage(), repr(record.args))]
    for spelling in SPELLINGS.values():
        for part in (spelling(secret), ascii(spelling(secret))[1:-1]):
            assert part not in "".join(shown)
    assert secret.encode() not in pickle.dumps(error)


def locals_shown_by(error: BaseException | None) -> Iterator[str]:
    """What a traceback with locals shows of the library's frames."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if LIBRARY in Path(frame.f_code.co_filename).parents:
                yield repr(frame.f_locals)
        error = error.__cause__ or error.__context__


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in a URL": quote,
    "in a URL, whole": lambda text: quote(text, safe=""),
    "in a form": quote_plus,
    "in a URL, lower case": lambda text: "".join(
        char if char.isalnum() and char.isascii() else f"%{ord(char):02x}" for char in text
    ),
    "in JSON": lambda text: json.dumps(text)[1:-1],
    "in JSON as it is": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "in JSON for HTML": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "in JSON, escaped": lambda text: "".join(
        char if char.isalnum() and char.isascii() else f"\\u{ord(char):04X}" for char in text
    ),
    "in HTML": html.escape,
}


@both_forms
@every_place
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_secret_in_a_body_is_shown_nowhere(
    call: Form,
    given: dict[str, Any],
    spelling: str,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = secret_of(given)
    body = f'<a href="/sign-in?key={SPELLINGS[spelling](secret)}">sign in</a>'
    with nothing_shows(secret, caplog):
        call(client_of(Answer(status, body), **given).init)


ANSWERS: dict[str, Callable[[str], Answer]] = {
    "message and type": lambda secret: Answer(
        400, {"message": f"bad key {secret}", "type": f"Key {secret}"}
    ),
    "request": lambda secret: Answer(500, {"message": "no", "request": {"key": secret}}),
    "type": lambda secret: Answer(429, {"message": "slow down", "type": secret}),
    "wrong fields": lambda secret: Answer(
        200, {"id": 5, "userId": {"key": secret}, "message": [secret]}
    ),
    "broken JSON": lambda secret: Answer(200, f'{{"key": {json.dumps(secret)}'),
    "text": lambda secret: Answer(200, secret.encode("latin-1")),
    "text with blanks": lambda secret: Answer(500, b"a  " + secret.encode("latin-1") + b" \n b"),
    "content type": lambda secret: Answer(200, "<p>", {"Content-Type": f"text/{secret}"}),
    "redirect": lambda secret: Answer(
        307, "", {"Location": f"https://new.example.org/?key={secret}"}
    ),
    "request id": lambda secret: Answer(503, "", {"x-request-id": secret, "Retry-After": "0"}),
    "request id of an empty body": lambda secret: Answer(
        200, "", {"x-request-id": f"id of {secret}"}
    ),
}


@both_forms
@every_place
@pytest.mark.parametrize("operation", by_endpoint([INIT, MARK]))
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.usefixtures("no_delay_between_attempts")
def test_a_secret_in_an_answer_is_shown_nowhere(
    call: Form,
    operation: Operation,
    given: dict[str, Any],
    answer: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = secret_of(given)
    with nothing_shows(secret, caplog):
        operation.call(call, client_of(ANSWERS[answer](secret), **given))


NO_HTTP: dict[str, Callable[[bytes], bytes]] = {
    "status line": lambda secret: b"HTTP/1.1 OK " + secret + b"\r\n\r\n",
    "no status line": lambda secret: secret + b"\r\n\r\n",
    "header line": lambda secret: b"HTTP/1.1 200 OK\r\n" + secret + b"\r\n\r\n",
    "length": lambda secret: b"HTTP/1.1 200 OK\r\ncontent-length: " + secret + b"\r\n\r\n",
    "transfer encoding": lambda secret: (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: " + secret + b"\r\n\r\n"
    ),
    "encoding": lambda secret: b"HTTP/1.1 200 OK\r\ncontent-encoding: " + secret + b"\r\n\r\n",
    "length of a chunk": lambda secret: (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + secret + b"\r\n"
    ),
}


@both_forms
@every_place
@pytest.mark.parametrize("answer", NO_HTTP)
def test_a_secret_in_what_is_no_http_is_shown_nowhere(
    call: Form,
    given: dict[str, Any],
    answer: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def play(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(NO_HTTP[answer](secret.encode("latin-1")))
        return False

    secret = secret_of(given)
    with (
        FaultyServer(init=Fault(play, carried_out=False)) as server,
        UpgradeConnection(server.url, retries=1, **given) as connection,
        nothing_shows(secret, caplog),
    ):
        call(connection.client("user", "my-app").init)


@both_forms
@every_place
def test_what_caused_an_error_is_left_out_where_it_holds_a_secret(
    call: Form, given: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        try:
            raise OSError(f"refused by {secret}")
        except OSError as error:
            raise httpx.ConnectError("no connection") from error

    secret = secret_of(given)
    connection = UpgradeConnection(URL, transport=httpx.MockTransport(fail), retries=0, **given)
    with nothing_shows(secret, caplog):
        try:
            raise LookupError("what the caller is handling")
        except LookupError:
            call(connection.client("user", "my-app").init)


@both_forms
def test_what_a_traceback_with_locals_shows_of_an_own_client_holds_no_secret(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no connection")

    transport = httpx.MockTransport(fail)
    connection = UpgradeConnection(
        URL,
        http_client=httpx.Client(transport=transport),
        async_http_client=httpx.AsyncClient(transport=transport),
        headers={"X-Key": ODD},
        token=PLAIN,
        retries=0,
    )
    for secret in (ODD, PLAIN):
        with nothing_shows(secret, caplog):
            call(connection.client("user", "my-app").init)


def test_no_setting_shows_a_secret() -> None:
    connection = UpgradeConnection(
        URL,
        token=PLAIN,
        headers={"X-Key": ODD},
        proxy=f"http://name:{PLAIN}@proxy",
    )
    server: Any = connection._server  # pyright: ignore[reportPrivateUsage]
    transport = server._transport
    parts: list[object] = [connection, connection.client("user", "my-app")]
    parts += [vars(transport), server._secrets, vars(connection)]
    shown = repr(parts)

    assert PLAIN not in shown
    assert ODD not in shown


@both_forms
def test_what_is_no_secret_is_shown(call: Form) -> None:
    client = client_of(
        Answer(400, {"message": "en, application/json or school/2 at upgrade: no, dev"}),
        headers={
            "Accept": "application/json",
            "Accept-Language": "en",
            "Host": "upgrade",
            "User-Agent": "school/2",
            "X-Stage": "dev",
        },
    )
    with pytest.raises(UpgradeApiError) as caught:
        call(client.init)

    assert caught.value.message == "en, application/json or school/2 at upgrade: no, dev"


# ---- Long texts, and characters that are not printable ----


@both_forms
@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    "body",
    [
        {"message": "m" * 5_000_000, "type": "t" * 5_000_000},
        "t" * 5_000_000,
        " \n" * 5_000_000,
        {"k" * 5_000_000: 1},
    ],
    ids=["message", "text", "blanks", "key"],
)
def test_a_long_text_is_cut(
    call: Form, status: int, body: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    headers = {"x-request-id": "r" * 5_000_000, "Content-Type": "text/" + "c" * 5_000_000}
    with pytest.raises(UpgradeApiError) as caught:
        call(client_of(Answer(status, body, headers)).init)

    error = caught.value
    assert len(error.message) <= 1_000
    assert len(error.request_id or "") == len(error.error_type or "r" * 200) == 200
    assert len(error.response_body or "") == 10_000
    assert len(str(error)) < 1_500
    assert len("".join(traceback.format_exception(None, error, error.__traceback__))) < 20_000
    assert len(caplog.text) < 5_000


def test_a_secret_that_is_cut_is_not_shown_in_part(caplog: pytest.LogCaptureFixture) -> None:
    for length in (200, 1_000, 10_000):
        for before in range(length - len(PLAIN), length + 1):
            body = {"message": "m" * before + PLAIN, "type": "t" * before + PLAIN}
            with pytest.raises(UpgradeApiError) as caught:
                client_of(Answer(400, body), token=PLAIN).init_sync()
            error = caught.value
            assert PLAIN[:4] not in f"{error} {error.error_type} {error.response_body}"


FORGED = "all is well\n2030-01-01 ERROR root: forged\r\x1b[31m\x00\x85\u2028\u202eback\ud800"


@both_forms
@pytest.mark.parametrize("status", [200, 400, 503])
@pytest.mark.usefixtures("no_delay_between_attempts")
def test_what_is_not_printable_is_escaped(
    call: Form, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    headers = {"x-request-id": "r\n\x1b[31m", "Content-Type": "text\r\n\x1b[31m/html"}
    body: object = "<html>" if status == 200 else {"message": FORGED, "type": FORGED}
    with pytest.raises(UpgradeApiError) as caught:
        call(client_of(Answer(status, body, headers)).init)

    error = caught.value
    shown = [error.message, str(error), repr(error), error.error_type or "", error.request_id or ""]
    assert all(text.isprintable() for text in shown)
    assert all(record.getMessage().isprintable() for record in caplog.records)
    assert error.request_id == r"r\n\x1b[31m"
    if status != 200:
        escaped = r"well\n2030-01-01 ERROR root: forged\r\x1b[31m\x00\x85\u2028\u202eback\ud800"
        assert error.message == error.error_type == f"all is {escaped}"


@both_forms
def test_what_caused_an_error_is_left_out_where_it_could_forge_a_line(call: Form) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused\nforged")

    connection = UpgradeConnection(URL, transport=httpx.MockTransport(fail), retries=0)
    with pytest.raises(NoConnectionError, match=r"refused\\nforged") as caught:
        call(connection.client("user", "my-app").init)

    assert caught.value.__cause__ is caught.value.__context__ is None


def client_of(answer: Answer, **given: Any) -> Any:
    connection = UpgradeConnection(URL, transport=ScriptedServer(answer), **given)
    return connection.client("user", "my-app")
