"""A run is a directory; a record is a line; resuming is a difference.

    run.json            what was asked for, resolved, and from which source: there before any work is
    harness.json        every word the agent was told
    tasks.jsonl         the plan: one task a line, in order
    rollouts.jsonl      ┐
    verdicts.jsonl      │ what has been done: journals that only grow
    pull_requests.jsonl │
    pairs.jsonl         ┘ one line ends a task; a task without one, or with a failed one, is owed
    ledger.jsonl        what requests to the teacher may cost, written before they are sent, and did cost
    control.jsonl       orders to the process at work
    steps/              the steps of rollouts under way, a file each; gone when the rollout is on the disk

One process at a time writes a run, held by a lock that the kernel frees however the process ends;
any number may read it meanwhile.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from sera.errors import RunError, boundary
from sera.harness import Profile
from sera.records import Pair, PullRequest, Record, Stage, State, Task, Usage, Verdict, rollout_id
from sera.runs.control import OrderBook, Verb
from sera.runs.folder import (
    Manifest,
    check_manifest,
    decode_file,
    locked,
    read_manifest,
    replace,
    write_manifest,
)
from sera.runs.journal import Journal, writable
from sera.runs.lines import Scan, decode, seal
from sera.runs.rollouts import (
    QUESTIONS,
    Question,
    RolloutJournal,
    is_metered,
    proven_usage,
    steps_file,
    trail_of,
    trails_in,
)
from sera.runs.trail import Trail, flaws_of

MANIFEST = "run.json"
_OWED = frozenset({State.FAILED, State.REQUEUED})
"""States in which a task is not over."""
_WITH_TEXT = frozenset({State.UNREADABLE, State.T2_UNFINISHED, State.COMPLETE})
"""States that come after the issue text."""
_MOST_FLAWS = 20
_WRITTEN_ANEW = "`sera generate` with the command that began the run writes it anew"


class _StepHeading(Record, frozen=True):
    rollout: str


class _PairHeading(Record, frozen=True):
    task: str
    state: State


class Run:
    """The records of one run directory, indexed. `open_run` makes it writable."""

    def __init__(self, path: Path, manifest: Manifest, profile: Profile, tasks: list[Task]) -> None:
        self.path = path
        self.manifest = manifest
        self.profile = profile
        self.tasks = tasks
        self.rollouts = RolloutJournal(path)
        self.verdicts = Journal(path / "verdicts.jsonl", Verdict, _StepHeading, lambda v: v.rollout)
        self.pull_requests = Journal(
            path / "pull_requests.jsonl", PullRequest, _StepHeading, lambda p: p.rollout
        )
        self._turns: Counter[str] = Counter()
        self.pairs = Journal(path / "pairs.jsonl", Pair, _PairHeading, self._note_end)
        for task in tasks:  # also where the line that put it back is lost
            while rollout_id(task.id, Stage.T1, 0, self._turns[task.id] + 1) in self.rollouts:
                self._turns[task.id] += 1
        self._tasks = {task.id: task for task in tasks}
        self.orders = OrderBook(path)
        """Orders given since the run was opened."""

    @property
    def journals(self) -> tuple[Journal[Any], ...]:
        """All journals, in the order in which a task fills them."""
        return self.rollouts, self.verdicts, self.pull_requests, self.pairs

    @property
    def flaws(self) -> list[str]:
        """What is wrong with which line of the journals and trails; the first of each."""
        found = [flaw for journal in self.journals for flaw in journal.flaws[:_MOST_FLAWS]]
        for file in trails_in(self.path):
            found += flaws_of(file)[:_MOST_FLAWS]
        return [str(flaw) for flaw in found]

    @property
    def proven(self) -> Usage:
        """What a run whose requests are metered has used at least, by all records but the ledger."""
        if not is_metered(self.manifest.config):
            return Usage()
        return proven_usage(
            self.path, self.rollouts, self_check=self.verdicts, pull_request=self.pull_requests
        )

    def owed(self) -> list[Task]:
        """Tasks of the plan without a definite end, or whose records are not whole, in order."""
        return [task for task, pair in self.task_pairs() if pair is None or pair.state in _OWED]

    def end(self, pair: Pair) -> None:
        """Record what became of a task. Unless it failed, nobody goes on from its steps."""
        task = self._tasks.get(pair.task) if pair.state is not State.FAILED else None
        over = self._steps_of(task) if task else []
        self.pairs.append(pair)
        for file in over:
            file.unlink(missing_ok=True)

    def owe_what_is_not_whole(self) -> None:
        """Take back the ends of tasks whose records were damaged: they are brought to an end again, from what
        is whole. Noted, since what is done anew may come out otherwise than before."""
        for task, pair in self.recorded():
            if pair and self.lacks(task, pair):
                again = "what its end rests on was damaged"
                self.end(
                    Pair(
                        task=task.id,
                        index=task.index,
                        state=State.FAILED,
                        reason=again,
                        finished=round(time.time(), 3),
                    )
                )

    def rollout_id(self, task: Task, stage: Stage, attempt: int) -> str:
        """The id of a task's rollout in the present turn of the task."""
        return rollout_id(task.id, stage, attempt, self._turns[task.id])

    def rollout_ids(self, task: Task) -> list[tuple[Stage, int, str]]:
        """(stage, attempt, id) of every rollout that a task may have in its present turn."""
        places = [*((Stage.T1, attempt) for attempt in range(len(task.categories))), (Stage.T2, 0)]
        return [(stage, attempt, self.rollout_id(task, stage, attempt)) for stage, attempt in places]

    def trail(self, rollout: str, question: Question | None = None) -> Trail:
        """The steps so far of a rollout under way, by its id, or the answers to a question about it."""
        return trail_of(self.path, rollout, question)

    def _note_end(self, end: _PairHeading) -> str:
        if end.state is State.REQUEUED:
            self._turns[end.task] += 1
        return end.task

    def _steps_of(self, task: Task) -> list[Path]:
        """Where steps of a task's present turn may lie."""
        rollouts = [identity for _, _, identity in self.rollout_ids(task)]
        return [steps_file(self.path, one, question) for one in rollouts for question in (None, *QUESTIONS)]

    def task_pairs(self) -> list[tuple[Task, Pair | None]]:
        """Every task of the plan with its end, if it has one and all it rests on is whole, in order."""
        return [(task, None if pair and self.lacks(task, pair) else pair) for task, pair in self.recorded()]

    def recorded(self) -> list[tuple[Task, Pair | None]]:
        """Every task of the plan with its end, if one is on record, in order."""
        pairs = {pair.task: pair for pair in self.pairs}
        return [(task, pairs.get(task.id)) for task in self.tasks]

    def lacks(self, task: Task, pair: Pair) -> list[str]:
        """Ids of rollouts that the task's end rests on and that are not whole on record, or whose self-check
        or issue text is not. Damage takes them away; what a run writes by itself always has them."""
        if not pair.t1 or pair.state in _OWED:
            return []
        tried: list[str] = []
        while pair.t1 not in tried:
            if len(tried) == len(task.categories):  # of a turn that is over
                return [pair.t1]
            tried.append(self.rollout_id(task, Stage.T1, len(tried)))
        checked = tried[:-1] if pair.state in (State.T1_UNFINISHED, State.T1_EMPTY) else tried
        lacking = [one for one in tried if one not in self.rollouts]
        lacking += [one for one in checked if one not in self.verdicts and one not in lacking]
        if pair.state in _WITH_TEXT and pair.t1 not in self.pull_requests:
            lacking.append(pair.t2 or pair.t1)
        if pair.t2 and pair.t2 not in self.rollouts:
            lacking.append(pair.t2)
        return lacking


@contextmanager
def open_run(path: Path, manifest: Manifest, profile: Profile, tasks: list[Task]) -> Iterator[Run]:
    """Start a run, or go on with the one that is there, as its only writer.

    Raises `RunError` if another process writes it or the directory holds something else, and
    `ConfigError` if what is asked for would mix unlike data.
    """
    with boundary(RunError, f"cannot make the run directory {path}"):
        path.mkdir(parents=True, exist_ok=True)
    check_manifest(path / MANIFEST, manifest)  # before a lock is left in a folder of somebody else's
    with locked(path):
        _settle(path, manifest, profile, tasks)
        run = Run(path, manifest, profile, tasks)
        with writable(*run.journals):
            run.owe_what_is_not_whole()
            yield run


def read_run(path: Path) -> Run:
    """Open a run for reading; `RunError` if there is none or another version of sera wrote it."""
    if not (path / MANIFEST).is_file():
        lost = (path / "tasks.jsonl").exists()
        cure = "Restore it from a copy" if lost else f"`sera generate REPO --out {path}` makes one"
        raise RunError(f"{path} is no run: there is no run.json in it. {cure}")
    manifest = read_manifest(path / MANIFEST)
    profile: Profile = decode_file(path / "harness.json", Profile, _WRITTEN_ANEW)
    if profile.hash != manifest.identity.get("profile", profile.hash):
        raise RunError(f"{path / 'harness.json'} is not as sera wrote it: {_WRITTEN_ANEW}")
    return Run(path, manifest, profile, _read_plan(path / "tasks.jsonl", manifest.tasks))


def _read_plan(file: Path, planned: int) -> list[Task]:
    decoder = msgspec.json.Decoder(Task)

    def is_plain(text: bytes) -> bool:
        try:
            decode(decoder, text)
        except msgspec.DecodeError:
            return False
        return True

    scan = Scan(file, is_plain)
    try:
        tasks = [decode(decoder, line.text) for line in scan]
    except msgspec.DecodeError as problem:
        raise RunError(f"{file} is no plan: {problem}: {_WRITTEN_ANEW}") from problem
    if scan.flaws or scan.torn or len(tasks) < planned:
        what = scan.flaws[0] if scan.flaws else f"{file.name}: its end is lost"
        raise RunError(f"{file.parent}/{what}: {_WRITTEN_ANEW}")
    return tasks


def planned(path: Path) -> int:
    """Tasks of the plan that a run was last given; 0 for a new one."""
    file = path / "tasks.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


def change_run(path: Path, verb: Verb, tasks: list[str]) -> int:
    """Requeue or drop tasks of a run that nobody is working on; how many were changed.

    A task that is owed is not requeued: it goes on from what is recorded of it. One that has ended is not
    dropped.
    """
    known = read_run(path)
    with open_run(path, known.manifest, known.profile, known.tasks) as run:
        owed = {task.id for task in run.owed()}
        changed = [
            task for task in known.tasks if task.id in tasks and (task.id in owed) == (verb is Verb.DROP)
        ]
        for task in changed:
            state = State.DROPPED if verb is Verb.DROP else State.REQUEUED
            run.end(
                Pair(task=task.id, index=task.index, state=state, reason="by order", finished=time.time())
            )
        return len(changed)


def _settle(path: Path, manifest: Manifest, profile: Profile, tasks: list[Task]) -> None:
    """Write the files that are written first, if they are new, and refuse if they contradict."""
    check_manifest(path / MANIFEST, manifest)
    plan = b"".join(seal(task, number) for number, task in enumerate(tasks, 1))
    replace(path / "harness.json", msgspec.json.format(msgspec.json.encode(profile)))
    replace(path / "tasks.jsonl", plan)
    write_manifest(path / MANIFEST, msgspec.structs.replace(manifest, tasks=len(tasks)))
