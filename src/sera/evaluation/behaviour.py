"""How a model behaved in its rollouts, whatever became of its patches."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean

from sera.agent.calls import Call, read_call
from sera.evaluation.statistics import Interval, clustered, told
from sera.harness import Profile
from sera.records import Message, Record, Rollout, Severity
from sera.teachers import Reply


class Turns(Record, frozen=True):
    """Answers of the model, by whether there was a usable tool call in them."""

    strict: int = 0
    """As the protocol wants it."""
    repaired: int = 0
    """Found by reading tolerantly (`ToolCall.repair`)."""
    unusable: int = 0
    """None, several, or one that does not fit its tool."""

    def __add__(self, other: "Turns") -> "Turns":
        return Turns(
            strict=self.strict + other.strict,
            repaired=self.repaired + other.repaired,
            unusable=self.unusable + other.unusable,
        )

    @property
    def total(self) -> int:
        return self.strict + self.repaired + self.unusable


class Behaviour(Record, frozen=True):
    """Of all rollouts of an evaluation. Means are per rollout; shares lie in 0…1."""

    rollouts: int
    turns: Turns
    strict_share: float
    """Of all turns."""
    usable_share: float
    """Of all turns: strict or repaired."""
    steps: float
    prompt_tokens: float
    completion_tokens: float
    seconds: float
    empty_share: float
    """Rollouts without a change."""
    ends: dict[str, int]
    """How rollouts ended → rollouts."""
    findings: dict[str, int]
    """What the audit found, `severity: kind` → rollouts."""
    cheating: int
    """Rollouts with a finding of the severity `cheating`."""
    strict_interval: Interval | None = None
    """Of `strict_share`, in percent; the answers of one task are not independent of each other."""
    usable_interval: Interval | None = None
    empty_interval: Interval | None = None

    def shares(self) -> dict[str, str]:
        """The shares by name, in words: in percent with their intervals."""
        usable = self.usable_interval
        unusable = usable and Interval(low=100 - usable.high, high=100 - usable.low)
        return {
            "strict": told(100 * self.strict_share, self.strict_interval),
            "repaired": f"{100 * (self.usable_share - self.strict_share):.1f} %",
            "unusable": told(100 * (1 - self.usable_share), unusable),
            "empty": told(100 * self.empty_share, self.empty_interval),
        }


def behaviour_of(rollouts: Iterable[Rollout], profile: Profile) -> Behaviour | None:
    """The figures; None without a rollout."""
    every = list(rollouts)
    if not every:
        return None
    tasks: dict[str, list[Rollout]] = {}
    for one in every:
        tasks.setdefault(one.task, []).append(one)
    by_task = [sum((turns_of(one.messages, profile) for one in ended), Turns()) for ended in tasks.values()]
    turns, answers = sum(by_task, Turns()), [one.total for one in by_task]
    empty = [sum(not one.patch.strip() for one in ended) for ended in tasks.values()]
    total = turns.total or 1
    found = Counter(
        name for one in every for name in {f"{finding.severity}: {finding.kind}" for finding in one.findings}
    )
    return Behaviour(
        rollouts=len(every),
        turns=turns,
        strict_share=turns.strict / total,
        usable_share=(turns.strict + turns.repaired) / total,
        steps=fmean(one.usage.calls for one in every),
        prompt_tokens=fmean(one.usage.prompt for one in every),
        completion_tokens=fmean(one.usage.completion for one in every),
        seconds=fmean(one.seconds for one in every),
        empty_share=sum(empty) / len(every),
        strict_interval=clustered([one.strict for one in by_task], answers),
        usable_interval=clustered([one.strict + one.repaired for one in by_task], answers),
        empty_interval=clustered(empty, [len(ended) for ended in tasks.values()]),
        ends=dict(sorted(Counter(str(one.end) for one in every).items())),
        findings=dict(sorted(found.items())),
        cheating=sum(any(f.severity is Severity.CHEATING for f in one.findings) for one in every),
    )


def turns_of(messages: Sequence[Message], profile: Profile) -> Turns:
    """The model's answers in one conversation, each read as the agent read it."""
    kinds = Counter(_kind(message, profile) for message in messages if message.role == "assistant")
    return Turns(strict=kinds["strict"], repaired=kinds["repaired"], unusable=kinds["unusable"])


def _kind(message: Message, profile: Profile) -> str:
    if not isinstance(read_call(Reply(message=message), profile), Call):
        return "unusable"
    return "repaired" if message.tool_calls[0].repair else "strict"
