"""The words that other agents have for the end of a rollout."""

from sera.records import End

_ENDS = {
    "submitted": End.SUBMITTED,
    "exit_cost": End.STEP_LIMIT,
    "limitsexceeded": End.STEP_LIMIT,
    "exit_total_execution_time": End.WALL_CLOCK,
    "exit_command_timeout": End.WALL_CLOCK,
    "timeexceeded": End.WALL_CLOCK,
    "exit_format": End.MALFORMED,
    "repeatedformaterror": End.MALFORMED,
    "exit_context": End.CONTEXT,
    "contextwindowexceedederror": End.CONTEXT,
}


def end_of(status: str) -> End:
    """How a rollout ended by its exit status; any other word than those known is a failure.

    SWE-agent hands in what there is when it stops for another reason, and says `submitted (exit_cost)`:
    the agent did not, and the reason counts.
    """
    word = status.strip().lower()
    if word.startswith("submitted (") and word.endswith(")"):
        word = word.removeprefix("submitted (").removesuffix(")")
    return _ENDS.get(word, End.FAILED)
