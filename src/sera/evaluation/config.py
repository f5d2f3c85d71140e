"""What `sera evaluate` can be told."""

from typing import Annotated, Literal

import msgspec

from sera.agent import AgentConfig
from sera.harness import AUTO
from sera.redaction import RedactionConfig
from sera.runs import SpendingLimits
from sera.sandboxes import NamespacesConfig, SandboxConfig
from sera.settings import Config, Count, Listed, Seconds
from sera.teachers import LocalConfig, RehearsalConfig, TeacherConfig

_AT_AN_ENDPOINT = 16


class EvaluateConfig(Config, frozen=True):
    """Everything `sera evaluate` can be told."""

    seeds: Listed = 3
    """Rollouts of each task, each with a seed of its own. The spread between them is the noise. Predictions
    are judged once."""
    context: Count = 32_768
    """Tokens that a conversation may have, by the server's own count; longer ones end. 32,768 and 65,536
    are the paper's."""
    concurrency: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Rollouts at work at once; 0: 16 at an endpoint, 1 with weights on this machine."""
    seed: int = 0
    """Seed that those of the rollouts are made of."""
    profile: str = AUTO
    """Harness profile: a name that ships with sera, a folder of your own, or a checkpoint, for the one saved
    in it; `auto` for that of the checkpoint evaluated if it has one, else for the one generation takes."""
    require_profile: bool = False
    """Refuse a model that no harness profile was saved with."""
    environment: Literal["same", "any"] = "same"
    """`any` takes another environment of the same tree where the one that the tasks were made in is gone."""
    check: bool = True
    """Judge each task's own patch and the empty patch before the first rollout, so that broken tasks show."""
    broken: Literal["refuse", "leave_out"] = "refuse"
    """What to do about tasks that this check finds broken."""
    test_seconds: Seconds = 600.0
    """Time for one run of a task's tests."""
    predictions: str = ""
    """Judge patches instead of a model: `gold`, `empty`, or a file of predictions."""
    teacher: TeacherConfig = msgspec.field(default_factory=RehearsalConfig)
    """The model that is evaluated; `--model` sets it."""
    agent: AgentConfig = msgspec.field(default_factory=AgentConfig)
    sandbox: SandboxConfig = msgspec.field(default_factory=NamespacesConfig)
    limits: SpendingLimits = msgspec.field(default_factory=SpendingLimits)
    redaction: RedactionConfig = msgspec.field(default_factory=RedactionConfig)

    @property
    def workers(self) -> int:
        """Rollouts at work at once."""
        alone = isinstance(self.teacher, LocalConfig) and not self.predictions
        return self.concurrency or (1 if alone else _AT_AN_ENDPOINT)
