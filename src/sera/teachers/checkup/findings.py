"""What a check finds: one sentence each, with the cure."""

from typing import Literal

from sera.records import Record


class Finding(Record, frozen=True):
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "note", "problem"]
    """`note`: neither good nor bad for sera."""
    text: str
    cure: str = ""
    needed: bool = False
    """Whether `sera generate` cannot work with this problem."""


class Speed(Record, frozen=True):
    """How fast the endpoint answered so many requests at once."""

    concurrency: int
    answered: int
    """Requests that brought an answer within the time."""
    tokens_per_second: float
    """Tokens of all answers over the time from the first request to the last answer."""
    median_tokens_per_second: float
    """Of one request."""
    median_seconds: float


class Checkup(Record, frozen=True):
    """All that was found at one endpoint."""

    base_url: str
    model: str
    findings: tuple[Finding, ...]
    speeds: tuple[Speed, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether `sera generate` can work with it."""
        return not any(found.needed and found.state == "problem" for found in self.findings)


def good(name: str, text: str) -> Finding:
    """All is well."""
    return Finding(name=name, state="ok", text=text)


def note(name: str, text: str, cure: str = "") -> Finding:
    """Worth knowing."""
    return Finding(name=name, state="note", text=text, cure=cure)


def problem(name: str, text: str, cure: str, needed: bool = False) -> Finding:
    """Something is wrong."""
    return Finding(name=name, state="problem", text=text, cure=cure, needed=needed)
