"""What a run has spent, in a journal beside its records: `ledger.jsonl`.

    {"kind": "hold",      "hold": 7, "nano": 31200000, "tokens": 104000, …}   before a request is sent
    {"kind": "settled",   "hold": 7, "nano":  4810000, "tokens":  24300, …}   the server said what it cost
    {"kind": "released",  "hold": 7}                                          it was certainly not billed
    {"kind": "uncertain", "hold": 7}                                          nobody can say

Every line is sealed and numbered (`lines`), and says what was spent, uncertain or held in all after it: so
a damaged or lost line is named, and what it held is counted as soon as another stands after it. What cannot
be known is counted at the most: a hold whose end is lost, and a damaged line at the end of the file as the
largest hold. Nor is it ever less than what the records of the run prove, should the end of the file be lost.

A hold is on disk (`fsync`) before its request leaves, so neither `kill -9` nor a power cut loses
spending: a hold without an end counts at its worst case, as an uncertain one does. No request is
let through whose worst case, added to all that is spent, uncertain or held, exceeds a limit. Money is
counted in whole nano-dollars. One process at a time writes: the caller holds the run's lock.

Not covered: a server that charges more than its worst case. What it reports is counted (`overruns`),
and nothing more is sent once a limit is reached. A limit on hours is looked at before each request;
one in flight is not broken off.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, Protocol

import msgspec

from sera.errors import BudgetExhausted, ConfigError, RunError
from sera.records import Record, Usage
from sera.runs.folder import is_running
from sera.runs.journal import Journal
from sera.settings import Config, check_numbers

NANO = 1_000_000_000
"""Nano-dollars in a dollar."""
Positive = Annotated[float, msgspec.Meta(gt=0)]


LEDGER = "ledger.jsonl"
"""Its name in a run directory."""
_MOST_FLAWS = 20
_NONE = Usage()


class SpendingLimits(Config, frozen=True):
    """What a run may use in all, however often it is resumed.

    A limit counts every request, sent and unsettled ones at the most they may cost.
    """

    max_usd: Positive | None = None
    """Dollars. Default: no limit. Needs the model's price, from the shipped table or `teacher.price`."""
    max_tokens: Annotated[int, msgspec.Meta(gt=0)] | None = None
    """Tokens of all requests, prompt (cached ones too) and answer. Default: no limit."""
    max_hours: Positive | None = None
    """Hours of work. While the run is paused, or nobody works on it, none are counted. Default: no limit."""

    def __post_init__(self) -> None:
        check_numbers(self)


class Tariff(Protocol):
    """Turns tokens into nano-dollars."""

    def cost(self, used: Usage, written: int = 0) -> int:
        """Of one call; `written` prompt tokens went into the server's cache."""
        ...

    def worst(self, worst: Usage) -> int:
        """Of one call charged in the dearest way; never below `cost` of anything smaller."""
        ...


Natural = Annotated[int, msgspec.Meta(ge=0)]


class Amount(Record, frozen=True):
    """Money and tokens."""

    nano: Natural = 0
    tokens: Natural = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(nano=self.nano + other.nano, tokens=self.tokens + other.tokens)

    def __sub__(self, other: "Amount") -> "Amount":
        """What this is more than the other, never below 0."""
        return Amount(nano=max(self.nano - other.nano, 0), tokens=max(self.tokens - other.tokens, 0))

    def __or__(self, other: "Amount") -> "Amount":
        """The larger of both."""
        return Amount(nano=max(self.nano, other.nano), tokens=max(self.tokens, other.tokens))

    @property
    def usd(self) -> float:
        """Dollars, for showing."""
        return self.nano / NANO


class Line(Record, frozen=True, omit_defaults=True):
    """One line of the ledger."""

    kind: Literal["hold", "settled", "released", "uncertain", "pause"]
    hold: Natural = 0
    nano: Natural = 0
    """Nano-dollars: of a hold at worst, of a settled one as charged."""
    tokens: Natural = 0
    usage: Usage | None = None
    """For `settled`: as the server reported it."""
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds of work until this line, resumes included."""
    answered: bool = False
    """For `uncertain`: an answer came, without a count of tokens that can be true."""
    total: Amount | None = None
    """What was spent, uncertain or held after this line. None in ledgers that are older than this field."""
    seq: int = 0
    """The line's number, which its seal has written."""


class _PlainLine(Line, frozen=True, forbid_unknown_fields=True):
    """A line from before there were seals, which nothing but its form protects."""


class Balance(Record, frozen=True):
    """How a run stands."""

    settled: Amount = Amount()
    """As servers reported it."""
    uncertain: Amount = Amount()
    """At worst, for requests of which nobody can say whether they were billed."""
    reserved: Amount = Amount()
    """At worst, for requests in flight."""
    lost: Amount = Amount()
    """At most, for what damaged or lost lines held, and for what only other records prove."""
    usage: Usage = Usage()
    """Of the settled requests."""
    uncounted: int = 0
    """Requests that were answered without a count of tokens that can be true; they are uncertain."""
    flaws: tuple[str, ...] = ()
    """What is wrong with which line of the ledger; the first twenty."""
    overruns: int = 0
    """Requests that cost more than their worst case: a sign that the prices or the server are wrong."""
    seconds: float = 0.0
    """Seconds of work, resumes included."""

    @property
    def total(self) -> Amount:
        """The most that can have been spent when everything in flight has ended."""
        return self.settled + self.uncertain + self.reserved + self.lost


class Ledger:
    """The meter of a run; see `teachers.contract.Meter` for what its four methods promise."""

    def __init__(
        self, path: Path, limits: SpendingLimits, tariff: Tariff | None, proven: Usage = _NONE
    ) -> None:
        self.path = path
        self._limits = limits
        self._tariff = tariff
        self._journal, self._count = _read(path)
        self._count.prove(proven, tariff)
        self._before = self._count.balance.seconds
        self._started: float | None = time.monotonic()
        self._turn, self._freed = asyncio.Lock(), asyncio.Event()

    def summary(self) -> Balance:
        """How the run stands now."""
        return msgspec.structs.replace(self._count.balance, seconds=self._seconds())

    async def reserve(self, worst: Usage) -> int:
        """A durable hold, in the order of asking; `BudgetExhausted` if it can never be covered."""
        amount = Amount(
            nano=self._tariff.worst(worst) if self._tariff else 0, tokens=worst.prompt + worst.completion
        )
        async with self._turn:
            await self._room(amount)
            hold = self._count.last + 1
            self._write(Line(kind="hold", hold=hold, nano=amount.nano, tokens=amount.tokens))
        try:
            await self._journal.on_disk()
        except BaseException:
            self.release(hold)
            raise
        return hold

    def settle(self, hold: int, used: Usage, written: int = 0) -> None:
        """What the server reported, whether or not it is within the hold. Numbers below 0 are none, and leave
        it uncertain."""
        if min(used.prompt, used.cached, used.completion, written) < 0:
            self.uncertain(hold, answered=True)
            return
        nano = self._tariff.cost(used, written) if self._tariff else 0
        self._end(
            Line(kind="settled", hold=hold, nano=nano, tokens=used.prompt + used.completion, usage=used)
        )

    def release(self, hold: int) -> None:
        """Nothing was billed."""
        self._end(Line(kind="released", hold=hold))

    def uncertain(self, hold: int, answered: bool = False) -> None:
        """It stays counted at its worst."""
        self._end(Line(kind="uncertain", hold=hold, answered=answered))

    def pause(self) -> None:
        """Count no time until `resume`."""
        self._before, self._started = self._seconds(), None

    def resume(self) -> None:
        """Count time again."""
        if self._started is None:
            self._started = time.monotonic()

    def open(self) -> None:
        """Make the ledger writable, and end the holds of processes that are gone. The caller holds the run's
        lock. `RunError` if there is a limit and what was spent cannot be bounded."""
        limits = self._limits
        if self._count.unbounded and (limits.max_usd is not None or limits.max_tokens is not None):
            raise RunError(
                f"{self.path} is damaged, and nothing in it bounds what was spent "
                f"({'; '.join(self._count.balance.flaws)}): restore the file, leave the limits out, or "
                "choose another --out"
            )
        self._journal.open_for_writing()
        for hold in self._count.left_open():
            self.uncertain(hold)

    def close(self) -> None:
        """Note the time worked, and give the file back."""
        try:
            self._write(Line(kind="pause"))
        finally:
            self._journal.close()

    async def _room(self, amount: Amount) -> None:
        """Wait until `amount` more is within every limit."""
        while self._lacking(self._count.balance.total + amount):
            kept = self._count.balance.total - self._count.balance.reserved
            if limit := self._lacking(kept + amount):
                raise BudgetExhausted(self._explain(limit))
            self._freed.clear()
            await self._freed.wait()

    def _end(self, line: Line) -> None:
        self._write(line)
        self._freed.set()

    def _write(self, line: Line) -> None:
        line = msgspec.structs.replace(
            line, seconds=round(self._seconds(), 3), total=self._count.total_after(line)
        )
        self._journal.append(line)
        self._count.take(line)

    def _seconds(self) -> float:
        return self._before + (0.0 if self._started is None else time.monotonic() - self._started)

    def _lacking(self, total: Amount) -> str:
        """The limit that `total` would exceed, or nothing."""
        limits = self._limits
        if limits.max_hours is not None and self._seconds() >= limits.max_hours * 3600:
            return f"max_hours {limits.max_hours:g}"
        if limits.max_usd is not None and total.nano > limits.max_usd * NANO:
            return f"max_usd {limits.max_usd:g}"
        if limits.max_tokens is not None and total.tokens > limits.max_tokens:
            return f"max_tokens {limits.max_tokens}"
        return ""

    def _explain(self, limit: str) -> str:
        now = self._count.balance
        dollars = ""
        if self._tariff:
            lost = f", ${now.lost.usd:.4f} in lines that are lost" if now.lost.tokens else ""
            dollars = f"${now.settled.usd:.4f} spent and ${now.uncertain.usd:.4f} uncertain{lost}, "
        return (
            f"the limit {limit} leaves no room for the next request at its worst: {dollars}"
            f"{(now.total - now.reserved).tokens} tokens, {self._seconds() / 3600:.2f} hours; a higher limit "
            f"lets it go on"
        )


@contextmanager
def open_ledger(
    path: Path, limits: SpendingLimits, tariff: Tariff | None, proven: Usage = _NONE
) -> Iterator[Ledger]:
    """The ledger of a run, for its only writer. `tariff` None: the price is not known. `proven`: what the
    other records of the run say that it has used.

    Raises `ConfigError` if dollars are limited and the price is not known, and `RunError` if what was
    spent before cannot be read.
    """
    if limits.max_usd is not None and tariff is None:
        raise ConfigError(
            "max_usd needs the price of the teacher's model, which is not in the shipped table: give it in "
            "dollars per million tokens, e.g. --set teacher.price.input=0.6 --set teacher.price.cached=0.11 "
            "--set teacher.price.output=2.2 (a server of your own: input=0, output=0)"
        )
    ledger = Ledger(path, limits, tariff, proven)
    ledger.open()
    try:
        yield ledger
    finally:
        ledger.close()


def read_ledger(path: Path, proven: Usage = _NONE, tariff: Tariff | None = None) -> Balance:
    """How a run stands by its ledger, for those who only look; all zero if there is none. Holds without an
    end are reserved while somebody works on the run, and else uncertain. `proven` as for `open_ledger`."""
    at_work = is_running(path.parent)
    count = _read(path)[1]
    for hold in () if at_work else count.left_open():
        count.take(Line(kind="uncertain", hold=hold))
    count.prove(proven, tariff)
    return count.balance


def _read(path: Path) -> tuple[Journal[Line], "_Count"]:
    journal: Journal[Line] = Journal(path, Line, Line, lambda _: None, plain=_PlainLine)
    lines: Iterable[Line] = journal.every(Line)
    if journal.flaws:
        lines = sorted(lines, key=lambda line: line.seq)  # where some are out of their place
    count = _Count()
    for line in lines:
        count.take(line)
    torn, closed = journal.rest.count(b'"kind"'), journal.rest.count(b"{") == journal.rest.count(b"}")
    torn = torn if closed or torn > 1 else 0  # a kill leaves the beginning of one line
    count.lose_end(journal.broken_at_end + torn)
    flaws = [*map(str, journal.flaws), *count.flaws]
    if torn:
        flaws.append(f"{LEDGER}, line {journal.torn}: altered, and without its end")
    count.balance = msgspec.structs.replace(count.balance, flaws=tuple(flaws[:_MOST_FLAWS]))
    return journal, count


class _Count:
    """The balance, line by line."""

    def __init__(self) -> None:
        self.balance = Balance()
        self.last = 0
        """The highest number of a hold."""
        self.flaws: list[str] = []
        """What does not fit together in lines from before there were seals."""
        self.unbounded = False
        """Whether something is lost of which nothing says how much it may be."""
        self._open: dict[int, Amount] = {}
        self._largest = Amount()

    def take(self, line: Line) -> None:
        """Count one line; lines come in the order in which they were written."""
        amount = Amount(nano=line.nano, tokens=line.tokens)
        if line.kind == "hold":
            self._hold(line, amount)
        elif line.kind != "pause":
            self._close(line, amount)
        if line.total is not None:
            self._change(lost=line.total - msgspec.structs.replace(self.balance, lost=Amount()).total)
        self._change(seconds=max(self.balance.seconds, line.seconds))

    def total_after(self, line: Line) -> Amount:
        """`Balance.total` once that line is counted."""
        before = self.balance.total
        if line.kind == "hold":
            return before + Amount(nano=line.nano, tokens=line.tokens)
        if line.kind in ("pause", "uncertain"):
            return before
        charged = Amount(nano=line.nano, tokens=line.tokens) if line.kind == "settled" else Amount()
        return before - self._open.get(line.hold, Amount()) + charged

    def left_open(self) -> list[int]:
        """Holds without an end."""
        return list(self._open)

    def lose_end(self, lines: int) -> None:
        """Lines at the end are damaged: each may have been as large a hold as any."""
        self.unbounded = bool(lines) and self._largest == Amount()
        self._change(lost=self.balance.lost + self._times_largest(lines))

    def prove(self, used: Usage, tariff: Tariff | None) -> None:
        """Count no less than what other records prove; what is lacking at its dearest."""
        lacking = used.prompt + used.completion - self.balance.total.tokens
        if lacking <= 0:
            return
        known = self.balance.usage
        prompt = min(max(used.prompt - known.prompt, 0), lacking)
        worst = Usage(prompt=prompt, completion=lacking - prompt)
        nano = tariff.worst(worst) if tariff else self._at_dearest(lacking)
        self._change(
            lost=self.balance.lost + Amount(nano=nano, tokens=lacking),
            flaws=(
                *self.balance.flaws,
                f"{LEDGER}: {lacking:,} tokens that other records prove are not in it",
            ),
        )

    def _hold(self, line: Line, amount: Amount) -> None:
        self._largest |= amount
        missing = line.hold - self.last - 1
        if line.total is None and missing:
            self.flaws.append(f"{LEDGER}: hold {line.hold} follows hold {self.last}")
            self._change(lost=self.balance.lost + self._times_largest(max(missing, 0)))
        self.last = max(self.last, line.hold)
        if line.hold not in self._open:
            self._open[line.hold] = amount
            self._change(reserved=self.balance.reserved + amount)

    def _close(self, line: Line, charged: Amount) -> None:
        held = self._open.pop(line.hold, None)
        if held is None and line.total is None:
            self.flaws.append(f"{LEDGER}: hold {line.hold} ends and is not open")
        held = held or Amount()
        now = self.balance
        self._change(reserved=now.reserved - held)
        if line.kind == "uncertain":
            self._change(uncertain=now.uncertain + held, uncounted=now.uncounted + line.answered)
        elif line.kind == "settled":
            over = charged.nano > held.nano or charged.tokens > held.tokens
            self._change(
                settled=now.settled + charged,
                usage=now.usage + (line.usage or Usage()),
                overruns=now.overruns + over,
            )

    def _times_largest(self, lines: int) -> Amount:
        return Amount(nano=self._largest.nano * lines, tokens=self._largest.tokens * lines)

    def _at_dearest(self, tokens: int) -> int:
        """Nano-dollars of tokens whose price is not known, by those of the ledger."""
        spent = self.balance.settled + self.balance.uncertain
        known = [one.nano / one.tokens for one in (spent, self._largest) if one.tokens]
        return round(tokens * max(known, default=0.0))

    def _change(self, **fields: object) -> None:
        self.balance = msgspec.structs.replace(self.balance, **fields)
