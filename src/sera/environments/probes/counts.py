"""What became of a run of tests, written to a file as it goes, so that a run that is killed has told what
it did."""

import json
from pathlib import Path
from typing import Any, Dict, List, TypeVar  # noqa: UP035  (as Python 3.7 has them)

T = TypeVar("T")


class Counts:
    """Counts, and the reasons of failures: [name, text]."""

    def __init__(self, answer: str) -> None:
        self._answer = Path(answer)
        lists: Dict[str, Any] = {"broken": [], "failures": []}  # noqa: UP006
        self.facts = {"collected": 0, "passed": 0, "failed": 0, "skipped": 0, **lists}

    def count(self, kind: str) -> None:
        """One more `passed`, `failed` or `skipped`."""
        self.facts[kind] += 1
        self.save()

    def tell(self, kind: str, name: str, text: str) -> None:
        """Why a file was `broken`, or a test is among the `failures`."""
        self.facts[kind].append([name, text[-1500:]])

    def save(self) -> None:
        """Write everything, whole or not at all."""
        beside = self._answer.with_name("counts.new")
        beside.write_text(json.dumps(self.facts, ensure_ascii=False), "utf-8", "replace")
        beside.replace(self._answer)


def sample(tests: List[T], most: int) -> List[T]:  # noqa: UP006
    """At most that many, evenly spread."""
    return tests if len(tests) <= most else [tests[n * len(tests) // most] for n in range(most)]
