from enum import Enum


class ExperimentType(str, Enum):
    FACTORIAL = "Factorial"
    SIMPLE = "Simple"

    def __str__(self) -> str:
        return str(self.value)
