"""What can be planned: repositories, students, the arms that are compared, and the questions they answer."""

from typing import Any, Literal, NamedTuple

import msgspec

from sera.formats.thinking import Think
from sera.settings import Config

Table = dict[str, Any]


class StudentPlan(Config, frozen=True):
    """A student, and what is set for it alone."""

    model: str
    recipe: str = ""
    gguf: Literal["", "f16", "q8_0"] = ""
    dataset: Table = msgspec.field(default_factory=dict)
    train: Table = msgspec.field(default_factory=dict)
    evaluate: Table = msgspec.field(default_factory=dict)


class Arm(Config, frozen=True):
    """One way to train, or not to."""

    trained: bool = True
    sources: Literal["target", "others", "all"] = "target"
    """Whose runs its rows come from. In a recipe the target is `run:1`, with `all`."""
    dataset: Table = msgspec.field(default_factory=dict)
    train: Table = msgspec.field(default_factory=dict)


class Question(Config, frozen=True):
    """What arms are compared for; each with the first."""

    asks: str
    arms: tuple[str, ...]
    think: Think = Think.KEEP
    """Reasoning in the conversations that the loss is measured on."""
    equal_rows: bool = True
    """Whether the comparison is void unless the arms have equally many rows."""


class Plan(Config, frozen=True):
    """All of it. What a stage's table leaves out is that command's default, as in `sera specialize`."""

    repositories: dict[str, str]
    """Name → what `sera generate` takes."""
    targets: tuple[str, ...]
    """Those of them that students are specialised to, and asked about."""
    students: dict[str, StudentPlan]
    arms: dict[str, Arm]
    questions: dict[str, Question]
    evaluated: tuple[str, ...] = ()
    """Arms whose students carry out tasks; empty: all. Of the others only the loss is measured."""
    prepare: Table = msgspec.field(default_factory=dict)
    tasks: Table = msgspec.field(default_factory=dict)
    generate: Table = msgspec.field(default_factory=dict)
    measured: Table = msgspec.field(default_factory=dict)
    """Settings of the small run whose conversations are measured, on top of `generate`."""
    dataset: Table = msgspec.field(default_factory=dict)
    train: Table = msgspec.field(default_factory=dict)
    evaluate: Table = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        named = [*self.evaluated, *(arm for question in self.questions.values() for arm in question.arms)]
        if unknown := [arm for arm in named if arm not in self.arms]:
            raise ValueError(f"there is no arm {unknown[0]!r}: choose {', '.join(self.arms)}")
        if unknown := [target for target in self.targets if target not in self.repositories]:
            raise ValueError(f"the target {unknown[0]!r} is not among the repositories")
        if [arm.trained for arm in self.arms.values()].count(False) != 1 or self.arms[self.base].trained:
            raise ValueError("the first arm, and no other, is the untrained student: trained = false")

    @property
    def base(self) -> str:
        """The arm of the untrained student."""
        return next(iter(self.arms))


class Cell(NamedTuple):
    """One arm of one student on one target."""

    student: str
    target: str
    arm: str


def cells(plan: Plan) -> list[Cell]:
    """All of them, in the order of the work: the untrained student first."""
    return [Cell(s, t, arm) for s in plan.students for t in plan.targets for arm in plan.arms]
