"""The settings of filters that have several."""

from typing import Annotated, Any, Literal

import msgspec

from sera.settings import Config

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Similarity = Annotated[float, msgspec.Meta(ge=0.6, le=1)]
"""Below 0.6 too many pairs would not be found; see `near`."""
_Count = Annotated[int, msgspec.Meta(ge=0)]
Rule = Literal["commit", "file", "function", "patch", "issue"]


class Benchmarks(Config, frozen=True):
    """What must not be learnt, because it is asked in an evaluation."""

    files: tuple[str, ...] = ()
    """Instances in SWE-bench's form, JSON Lines. Empty: nothing is looked for."""
    rules: tuple[Rule, ...] = ("commit", "function", "patch", "issue")
    """What makes a sample too near to an instance. In the same repository: `commit`, it starts from the
    same one; `file` or `function`, its patch changes one that the instance's does. In any repository: `patch`
    or `issue`, they share n-grams."""
    lines: Annotated[int, msgspec.Meta(ge=1)] = 3
    """Length of a patch's n-gram in changed lines. A shorter patch is compared whole."""
    words: Annotated[int, msgspec.Meta(ge=1)] = 8
    """Length of an issue's n-gram in words."""
    overlap: _Share = 0.25
    """Share of an instance's n-grams from which on a sample is too near."""


class NearDuplicates(Config, frozen=True):
    """Samples that are nearly the same, by MinHash of overlapping runs of words."""

    patches: _Similarity = 1.0
    """Similarity (Jaccard, estimated) from which on a T1 patch is the same as an earlier one, e.g. 0.8;
    1: only equal ones are."""
    issues: _Similarity = 1.0
    """The same for the issue text of a T2; 1: issue texts are not compared."""

    @property
    def signed(self) -> tuple[bool, bool]:
        """Whether patches and issue texts need a signature."""
        return self.patches < 1, self.issues < 1


class Balance(Config, frozen=True):
    """Most samples of one kind in each stage, chosen by the seed; 0: any number."""

    category: _Count = 0
    module: _Count = 0
    function: _Count = 0

    def caps(self) -> dict[str, int]:
        """Kind → most samples, of those that have a limit."""
        caps: dict[str, Any] = msgspec.structs.asdict(self)
        return {kind: most for kind, most in caps.items() if most}
