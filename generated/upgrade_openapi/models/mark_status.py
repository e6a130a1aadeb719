from enum import Enum


class MarkStatus(str, Enum):
    CONDITION_APPLIED = "condition applied"
    CONDITION_NOT_APPLIED = "condition not applied"
    NO_CONDITION_ASSIGNED = "no condition assigned"

    def __str__(self) -> str:
        return str(self.value)
