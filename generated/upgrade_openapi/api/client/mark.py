from http import HTTPStatus
from typing import Any, Optional, Union, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error import Error
from ...models.mark_request import MarkRequest
from ...models.marked_decision_point import MarkedDecisionPoint
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    body: MarkRequest,
    user_id: str,
    session_id: Union[Unset, str] = UNSET,
    client_context: Union[Unset, str] = UNSET,
    client_version: Union[Unset, str] = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    headers["User-Id"] = user_id

    if not isinstance(session_id, Unset):
        headers["Session-Id"] = session_id

    if not isinstance(client_context, Unset):
        headers["Client-Context"] = client_context

    if not isinstance(client_version, Unset):
        headers["Client-Version"] = client_version

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v6/mark",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: Union[AuthenticatedClient, Client], response: httpx.Response
) -> Optional[Union[Any, Error, MarkedDecisionPoint]]:
    if response.status_code == 200:
        response_200 = MarkedDecisionPoint.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = Error.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Error.from_dict(response.json())

        return response_401

    if response.status_code == 404:
        response_404 = Error.from_dict(response.json())

        return response_404

    if response.status_code == 413:
        response_413 = Error.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Error.from_dict(response.json())

        return response_415

    if response.status_code == 431:
        response_431 = cast(Any, None)
        return response_431

    if response.status_code == 500:
        response_500 = Error.from_dict(response.json())

        return response_500

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: Union[AuthenticatedClient, Client], response: httpx.Response
) -> Response[Union[Any, Error, MarkedDecisionPoint]]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: Union[AuthenticatedClient, Client],
    body: MarkRequest,
    user_id: str,
    session_id: Union[Unset, str] = UNSET,
    client_context: Union[Unset, str] = UNSET,
    client_version: Union[Unset, str] = UNSET,
) -> Response[Union[Any, Error, MarkedDecisionPoint]]:
    """Say that a user met a decision point

     Enrols the user, and in a within-subjects experiment takes the next condition of the queue.
    Mark every encounter, also where no experiment runs. In a within-subjects experiment every
    call counts, so a repeat is not harmless.

    Args:
        user_id (str):
        session_id (Union[Unset, str]):
        client_context (Union[Unset, str]):
        client_version (Union[Unset, str]):
        body (MarkRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Union[Any, Error, MarkedDecisionPoint]]
    """

    kwargs = _get_kwargs(
        body=body,
        user_id=user_id,
        session_id=session_id,
        client_context=client_context,
        client_version=client_version,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: Union[AuthenticatedClient, Client],
    body: MarkRequest,
    user_id: str,
    session_id: Union[Unset, str] = UNSET,
    client_context: Union[Unset, str] = UNSET,
    client_version: Union[Unset, str] = UNSET,
) -> Optional[Union[Any, Error, MarkedDecisionPoint]]:
    """Say that a user met a decision point

     Enrols the user, and in a within-subjects experiment takes the next condition of the queue.
    Mark every encounter, also where no experiment runs. In a within-subjects experiment every
    call counts, so a repeat is not harmless.

    Args:
        user_id (str):
        session_id (Union[Unset, str]):
        client_context (Union[Unset, str]):
        client_version (Union[Unset, str]):
        body (MarkRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Union[Any, Error, MarkedDecisionPoint]
    """

    return sync_detailed(
        client=client,
        body=body,
        user_id=user_id,
        session_id=session_id,
        client_context=client_context,
        client_version=client_version,
    ).parsed


async def asyncio_detailed(
    *,
    client: Union[AuthenticatedClient, Client],
    body: MarkRequest,
    user_id: str,
    session_id: Union[Unset, str] = UNSET,
    client_context: Union[Unset, str] = UNSET,
    client_version: Union[Unset, str] = UNSET,
) -> Response[Union[Any, Error, MarkedDecisionPoint]]:
    """Say that a user met a decision point

     Enrols the user, and in a within-subjects experiment takes the next condition of the queue.
    Mark every encounter, also where no experiment runs. In a within-subjects experiment every
    call counts, so a repeat is not harmless.

    Args:
        user_id (str):
        session_id (Union[Unset, str]):
        client_context (Union[Unset, str]):
        client_version (Union[Unset, str]):
        body (MarkRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Union[Any, Error, MarkedDecisionPoint]]
    """

    kwargs = _get_kwargs(
        body=body,
        user_id=user_id,
        session_id=session_id,
        client_context=client_context,
        client_version=client_version,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: Union[AuthenticatedClient, Client],
    body: MarkRequest,
    user_id: str,
    session_id: Union[Unset, str] = UNSET,
    client_context: Union[Unset, str] = UNSET,
    client_version: Union[Unset, str] = UNSET,
) -> Optional[Union[Any, Error, MarkedDecisionPoint]]:
    """Say that a user met a decision point

     Enrols the user, and in a within-subjects experiment takes the next condition of the queue.
    Mark every encounter, also where no experiment runs. In a within-subjects experiment every
    call counts, so a repeat is not harmless.

    Args:
        user_id (str):
        session_id (Union[Unset, str]):
        client_context (Union[Unset, str]):
        client_version (Union[Unset, str]):
        body (MarkRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Union[Any, Error, MarkedDecisionPoint]
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            user_id=user_id,
            session_id=session_id,
            client_context=client_context,
            client_version=client_version,
        )
    ).parsed
