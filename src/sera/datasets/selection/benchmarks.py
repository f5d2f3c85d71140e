"""Decontamination: which samples are too near to an instance of a benchmark.

Instances come as JSON Lines in SWE-bench's form: `instance_id`, `repo`, `base_commit`, `patch`, `test_patch`,
`problem_statement`; other keys are passed over, and any but `repo` may be missing. Repositories are the
same if their names are, or if one of them has no owner and the rest is the same; commits, if one begins with
the other. An n-gram that is in many patches (a bare `+return None`) still counts, so short ones err on the
side of leaving a sample out.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from sera.datasets.sample import Sample
from sera.datasets.selection.config import Benchmarks, Rule
from sera.datasets.selection.patches import read_patch
from sera.errors import ConfigError, boundary
from sera.records import Record

_WORD = re.compile(r"\w+")
_SHORTEST_COMMIT = 7
T = TypeVar("T")
Gram = int
"""An n-gram's hash."""


class _Instance(Record, frozen=True):
    repo: str
    base_commit: str = ""
    patch: str = ""
    test_patch: str = ""
    problem_statement: str = ""


class _Grams:
    """Instances by their n-grams."""

    def __init__(self) -> None:
        self._owners: defaultdict[Gram, list[int]] = defaultdict(list)
        self._sizes: list[int] = []

    def add(self, grams: set[Gram]) -> None:
        for gram in grams:
            self._owners[gram].append(len(self._sizes))
        self._sizes.append(len(grams))

    def overlap(self, grams: set[Gram]) -> float:
        """Highest share of an instance's n-grams that are among these."""
        shared = Counter(owner for gram in grams for owner in self._owners.get(gram, ()))
        return max((count / self._sizes[owner] for owner, count in shared.items()), default=0.0)


class Contamination:
    """What is looked for, indexed."""

    def __init__(self, config: Benchmarks, instances: Iterable[_Instance]) -> None:
        self._config = config
        self._tests: dict[Rule, Callable[[Sample], bool]] = {
            "commit": self._same_commit,
            "file": self._same_file,
            "function": self._same_function,
            "patch": self._same_patch,
            "issue": self._same_issue,
        }
        self._commits: defaultdict[str, set[str]] = defaultdict(set)
        self._files: defaultdict[str, set[str]] = defaultdict(set)
        self._places: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        self._patches, self._issues = _Grams(), _Grams()
        for instance in instances:
            patch, name = read_patch(instance.patch), instance.repo.lower()
            if len(instance.base_commit) >= _SHORTEST_COMMIT:
                self._commits[name].add(instance.base_commit.lower())
            self._files[name] |= patch.files
            self._places[name] |= patch.places
            for diff in (instance.patch, instance.test_patch):
                self._patches.add(self._patch_grams(diff))
            self._issues.add(self._issue_grams(instance.problem_statement))

    def rule_against(self, sample: Sample) -> Rule | None:
        """The first rule by which the sample is too near to an instance."""
        return next((rule for rule in self._config.rules if self._tests[rule](sample)), None)

    def _same_commit(self, sample: Sample) -> bool:
        own = sample.source.commit.lower()
        commits = _of_repository(self._commits, sample)
        return len(own) >= _SHORTEST_COMMIT and any(
            own.startswith(commit) or commit.startswith(own) for commit in commits
        )

    def _same_file(self, sample: Sample) -> bool:
        files = read_patch(sample.patch).files
        return any(path in files for path in _of_repository(self._files, sample))

    def _same_function(self, sample: Sample) -> bool:
        places = read_patch(sample.patch).places
        return any(place in places for place in _of_repository(self._places, sample))

    def _same_patch(self, sample: Sample) -> bool:
        return self._is_near(self._patches, self._patch_grams(sample.patch))

    def _same_issue(self, sample: Sample) -> bool:
        return self._is_near(self._issues, self._issue_grams(sample.issue))

    def _is_near(self, known: _Grams, grams: set[Gram]) -> bool:
        overlap = known.overlap(grams)
        return overlap > 0 and overlap >= self._config.overlap

    def _patch_grams(self, diff: str) -> set[Gram]:
        return _grams(read_patch(diff).changed, self._config.lines)

    def _issue_grams(self, text: str) -> set[Gram]:
        return _grams(_WORD.findall(text.lower()), self._config.words)


def load_benchmarks(config: Benchmarks) -> Contamination:
    """Read and index the instances of all files; `ConfigError` names the file and line that is wrong."""
    return Contamination(config, (one for file in config.files for one in _instances(Path(file))))


def _instances(file: Path) -> Iterator[_Instance]:
    decoder = msgspec.json.Decoder(_Instance)
    with boundary(ConfigError, f"benchmark {file}"), file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                with boundary(ConfigError, f"benchmark {file}, line {number}", msgspec.DecodeError):
                    instance = decoder.decode(line)
                yield instance


def _of_repository(known: Mapping[str, set[T]], sample: Sample) -> Iterator[T]:
    """What is known of the sample's repository, under any of its names."""
    own = sample.source.repository.lower()
    for name, found in known.items():
        bare = "/" not in name or "/" not in own
        if name == own or (bare and name.rpartition("/")[2] == own.rpartition("/")[2]):
            yield from found


def _grams(items: Sequence[str], size: int) -> set[Gram]:
    """Hashes of all runs of `size` items; of the whole, if there are fewer."""
    size = min(size, len(items))
    return (
        {hash(tuple(items[start : start + size])) for start in range(len(items) - size + 1)}
        if size
        else set()
    )
