from enum import Enum


class ErrorType(str, Enum):
    CONDITION_NOT_FOUND = "Condition not found"
    ERROR_IN_THE_ASSIGNMENT_ALGORITHM = "Error in the assignment algorithm"
    ERROR_PROCESSING_MOOCLET_REWARD = "Error processing Mooclet reward"
    EXPERIMENT_USER_NOT_DEFINED = "Experiment user not defined"
    INVALID_TOKEN = "Invalid token"
    PARAMETER_NOT_IN_THE_CORRECT_FORMAT = "Parameter not in the correct format"
    QUERY_FAILED = "Query Failed"
    TOKEN_IS_NOT_PRESENT_IN_REQUEST = "Token is not present in request"
    USER_ID_NOT_FOUND = "User ID not found"

    def __str__(self) -> str:
        return str(self.value)
