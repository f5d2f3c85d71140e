"""Plays tasks on a directory of Python files and prints what `docs/rehearsal.md` reports.

python tests/teachers/rehearsal/measure.py DIRECTORY [TASKS]
"""

import ast
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rehearsal_playing import PROFILE, Watched, change_request, play

from sera.generation.demonstrations import load_demonstrations
from sera.generation.recall import compare
from sera.repositories import open_snapshot
from sera.teachers.rehearsal import RehearsalConfig, RehearsalTeacher
from sera.teachers.rehearsal.conversation import Wording, read_conversation
from sera.teachers.rehearsal.dice import Dice, digest
from sera.teachers.rehearsal.evidence import find_changes


def functions(tree: Path) -> Iterator[tuple[str, str, int]]:
    """Qualified name, path and line of every function outside tests."""
    for file in sorted(tree.rglob("*.py")):
        if not any("test" in part for part in file.relative_to(tree).parts):
            yield from _inside(ast.parse(file.read_bytes()), "", str(file.relative_to(tree)))


def _inside(node: ast.AST, prefix: str, path: str) -> Iterator[tuple[str, str, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (
                f"{prefix}{child.name}",
                path,
                min([child.lineno, *(d.lineno for d in child.decorator_list)]),
            )
            yield from _inside(child, f"{prefix}{child.name}.<locals>.", path)
        elif isinstance(child, ast.ClassDef):
            yield from _inside(child, f"{prefix}{child.name}.", path)


def measure(tree: Path, tasks: int) -> None:
    demonstrations, categories = load_demonstrations(None), list(PROFILE.categories)
    config = RehearsalConfig(reject_rate=0.0)
    places = Dice("measure").shuffle(functions(tree))[:tasks]
    agreement: Counter[str] = Counter()
    calls, milliseconds, two_places, empty = [], [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        layer = open_snapshot(str(tree), cache=Path(folder)).layer
        for n, (name, path, line) in enumerate(places):
            teacher = Watched(RehearsalTeacher(config))
            request = change_request(name, path, line, categories[n % len(categories)])
            task = play(teacher, layer, request, demonstrations[n % len(demonstrations)].text, 2 * n)
            milliseconds += [second * 1000 for second in teacher.seconds]
            calls += [task.first.usage.calls, task.second.usage.calls]
            empty += not task.first.patch
            conversation = read_conversation(task.first.messages, Wording(PROFILE))
            two_places += len(find_changes(conversation.turns, conversation.workdir)) > 1
            recall = compare(task.first.patch, task.second.patch).recall
            dice = Dice(digest(config.seed, 2 * n + 1, task.second.messages[1].content))
            reached = "r = 1" if recall == 1 else "r = 0" if recall == 0 else "0 < r < 1"
            agreement[f"{RehearsalTeacher(config).fidelity(dice)}: {reached}"] += 1
    print(f"{len(places)} tasks, {empty} without a change, {two_places} with two places")
    print(*(f"{key}: {count}" for key, count in sorted(agreement.items())), sep="\n")
    print(f"calls per rollout: mean {statistics.mean(calls):.1f}, most {max(calls)}")
    ordered = sorted(milliseconds)
    middle, high = ordered[len(ordered) // 2], ordered[len(ordered) * 95 // 100]
    print(f"processor time per call: median {middle:.1f} ms, 95 % {high:.1f} ms, most {ordered[-1]:.1f} ms")


if __name__ == "__main__":
    measure(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100)
