from enum import Enum


class PayloadType(str, Enum):
    CSV = "csv"
    JSON = "json"
    STRING = "string"

    def __str__(self) -> str:
        return str(self.value)
