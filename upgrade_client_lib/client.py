"""UpgradeClient: one user in one context; the documented methods, async and ``_sync``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ._enqueuing_client import EnqueuingClient
from ._sync import ASYNC, SYNC, run_sync
from ._user import decide, decide_flag
from .assignment import Assignment
from .decision import Decision, FlagDecision
from .types import (
    BinaryRewardValue,
    BinaryRewardValueText,
    DecisionPoint,
    ExperimentUser,
    FeatureFlag,
    LogInput,
    LogRecord,
    MarkedDecisionPoint,
    MarkedDecisionPointStatus,
    MarkedDecisionPointStatusText,
    RewardResponse,
    UserAliases,
)

__all__ = ["UpgradeClient"]


class UpgradeClient(EnqueuingClient):
    """What UpGrade decides for one user in one context of an application.

    Every method has an async form and a ``_sync`` form, which works in threads and inside a
    running event loop (Jupyter) too. A client may be used both ways in turn, from several
    threads, and from several event loops. Making one opens no socket and sends nothing; clients
    of one host share one connection in a process unless they are given one.

    >>> client = UpgradeClient("user-1", "https://upgrade.example.org", "my-app")
    >>> client.init_sync(group={"class": ["class-1"]}, working_group={"class": "class-1"})
    >>> assignment = client.get_decision_point_assignment_sync("home", "banner")

    Without ``group``, and before :meth:`init`, a user whom the server does not know gets a
    ``UserNotInitializedError`` from every other method that asks it (one whom it knows from earlier
    does not, nor do flags by session groups alone). What goes wrong with the server is an
    ``UpgradeApiError``, which :meth:`decide` and :meth:`decide_flag` do not raise but hold; wrong
    arguments are a ``TypeError`` or ``ValueError`` before anything is sent; using a closed client
    is a ``RuntimeError``.

    Args:
        user_id: the user; latin-1 text without control characters or blanks at its ends, since
            it travels in a header.
        host_url: the server's address, with http:// or https://; an ``/api`` or ``/api/v6`` at its
            end is cut off.
        context: the application's context, exactly as UpGrade has it.
        token: sent as ``Authorization: Bearer``, for servers that check tokens.
        client_session_id: ties the requests together in the server's log; a UUID by default.
        connection: the ``UpgradeConnection`` to use, of the same host.
        transport: an httpx transport to send through, such as ``LocalUpgrade().transport``.
        rotation: what a mark in a within-subjects experiment turns. 6.5 servers advance the
            marked point alone (``"decision_point"``), newer ones every point of the experiment
            (``"experiment"``). ``"auto"`` is right on both: after a mark, the experiment's other
            points are asked for again before they are next used.
        group: the groups that the user belongs to, by group type; ``{}`` for a user who has none.
            With it, a call of a user whom the server does not know makes them known, as by
            :meth:`init`, and goes on. An explicit ``init`` or change of groups replaces it.
        working_group: goes with ``group``: the group the user works in, by group type.
        groups_for_session: see :meth:`set_feature_flag_user_groups_for_session`.
        include_stored_user_groups: goes with ``groups_for_session``.
    """

    __slots__ = ()

    # ---- The user ----

    async def init(
        self,
        group: Mapping[str, Sequence[str]] | None = None,
        working_group: Mapping[str, str] | None = None,
    ) -> ExperimentUser:
        """Make the user known to the server, with their groups, and clear what is cached.

        ``group`` maps group types to the groups the user belongs to, ``working_group`` to the
        one they work in; what is left out stays as the server has it, and a new user has none of
        it, also where the client was made with ``group``, which sends its groups by itself. Returns
        the user as stored. When it fails, the caches stay as they were.

        >>> await client.init(group={"class": ["class-1"]}, working_group={"class": "class-1"})
        """
        return await self._user.init(ASYNC, self._options, group, working_group)

    def init_sync(
        self,
        group: Mapping[str, Sequence[str]] | None = None,
        working_group: Mapping[str, str] | None = None,
    ) -> ExperimentUser:
        """Make the user known to the server, blocking, and clear what is cached.

        Arguments, answer and errors are those of :meth:`init`.
        """
        return run_sync(self._user.init(SYNC, self._options, group, working_group))

    async def set_group_membership(
        self, group: Mapping[str, Sequence[str]] | None
    ) -> ExperimentUser:
        """Replace the user's groups on the server, and clear what is cached.

        ``None`` erases them. Returns the user with their working group too, as far as this client
        knows it from earlier answers.

        >>> await client.set_group_membership({"class": ["class-1", "class-2"]})
        """
        return await self._user.set_group_membership(ASYNC, self._options, group)

    def set_group_membership_sync(
        self, group: Mapping[str, Sequence[str]] | None
    ) -> ExperimentUser:
        """Replace the user's groups on the server, blocking, and clear what is cached.

        Arguments, answer and errors are those of :meth:`set_group_membership`.
        """
        return run_sync(self._user.set_group_membership(SYNC, self._options, group))

    async def set_working_group(self, working_group: Mapping[str, str]) -> ExperimentUser:
        """Replace the groups the user works in now, and clear what is cached.

        The server does not check them against the user's groups. Returns the user with their
        groups too, as far as this client knows them from earlier answers.

        >>> await client.set_working_group({"class": "class-2"})
        """
        return await self._user.set_working_group(ASYNC, self._options, working_group)

    def set_working_group_sync(self, working_group: Mapping[str, str]) -> ExperimentUser:
        """Replace the groups the user works in now, blocking, and clear what is cached.

        Arguments, answer and errors are those of :meth:`set_working_group`.
        """
        return run_sync(self._user.set_working_group(SYNC, self._options, working_group))

    async def set_alt_user_ids(self, aliases: Sequence[str]) -> UserAliases:
        """Link other ids to this user, and clear what is cached.

        Sent once each, in order. An id that is a user of its own, or another user's alias, is a
        ``ServerError`` (status 500), and then none is linked.

        >>> await client.set_alt_user_ids(["user-1-on-the-tablet"])
        """
        return await self._user.set_alt_user_ids(ASYNC, self._options, aliases)

    def set_alt_user_ids_sync(self, aliases: Sequence[str]) -> UserAliases:
        """Link other ids to this user, blocking, and clear what is cached.

        Arguments, answer and errors are those of :meth:`set_alt_user_ids`.
        """
        return run_sync(self._user.set_alt_user_ids(SYNC, self._options, aliases))

    # ---- Experiments ----

    async def get_all_experiment_conditions(self, ignore_cache: bool = False) -> list[Assignment]:
        """Return what every decision point of the context assigns to the user, in no order.

        The server is asked once, then the cache answers until it is cleared or, with a store,
        older than ``max_age``; ``ignore_cache=True`` asks again, each time. Points without an
        experiment for this user are absent. Callers that wait for the cache at the same time share
        one request.
        """
        return await self._user.all_assignments(ASYNC, self._options, ignore_cache)

    def get_all_experiment_conditions_sync(self, ignore_cache: bool = False) -> list[Assignment]:
        """Return, blocking, what every decision point of the context assigns to the user.

        Arguments, answer and errors are those of :meth:`get_all_experiment_conditions`.
        """
        return run_sync(self._user.all_assignments(SYNC, self._options, ignore_cache))

    async def get_decision_point_assignment(
        self, site: str, target: str | None = ""
    ) -> Assignment | None:
        """Return what one decision point assigns to the user; ``None`` when it assigns nothing.

        Fetches all of the context when nothing is cached; after that it is a look-up. A target
        of ``None`` and an empty one are the same.

        >>> assignment = await client.get_decision_point_assignment("home", "banner")
        """
        try:
            return self._read_cache.current_by_site[site][target]  # type: ignore[index]
        except (KeyError, TypeError):
            pass  # and no more in here, where each error would be chained to this one
        return await self._user.assignment(ASYNC, self._options, site, target)

    def get_decision_point_assignment_sync(
        self, site: str, target: str | None = ""
    ) -> Assignment | None:
        """Return, blocking, what one decision point assigns; ``None`` when it assigns nothing.

        Arguments, answer and errors are those of :meth:`get_decision_point_assignment`.
        """
        try:
            return self._read_cache.current_by_site[site][target]  # type: ignore[index]
        except (KeyError, TypeError):
            pass  # and no more in here, where each error would be chained to this one
        return run_sync(self._user.assignment(SYNC, self._options, site, target))

    async def decide(self, site: str, target: str | None = "", *, default: str = "") -> Decision:
        """Return what to show at a decision point, whatever goes wrong with the server.

        The condition is the assigned one, else ``default``; ``reason`` says which, ``error`` what
        went wrong. Nothing that server or network do raises or outlasts the call's time limit.
        Wrong arguments are a ``TypeError`` or ``ValueError``, a closed client is a
        ``RuntimeError``. Asks the server as :meth:`get_decision_point_assignment` does.

        >>> decision = await client.decide("home", "banner", default="control")
        >>> if decision.condition == "treatment":
        ...     ...
        >>> await decision.mark()
        """
        try:
            decision = self._read_cache.decisions_by_site[site][target]  # type: ignore[index]
            if default.__class__ is str and (decision.assignment or decision.condition == default):
                return decision
        except (KeyError, TypeError):
            pass
        return await decide(self._user, ASYNC, self._options, site, target, default)

    def decide_sync(self, site: str, target: str | None = "", *, default: str = "") -> Decision:
        """Return, blocking, what to show at a decision point.

        Arguments, answer and errors are those of :meth:`decide`.
        """
        try:
            decision = self._read_cache.decisions_by_site[site][target]  # type: ignore[index]
            if default.__class__ is str and (decision.assignment or decision.condition == default):
                return decision
        except (KeyError, TypeError):
            pass
        return run_sync(decide(self._user, SYNC, self._options, site, target, default))

    async def mark_decision_point(
        self,
        site: str,
        target: str | None,
        condition: str | None,
        status: MarkedDecisionPointStatus | MarkedDecisionPointStatusText,
        uniquifier: str | None = "",
        client_error: str | None = "",
    ) -> MarkedDecisionPoint:
        """Tell the server that the user reached a decision point, and with which condition.

        Mark every encounter, also where no experiment runs (``condition=None``). The mark carries
        the ids of what the point assigns; where nothing is cached, that is fetched first, and if
        that fails the mark goes out without ids. In a within-subjects experiment each mark counts
        and moves the user on to the next condition.

        It is sent again only where the first try provably did not count. After a
        ``RequestTimeoutError`` it may have counted (``error.may_have_been_applied``); then the
        next question about the point asks the server. A condition that the experiment does not
        have is a ``ServerError`` (status 500).

        >>> status = UpgradeClient.MARKED_DECISION_POINT_STATUS.CONDITION_APPLIED
        >>> await client.mark_decision_point("home", "banner", "treatment", status)
        """
        return await self._user.marker(self._options).mark_point(
            ASYNC, site, target, condition, status, uniquifier, client_error
        )

    def mark_decision_point_sync(
        self,
        site: str,
        target: str | None,
        condition: str | None,
        status: MarkedDecisionPointStatus | MarkedDecisionPointStatusText,
        uniquifier: str | None = "",
        client_error: str | None = "",
    ) -> MarkedDecisionPoint:
        """Tell the server, blocking, that the user reached a decision point.

        Arguments, answer and errors are those of :meth:`mark_decision_point`.
        """
        return run_sync(
            self._user.marker(self._options).mark_point(
                SYNC, site, target, condition, status, uniquifier, client_error
            )
        )

    async def mark_assignment(
        self,
        assignment: Assignment,
        status: MarkedDecisionPointStatus | MarkedDecisionPointStatusText,
        uniquifier: str | None = "",
        client_error: str | None = "",
    ) -> MarkedDecisionPoint:
        """Mark an assignment's decision point, with the assignment's condition and ids.

        The same as the assignment's own :meth:`Assignment.mark_decision_point`, also for one that
        was unpickled in another process. One of a stale decision is marked if the server still
        assigns the same, else it is a ``ConflictError``. It must be this user's in this context,
        else it is a ``ValueError``; of another server's it cannot tell. What is sent again, and
        when, is as for :meth:`mark_decision_point`.

        >>> assignment = pickle.loads(message)
        >>> client = connection.client(assignment.user_id, assignment.context)
        >>> await client.mark_assignment(assignment, "condition applied")
        """
        return await self._user.marker(self._options).mark_assignment(
            ASYNC, assignment, status, uniquifier, client_error
        )

    def mark_assignment_sync(
        self,
        assignment: Assignment,
        status: MarkedDecisionPointStatus | MarkedDecisionPointStatusText,
        uniquifier: str | None = "",
        client_error: str | None = "",
    ) -> MarkedDecisionPoint:
        """Mark, blocking, an assignment's decision point, with its condition and ids.

        Arguments, answer and errors are those of :meth:`mark_assignment`.
        """
        return run_sync(
            self._user.marker(self._options).mark_assignment(
                SYNC, assignment, status, uniquifier, client_error
            )
        )

    # ---- Feature flags ----

    async def get_all_feature_flags(self, ignore_cache: bool = False) -> list[FeatureFlag]:
        """Return the flags that are on for the user, in the server's order.

        The server is asked once, then the cache answers until it is cleared or, with a store,
        older than ``max_age``; ``ignore_cache=True`` asks again, each time. Callers that wait for
        the cache at the same time share one request.
        """
        return await self._user.all_flags(ASYNC, self._options, ignore_cache)

    def get_all_feature_flags_sync(self, ignore_cache: bool = False) -> list[FeatureFlag]:
        """Return, blocking, the flags that are on for the user, in the server's order.

        Arguments, answer and errors are those of :meth:`get_all_feature_flags`.
        """
        return run_sync(self._user.all_flags(SYNC, self._options, ignore_cache))

    async def has_feature_flag(self, key: str) -> bool:
        """Tell whether a flag is on for the user; ``False`` for one that does not exist.

        Fetches all flags when nothing is cached; after that it is a look-up.

        >>> if await client.has_feature_flag("new-dashboard"):
        ...     ...
        """
        flags = self._flags.value
        if flags is not None and key and key.__class__ is str:
            return key in flags
        return await self._user.has_flag(ASYNC, self._options, key)

    def has_feature_flag_sync(self, key: str) -> bool:
        """Tell, blocking, whether a flag is on for the user.

        Arguments, answer and errors are those of :meth:`has_feature_flag`.
        """
        flags = self._flags.value
        if flags is not None and key and key.__class__ is str:
            return key in flags
        return run_sync(self._user.has_flag(SYNC, self._options, key))

    async def decide_flag(self, key: str, *, default: bool = False) -> FlagDecision:
        """Return whether a flag is on for the user, whatever goes wrong with the server.

        A flag that is off and one that does not exist are the same; ``default`` is the answer
        after an error. Nothing that server or network do raises or outlasts the call's time limit.
        Asks the server as :meth:`has_feature_flag` does.

        >>> if await client.decide_flag("new-dashboard"):
        ...     ...
        """
        flags = self._flags.value
        if flags is not None and default.__class__ is bool:
            try:
                return flags.decisions[key]
            except (KeyError, TypeError):
                pass
        return await decide_flag(self._user, ASYNC, self._options, key, default)

    def decide_flag_sync(self, key: str, *, default: bool = False) -> FlagDecision:
        """Return, blocking, whether a flag is on for the user.

        Arguments, answer and errors are those of :meth:`decide_flag`.
        """
        flags = self._flags.value
        if flags is not None and default.__class__ is bool:
            try:
                return flags.decisions[key]
            except (KeyError, TypeError):
                pass
        return run_sync(decide_flag(self._user, SYNC, self._options, key, default))

    # ---- Metrics and rewards ----

    async def log(self, metrics: Sequence[LogInput | Mapping[str, object]]) -> list[LogRecord]:
        """Report metrics of the user; gives the rows that the server wrote or updated.

        Takes ``LogInput``s, or mappings of the same shape. What the server would refuse is a
        ``ValueError`` that names the entry and the key, and nothing is sent. The server drops
        metrics that no experiment queries, and times older than the stored ones, without a word:
        an empty list is a success. No entries send nothing. UpGrade 6.5 fails on a queried metric
        where its key, its uniquifier or the user id holds an apostrophe: a ``ServerError``.

        >>> await client.log([LogInput(datetime.now(), LogMetrics({"totalTimeSeconds": 95}))])
        """
        return await self._user.log(ASYNC, self._options, metrics)

    def log_sync(self, metrics: Sequence[LogInput | Mapping[str, object]]) -> list[LogRecord]:
        """Report metrics of the user, blocking; gives the rows that were written or updated.

        Arguments, answer and errors are those of :meth:`log`.
        """
        return run_sync(self._user.log(SYNC, self._options, metrics))

    async def send_reward(
        self,
        reward_value: BinaryRewardValue | BinaryRewardValueText,
        experiment_id: str | None = None,
        context: str | None = None,
        decision_point: DecisionPoint | Mapping[str, str] | None = None,
    ) -> RewardResponse:
        """Report an outcome to an adaptive experiment, which must have been marked before.

        Name the experiment by its id, or by a decision point (and a context, by default the
        client's); with both, the id counts. Every call that arrives counts, so it is sent again
        only where the first try provably did not. A ``ConflictError`` says that there is no such
        adaptive experiment, or that the user is not enrolled in it at exactly one decision point:
        UpGrade 6.5 rewards nobody who was marked at two.

        >>> reward = UpgradeClient.BINARY_REWARD_VALUE.SUCCESS
        >>> await client.send_reward(reward, decision_point=DecisionPoint("home", "hint"))
        """
        return await self._user.send_reward(
            ASYNC, self._options, reward_value, experiment_id, context, decision_point
        )

    def send_reward_sync(
        self,
        reward_value: BinaryRewardValue | BinaryRewardValueText,
        experiment_id: str | None = None,
        context: str | None = None,
        decision_point: DecisionPoint | Mapping[str, str] | None = None,
    ) -> RewardResponse:
        """Report an outcome to an adaptive experiment, blocking.

        Arguments, answer and errors are those of :meth:`send_reward`.
        """
        return run_sync(
            self._user.send_reward(
                SYNC, self._options, reward_value, experiment_id, context, decision_point
            )
        )
