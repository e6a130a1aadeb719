from http import HTTPStatus
from typing import Any, Optional, Union, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error import Error
from ...models.user_aliases import UserAliases
from ...models.user_aliases_request import UserAliasesRequest
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    body: UserAliasesRequest,
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
        "method": "patch",
        "url": "/api/v6/useraliases",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: Union[AuthenticatedClient, Client], response: httpx.Response
) -> Optional[Union[Any, Error, UserAliases]]:
    if response.status_code == 200:
        response_200 = UserAliases.from_dict(response.json())

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
) -> Response[Union[Any, Error, UserAliases]]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: Union[AuthenticatedClient, Client],
    body: UserAliasesRequest,
    user_id: str,
    session_id: Union[Unset, str] = UNSET,
    client_context: Union[Unset, str] = UNSET,
    client_version: Union[Unset, str] = UNSET,
) -> Response[Union[Any, Error, UserAliases]]:
    """Add other ids of the same user

     Links each alias to the user. An alias that belongs to somebody else, that is a user of its
    own, or that is the user's own id is a 500. Harmless to repeat.

    Args:
        user_id (str):
        session_id (Union[Unset, str]):
        client_context (Union[Unset, str]):
        client_version (Union[Unset, str]):
        body (UserAliasesRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Union[Any, Error, UserAliases]]
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
    body: UserAliasesRequest,
    user_id: str,
    session_id: Union[Unset, str] = UNSET,
    client_context: Union[Unset, str] = UNSET,
    client_version: Union[Unset, str] = UNSET,
) -> Optional[Union[Any, Error, UserAliases]]:
    """Add other ids of the same user

     Links each alias to the user. An alias that belongs to somebody else, that is a user of its
    own, or that is the user's own id is a 500. Harmless to repeat.

    Args:
        user_id (str):
        session_id (Union[Unset, str]):
        client_context (Union[Unset, str]):
        client_version (Union[Unset, str]):
        body (UserAliasesRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Union[Any, Error, UserAliases]
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
    body: UserAliasesRequest,
    user_id: str,
    session_id: Union[Unset, str] = UNSET,
    client_context: Union[Unset, str] = UNSET,
    client_version: Union[Unset, str] = UNSET,
) -> Response[Union[Any, Error, UserAliases]]:
    """Add other ids of the same user

     Links each alias to the user. An alias that belongs to somebody else, that is a user of its
    own, or that is the user's own id is a 500. Harmless to repeat.

    Args:
        user_id (str):
        session_id (Union[Unset, str]):
        client_context (Union[Unset, str]):
        client_version (Union[Unset, str]):
        body (UserAliasesRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Union[Any, Error, UserAliases]]
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
    body: UserAliasesRequest,
    user_id: str,
    session_id: Union[Unset, str] = UNSET,
    client_context: Union[Unset, str] = UNSET,
    client_version: Union[Unset, str] = UNSET,
) -> Optional[Union[Any, Error, UserAliases]]:
    """Add other ids of the same user

     Links each alias to the user. An alias that belongs to somebody else, that is a user of its
    own, or that is the user's own id is a 500. Harmless to repeat.

    Args:
        user_id (str):
        session_id (Union[Unset, str]):
        client_context (Union[Unset, str]):
        client_version (Union[Unset, str]):
        body (UserAliasesRequest):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Union[Any, Error, UserAliases]
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
