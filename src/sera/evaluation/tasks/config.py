"""What `sera tasks build` can be told."""

from typing import Annotated, Literal

import msgspec

from sera.environments import PrepareConfig
from sera.environments.config import CheckConfig
from sera.repositories import Weights
from sera.sandboxes import NamespacesConfig, SandboxConfig
from sera.settings import Config, Count, Listed, Seconds

_Number = Annotated[int, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class SplitConfig(Config, frozen=True):
    """What is kept for the evaluation. Tasks are made of that alone."""

    share: _Share = 0.5
    """Share of the functions that tests call which is kept; 1: all, and nothing is left to train on."""
    unit: Literal["auto", "module", "function"] = "auto"
    """What is kept or left as a whole. `auto`: modules where there are at least eight, else functions."""


class TasksConfig(Config, frozen=True):
    """Everything `sera tasks build` can be told."""

    mutants: _Number = 50
    """Tasks made by putting a bug into a function."""
    history: _Number = 10
    """Tasks made of commits, where the source has a history."""
    commits: Count = 200
    """Commits looked at, from the newest back."""
    seed: int = 0
    """Seed of the split, of the order of functions and of the bugs."""
    revision: str = ""
    """Commit, tag or branch to take instead of the working tree."""
    leave_out: tuple[str, ...] = ()
    """Files and directories that are no part of the snapshot, as patterns of a .gitignore, e.g. `data` or
    `*.npz`."""
    environment: str = "auto"
    """What tests run in: `auto` for what `sera prepare` made last of these files, or the path of one."""
    per_function: Listed = 3
    """Mutants of one function at most; a second is made only when each function has had its turn."""
    tries: Count = 4
    """Bugs tried in a function for one mutant."""
    operators: tuple[str, ...] = ()
    """Kinds of bugs to make. Empty: all."""
    workers: _Number = 0
    """Sandboxes at work at once; 0: one a core."""
    tests: Count = 100
    """Tests of one task at most: those that call the function, then others of their files."""
    test_seconds: Seconds = 10.0
    """Time that the tests of one task may take together when they pass."""
    mutant_seconds: Seconds = 120.0
    """Time for one run of a task's tests; one that takes longer is no task."""
    suite_seconds: Seconds = 1200.0
    """Time for the whole suite; tests that are not through by then take no part."""
    most_failing: _Share = 0.5
    """Share of a task's tests that a bug may fail: one that fails everything says nothing."""
    hide_tests: bool = True
    """Take the tests that tell out of the starting tree, as in SWE-bench; the test patch puts them back."""
    split: SplitConfig = msgspec.field(default_factory=SplitConfig)
    sampling: Weights = msgspec.field(default_factory=Weights)
    prepare: PrepareConfig = msgspec.field(default_factory=lambda: PrepareConfig(check=CheckConfig(tests=10)))
    """How environments of commits are made; that of the source itself is `sera prepare`'s."""
    sandbox: SandboxConfig = msgspec.field(default_factory=NamespacesConfig)
