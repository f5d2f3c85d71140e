"""Gives a failing endpoint a rest.

closed ──`trip_after` failures in a row──► open ──after the rest──► one probe ──success──► closed
                                            ▲                          │
                                            └──failure, rest doubled───┘
"""

_FIRST_REST, _LONGEST_REST = 1.0, 60.0


class Breaker:
    """Times are those of the caller's clock, in seconds."""

    def __init__(self, trip_after: int) -> None:
        self._trip_after = trip_after
        self._failures = 0
        self._rest = _FIRST_REST
        self._until = 0.0
        self._open = False
        self._probing = False

    def allows(self, now: float) -> bool:
        """Whether a request may be sent."""
        return not self._open or (now >= self._until and not self._probing)

    def wait(self, now: float) -> float:
        """Seconds until it is worth asking again; 0 if it is open to all or to a probe."""
        return max(self._until - now, 0.0) if self._open else 0.0

    def begin(self) -> bool:
        """A request is about to be sent; says whether it is the probe, whose end must be told."""
        self._probing = self._open
        return self._open

    def abandon(self) -> None:
        """The probe ended without a verdict: another may follow."""
        self._probing = False

    def succeed(self) -> None:
        """An answer came, of whatever request."""
        self._failures, self._open, self._probing, self._rest = 0, False, False, _FIRST_REST

    def fail(self, now: float, probe: bool) -> None:
        """A request failed through the endpoint's fault. Those sent before it opened change nothing."""
        self._failures += 1
        if probe:
            self._rest = min(self._rest * 2, _LONGEST_REST)
        elif self._open or self._failures < self._trip_after:
            return
        self._open, self._probing, self._until = True, False, now + self._rest
