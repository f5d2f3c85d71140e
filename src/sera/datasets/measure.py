"""Rendering and counting, many samples at a time: nearly all the work of a build, in one place."""

from collections.abc import Sequence
from itertools import islice

from sera.datasets.candidate import Candidate
from sera.datasets.rendering.lengths import turn_lengths
from sera.datasets.rendering.student import Student
from sera.datasets.tokens import TokenCounter
from sera.errors import DatasetError


def measure(candidates: Sequence[Candidate], counter: TokenCounter, student: Student) -> None:
    """Render every candidate and count the tokens of all their turns together. One that cannot be rendered
    is left without lengths, its `detail` says why."""
    candidates = [candidate for candidate in candidates if _rendered(candidate)]
    if not student.template.turn_by_turn:
        _measure_whole(candidates, student)
        return
    lengths = iter(counter.count([turn for candidate in candidates for turn in candidate.turns]))
    for candidate in candidates:
        candidate.lengths = list(islice(lengths, len(candidate.turns)))


def recount(candidate: Candidate, student: Student) -> bool:
    """Count a conversation anew that was cut, where a template may write its end in another way than its
    middle; whether it can be rendered, else `detail` says why."""
    if candidate.fit.ratio == 1 or not candidate.kept or student.template.turn_by_turn:
        return True
    row = candidate.conversation
    try:
        (lengths,) = turn_lengths([row | {"messages": row["messages"][: candidate.fit.turns]}], student)
    except DatasetError as problem:
        candidate.detail = str(problem)
        return False
    candidate.fit = candidate.fit._replace(tokens=sum(lengths))
    return True


def _rendered(candidate: Candidate) -> bool:
    try:
        return bool(candidate.turns)
    except DatasetError as problem:
        candidate.detail = str(problem)
        return False
    except RecursionError:
        candidate.detail = "the arguments of a call, or the definition of a tool, are nested too deeply"
        return False


def _measure_whole(candidates: Sequence[Candidate], student: Student) -> None:
    try:
        counts = turn_lengths([candidate.conversation for candidate in candidates], student)
    except DatasetError as problem:
        if len(candidates) == 1:
            candidates[0].detail = str(problem)
        for candidate in candidates if len(candidates) > 1 else ():
            _measure_whole([candidate], student)
        return
    for candidate, counted in zip(candidates, counts, strict=True):
        candidate.lengths = counted
