"""A provider for OpenFeature: flags and decision points through its API, and nothing marked.

>>> from openfeature import api
>>> from openfeature.evaluation_context import EvaluationContext
>>> from upgrade_client_lib.integrations.openfeature import UpgradeProvider
>>> api.set_provider_and_wait(UpgradeProvider(connection, "my-app"))
>>> student = EvaluationContext("student-4", {"groups": {"class": ["class-1"]}})
>>> api.get_client().get_string_value("home/banner", "control", student)
'treatment'
"""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, TypeVar, Union

from .._fork import call_after_fork_on
from .._narrow import list_or_none, object_or_none
from .._rules import arguments
from ..client import UpgradeClient
from ..connection import UpgradeConnection
from ..decision import Decision, FlagDecision
from ..exceptions import OutboxError, UpgradeApiError, UserNotInitializedError
from ..types import LogInput, LogMetrics, Payload, PayloadType
from ._decisions import reason_of, variant_of

try:
    from openfeature.event import ProviderEvent, ProviderEventDetails
    from openfeature.exception import (
        ErrorCode,
        FlagNotFoundError,
        InvalidContextError,
        ParseError,
        TargetingKeyMissingError,
        TypeMismatchError,
    )
    from openfeature.flag_evaluation import FlagResolutionDetails, Reason
    from openfeature.provider import AbstractProvider, Metadata
except ImportError as error:
    raise ImportError(
        "this module needs the package openfeature-sdk:"
        ' pip install "upgrade-client-lib[openfeature]"'
    ) from error

if TYPE_CHECKING:
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.flag_evaluation import FlagValueType
    from openfeature.track import TrackingEventDetails

    ObjectValue = Union[Sequence[FlagValueType], Mapping[str, FlagValueType]]

__all__ = ["UpgradeProvider"]

T = TypeVar("T")

_logger = logging.getLogger("upgrade_client_lib")


class UpgradeProvider(AbstractProvider):
    """What UpGrade decides, for OpenFeature's clients, async and blocking.

    A boolean is a feature flag, by its key. All others are decision points, by ``"site/target"``:
    the first ``/`` splits, and ``%2F`` stands for one. A string is the assigned condition; an
    object, an integer and a float are its payload, read as JSON. Without an assignment, the value
    is the default, and the reason ``DEFAULT``; a flag that is off is false, whatever the default.

    The targeting key is the user's id. The attributes ``groups`` and ``working_group`` of the
    evaluation context are the ``group`` and ``working_group`` of :class:`UpgradeClient`.

    An evaluation asks the server, unless the connection has a store that knows the user. It never
    marks anything, and raises nothing that server or network do: these are the reason ``ERROR`` and
    the default.

    Args:
        connection: the server; closing it is yours.
        context: the application's context, exactly as UpGrade has it.
    """

    def __init__(self, connection: UpgradeConnection, context: str) -> None:
        super().__init__()
        self._connection = connection
        self._context = arguments.nonempty("context", context)
        self._told = ProviderEvent.PROVIDER_READY
        self._lock = threading.RLock()
        call_after_fork_on(self, UpgradeProvider._reset_after_fork)

    def get_metadata(self) -> Metadata:
        """Return the provider's name, which is ``UpGrade``."""
        return Metadata(name="UpGrade")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Send nothing: the connection is made by the first evaluation."""
        self._told = ProviderEvent.PROVIDER_READY

    # ---- Feature flags ----

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Return, blocking, whether a flag is on."""
        key, client = _key(flag_key), self._client(evaluation_context)
        decision = client.decide_flag_sync(key, default=default_value)
        self._tell_availability()
        return _explained(decision, decision.enabled)

    async def resolve_boolean_details_async(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Return whether a flag is on."""
        key, client = _key(flag_key), self._client(evaluation_context)
        decision = await client.decide_flag(key, default=default_value)
        self._tell_availability()
        return _explained(decision, decision.enabled)

    # ---- Decision points ----

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """Return, blocking, the assigned condition."""
        return self._decide_sync(flag_key, default_value, evaluation_context, _condition)

    async def resolve_string_details_async(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """Return the assigned condition."""
        return await self._decide(flag_key, default_value, evaluation_context, _condition)

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """Return, blocking, the whole number that the assigned condition carries."""
        return self._decide_sync(flag_key, default_value, evaluation_context, _integer)

    async def resolve_integer_details_async(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """Return the whole number that the assigned condition carries."""
        return await self._decide(flag_key, default_value, evaluation_context, _integer)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """Return, blocking, the number that the assigned condition carries."""
        return self._decide_sync(flag_key, default_value, evaluation_context, _float)

    async def resolve_float_details_async(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """Return the number that the assigned condition carries."""
        return await self._decide(flag_key, default_value, evaluation_context, _float)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: ObjectValue,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[ObjectValue]:
        """Return, blocking, the object or list that the assigned condition carries."""
        return self._decide_sync(flag_key, default_value, evaluation_context, _object)

    async def resolve_object_details_async(
        self,
        flag_key: str,
        default_value: ObjectValue,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[ObjectValue]:
        """Return the object or list that the assigned condition carries."""
        return await self._decide(flag_key, default_value, evaluation_context, _object)

    # ---- Tracking ----

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Log metrics of the user, blocking: the event's value by its name, and its attributes.

        They are handed over to the connection's outbox, where it has one, and else sent. It never
        marks and never rewards. Server, network and outbox raise nothing: what could not be sent
        is logged as a warning, and so is an event that has neither value nor attributes, which is
        no metric. A value that no metric can hold is a ``ValueError`` or ``TypeError``.
        """
        metrics: dict[str, Any] = {}
        if tracking_event_details is not None:
            metrics.update(tracking_event_details.attributes)
            if tracking_event_details.value is not None:
                metrics[tracking_event_name] = tracking_event_details.value
        if not metrics:
            _logger.warning("%r is not logged: it has no value to log", tracking_event_name)
            return
        entries = [LogInput(datetime.now(timezone.utc), LogMetrics(metrics))]
        client = self._client(evaluation_context)
        try:
            if self._connection.has_outbox:
                client.enqueue_log_sync(entries)
            else:
                client.log_sync(entries)
        except (OutboxError, UpgradeApiError) as error:
            _logger.warning("%r is not logged: %s", tracking_event_name, error)

    # ---- What these share ----

    def _client(self, evaluation_context: EvaluationContext | None) -> UpgradeClient:
        """Return the client of the user whom an evaluation context describes."""
        if evaluation_context is None or not evaluation_context.targeting_key:
            raise TargetingKeyMissingError("the targeting key is the id of the user")
        attributes: Mapping[str, Any] = evaluation_context.attributes
        try:
            return self._connection.client(
                evaluation_context.targeting_key,
                self._context,
                group=attributes.get("groups"),
                working_group=attributes.get("working_group"),
            )
        except (TypeError, ValueError) as error:
            raise InvalidContextError(str(error)) from error

    def _decide_sync(
        self,
        flag_key: str,
        default: T,
        evaluation_context: EvaluationContext | None,
        value_of: Callable[[Decision], T],
    ) -> FlagResolutionDetails[T]:
        (site, target), client = _point(flag_key), self._client(evaluation_context)
        return self._details(client.decide_sync(site, target), default, value_of)

    async def _decide(
        self,
        flag_key: str,
        default: T,
        evaluation_context: EvaluationContext | None,
        value_of: Callable[[Decision], T],
    ) -> FlagResolutionDetails[T]:
        (site, target), client = _point(flag_key), self._client(evaluation_context)
        return self._details(await client.decide(site, target), default, value_of)

    def _details(
        self, decision: Decision, default: T, value_of: Callable[[Decision], T]
    ) -> FlagResolutionDetails[T]:
        self._tell_availability()
        return _explained(decision, value_of(decision) if decision else default)

    # ---- Events ----

    def _tell_availability(self) -> None:
        """Emit an event if the circuit breaker has opened or closed since the last one.

        While another evaluation does, it is left to the next: handlers may run within, and a page
        is not to wait for them.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            event = self._availability()
            if event is self._told:
                return
            self._told = event
            message = f"{self._connection.host_url} did not answer lately"
            if event is ProviderEvent.PROVIDER_READY:
                message = f"{self._connection.host_url} answers"
            self.emit(event, ProviderEventDetails(message=message))
        finally:
            self._lock.release()

    def _availability(self) -> ProviderEvent:
        if not self._connection.circuit_open:
            return ProviderEvent.PROVIDER_READY
        if self._connection.has_store:
            return ProviderEvent.PROVIDER_STALE
        return ProviderEvent.PROVIDER_ERROR

    def _reset_after_fork(self) -> None:
        self._lock = threading.RLock()


def _key(flag_key: str) -> str:
    try:
        return arguments.nonempty("the key of a flag", flag_key)
    except (TypeError, ValueError) as error:
        raise FlagNotFoundError(str(error)) from error


def _point(flag_key: str) -> tuple[str, str]:
    """Return the site and the target that a key names."""
    try:
        site, _, target = arguments.text("the key of a decision point", flag_key).partition("/")
        return arguments.point(site.replace("%2F", "/"), target.replace("%2F", "/"))
    except (TypeError, ValueError) as error:
        raise FlagNotFoundError(f"{error}; a key is site/target: {flag_key!r}") from error


def _explained(decision: Decision | FlagDecision, value: T) -> FlagResolutionDetails[T]:
    """Return a value and what the decision says of it."""
    error = decision.error
    if error is not None:
        unknown_user = isinstance(error, UserNotInitializedError)
        return FlagResolutionDetails(
            value,
            error_code=ErrorCode.INVALID_CONTEXT if unknown_user else ErrorCode.GENERAL,
            error_message=str(error),
            reason=Reason.ERROR,
        )
    return FlagResolutionDetails(
        value,
        reason=Reason(reason_of(decision)),
        variant=variant_of(decision),
        flag_metadata=_metadata(decision),
    )


def _metadata(decision: Decision | FlagDecision) -> dict[str, bool | int | float | str]:
    metadata: dict[str, bool | int | float | str] = {"source": str(decision.source)}
    if isinstance(decision, Decision) and decision.assignment is not None:
        experiment_id = decision.assignment.experiment_id
        if experiment_id is not None:
            metadata["experiment_id"] = experiment_id
    return metadata


# ---- Values ----


def _condition(decision: Decision) -> str:
    return decision.condition


def _integer(decision: Decision) -> int:
    value = _payload(decision)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(decision, "a whole number")
    return value


def _float(decision: Decision) -> float:
    value = _payload(decision)
    if not isinstance(value, bool) and isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise _mismatch(decision, "a number")


def _object(decision: Decision) -> ObjectValue:
    value = _payload(decision)
    read: ObjectValue | None = object_or_none(value)
    if read is None:
        read = list_or_none(value)
    if read is None:
        raise _mismatch(decision, "an object or a list")
    return read


def _payload(decision: Decision) -> Any:
    """Return what the assigned condition carries: a row of cells, or else a JSON value."""
    payload = decision.payload
    if payload is None:
        raise _mismatch(decision, "a payload")
    if payload.type != PayloadType.CSV:
        payload = Payload(PayloadType.JSON, payload.value)
    try:
        return payload.parse()
    except ValueError as error:
        raise ParseError(str(error)) from error


def _mismatch(decision: Decision, wanted: str) -> TypeMismatchError:
    carried = "nothing" if decision.payload is None else repr(decision.payload.value)
    return TypeMismatchError(
        f"the condition {decision.condition!r} carries {carried}, which is not {wanted}"
    )
