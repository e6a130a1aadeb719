from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    TypeVar,
    Union,
    cast,
)

from attrs import define as _attrs_define

from ..models.mark_status import MarkStatus
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.mark_data import MarkData


T = TypeVar("T", bound="MarkRequest")


@_attrs_define
class MarkRequest:
    """
    Attributes:
        data (MarkData):
        status (Union[MarkStatus, None, Unset]): Absent or null enrols like `condition applied`.
        context (Union[Unset, str]): The application's context; newer servers ask for it, so always send it.
        uniquifier (Union[Unset, str]): Tells one encounter from the next, and ties logged metrics to it.
        client_error (Union[Unset, str]): Why the condition could not be applied.
    """

    data: "MarkData"
    status: Union[MarkStatus, None, Unset] = UNSET
    context: Union[Unset, str] = UNSET
    uniquifier: Union[Unset, str] = UNSET
    client_error: Union[Unset, str] = UNSET

    def to_dict(self) -> dict[str, Any]:
        data = self.data.to_dict()

        status: Union[None, Unset, str]
        if isinstance(self.status, Unset):
            status = UNSET
        elif isinstance(self.status, MarkStatus):
            status = self.status.value
        else:
            status = self.status

        context = self.context

        uniquifier = self.uniquifier

        client_error = self.client_error

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "data": data,
            }
        )
        if status is not UNSET:
            field_dict["status"] = status
        if context is not UNSET:
            field_dict["context"] = context
        if uniquifier is not UNSET:
            field_dict["uniquifier"] = uniquifier
        if client_error is not UNSET:
            field_dict["clientError"] = client_error

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.mark_data import MarkData

        d = dict(src_dict)
        data = MarkData.from_dict(d.pop("data"))

        def _parse_status(data: object) -> Union[MarkStatus, None, Unset]:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                status_type_0 = MarkStatus(data)

                return status_type_0
            except:  # noqa: E722
                pass
            return cast(Union[MarkStatus, None, Unset], data)

        status = _parse_status(d.pop("status", UNSET))

        context = d.pop("context", UNSET)

        uniquifier = d.pop("uniquifier", UNSET)

        client_error = d.pop("clientError", UNSET)

        mark_request = cls(
            data=data,
            status=status,
            context=context,
            uniquifier=uniquifier,
            client_error=client_error,
        )

        return mark_request
