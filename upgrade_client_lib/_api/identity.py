"""Who sends a request."""

from __future__ import annotations

import uuid

import attrs


@attrs.frozen
class Identity:
    """Who sends a request: what the headers of each carry.

    ``session`` is the session's id, or the 16 random bytes of one.
    """

    user_id: str
    session: str | bytes
    context: str
    token: str = attrs.field(repr=False)

    @property
    def session_id(self) -> str:
        """The session's id; made of its bytes when it is needed, since few clients send anything.

        The same bytes make the same id, in any thread and in a child process.
        """
        session = self.session
        return session if isinstance(session, str) else str(uuid.UUID(bytes=session, version=4))
