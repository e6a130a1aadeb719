"""The check of bearer tokens, for a server that has it switched on."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import attrs

from ..._narrow import object_or_none
from .errors import INVALID_TOKEN, MISSING_TOKEN, ApiError


@attrs.frozen
class TokenCheck:
    """Accepts HS256 tokens that are signed with ``secret`` and hold ``{"APIKey": key}``."""

    secret: str = attrs.field(repr=False)
    key: str = attrs.field(repr=False)

    def __call__(self, authorization: str | None) -> None:
        """Raise the server's 401 unless this ``Authorization`` header is valid."""
        token = (authorization or "").replace("Bearer ", "", 1).strip()
        if not token:
            message = "Token is not present in request header from client"
            raise ApiError(401, message, MISSING_TOKEN)
        parts = token.split(".")
        if len(parts) != 3:
            raise ApiError(401, "jwt malformed", "User ID not found", "JsonWebTokenError")
        header, claims = _decoded(parts[0]), _decoded(parts[1])
        if header is None or claims is None:
            raise _refused("JsonWebTokenError", "invalid token")
        if header.get("alg") != "HS256":
            raise _refused("JsonWebTokenError", "invalid algorithm")
        if not hmac.compare_digest(self._signature(parts[0], parts[1]), parts[2].encode()):
            raise _refused("JsonWebTokenError", "invalid signature")
        expires = claims.get("exp")
        if isinstance(expires, (int, float)) and time.time() >= expires:
            raise _refused("TokenExpiredError", "jwt expired")
        if {name: claims[name] for name in set(claims) - {"iat", "exp"}} != {"APIKey": self.key}:
            raise _refused("Error", "Provided token is invalid")

    def token(self) -> str:
        """Return a token that does not expire."""
        header, claims = _encoded({"alg": "HS256", "typ": "JWT"}), _encoded({"APIKey": self.key})
        return f"{header}.{claims}.{self._signature(header, claims).decode()}"

    def _signature(self, header: str, claims: str) -> bytes:
        signed = f"{header}.{claims}".encode()
        digest = hmac.new(self.secret.encode(), signed, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=")


def _encoded(part: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _decoded(part: str) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return None
    return object_or_none(value)


def _refused(name: str, message: str) -> ApiError:
    return ApiError(401, message, INVALID_TOKEN, name)
