"""The commands of a plan, and where each puts what it makes.

    OUT/repositories/NAME/             prepare ─ tasks ─ measured ─ run      once for each repository
    OUT/held_out.txt                   what neither tasks nor measured conversations may teach any arm
    OUT/STUDENT/TARGET/measured-THINK/ the conversations that every arm's loss is measured on
    OUT/STUDENT/TARGET/ARM/            dataset ─ train ─ loss ─ evaluation   once for each arm

Stages come one by one, each made when those before it are done, since later ones name what earlier ones
have found.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from plan import Cell, Plan, Table, cells

from sera.formats.thinking import Think
from sera.models.weights import known_weights
from sera.repositories import open_snapshot
from sera.repositories.held_out import read_held_out
from sera.runs import read_run
from sera.specialize.config import SpecializeConfig, settle
from sera.specialize.marks import environment_mark, mark, recipe_marks, student_marks
from sera.specialize.plan import sets, student_options
from sera.specialize.stage import Stage


class Work:
    """See the module. Raises `ConfigError` for settings that a stage would not take."""

    def __init__(self, plan: Plan, out: Path) -> None:
        self.plan = plan
        self.out = out
        for cell in cells(plan):
            settle(self._config(cell))

    def repository(self, name: str) -> Path:
        """The folder of a repository."""
        return self.out / "repositories" / name

    def place(self, cell: Cell) -> Path:
        """The folder of an arm."""
        return self.out / cell.student / cell.target / cell.arm

    def measured(self, cell: Cell, think: Think) -> Path:
        """The dataset that the losses of a target's arms are measured on."""
        return self.out / cell.student / cell.target / f"measured-{think}"

    def renderings(self, arm: str) -> list[Think]:
        """Renderings of the measured conversations that an arm is asked about; the untrained one, all."""
        every = self.plan.questions.values()
        asked = {one.think for one in every if arm in one.arms or arm == self.plan.base}
        return sorted(asked or {Think.KEEP})

    def is_evaluated(self, arm: str) -> bool:
        """Whether its student carries out tasks."""
        return arm in (self.plan.evaluated or self.plan.arms)

    def of_repository(self, name: str) -> Iterator[Stage]:
        """Its environment, its tasks, and two runs of the teacher: what is measured is not trained on."""
        plan, at, repo = self.plan, self.repository(name), self.plan.repositories[name]
        listed, tasks, measured = at / "environment.json", at / "tasks", at / "measured"
        tree = {"the repository": open_snapshot(repo).tree_hash}
        yield _stage("prepare", listed, ("prepare", repo, "--out", str(listed)), plan.prepare, fixed=tree)
        tree["the environment"] = environment_mark(listed)
        yield _stage(
            "tasks", tasks, ("tasks", "build", repo, "--out", str(tasks)), plan.tasks, result="held_out.txt",
            fixed=tree, grows=("mutants=", "history=", "commits=", "workers="),
        )  # fmt: skip
        settings, held_out = _over(plan.generate, plan.measured), tasks / "held_out.txt"
        yield _run("measured", measured, repo, settings, held_out, tree)
        if (measured / "run.json").exists():
            starts = {f"{task.function.path}:{task.function.name}" for task in read_run(measured).tasks}
            _write_list(at / "held_out.txt", [*read_held_out(held_out), *sorted(starts)])
        yield _run("run", at / "run", repo, plan.generate, at / "held_out.txt", tree)

    def of_measured(self, cell: Cell) -> Iterator[Stage]:
        """The weights of a student, and the measured conversations as it reads them."""
        config, at = self._config(cell), self.repository(cell.target)
        if config.student in known_weights():
            yield _stage("fetch", self.out, ("model", "fetch", config.student), {})
        for think in self.renderings(self.plan.base):
            settings = {**config.dataset, "min_recall": 0.0, "think": str(think)}
            yield _dataset(
                self.measured(cell, think), [at / "measured"], settings, config.student,
                at / "tasks" / "held_out.txt",
            )  # fmt: skip

    def of_training(self, cell: Cell) -> Iterator[Stage]:
        """Dataset, training and losses of an arm."""
        place, config = self.place(cell), self._config(cell)
        model, data, student = config.student, place / "dataset", place / "student"
        if self.plan.arms[cell.arm].trained:
            runs = [self.repository(name) / "run" for name in self._sources(cell)]
            yield _dataset(data, runs, config.dataset, model, self._held_out())
            recipe = ("--recipe", config.recipe) if config.recipe else ()
            gguf = ("--gguf", config.gguf) if config.gguf and self.is_evaluated(cell.arm) else ()
            yield _stage(
                "train", student,
                ("train", str(data), "--student", model, "--out", str(student), *recipe, *gguf),
                config.train, result="checkpoint/sera.json",
                fixed={
                    "the dataset": mark(data / "manifest.json"),
                    **recipe_marks(config.recipe),
                    **student_marks(model),
                },
                grows=("--gguf", "f16", "q8_0", "device.", "save_every="),
            )  # fmt: skip
            model = str(student / "checkpoint")
        for think in self.renderings(cell.arm):
            file, asked = place / f"loss-{think}.json", self.measured(cell, think)
            yield _stage(
                file.stem, file, ("loss", str(asked), "--student", model, "--out", str(file)), {},
                fixed={
                    "the conversations": mark(asked / "manifest.json"),
                    "the student": "",
                    **student_marks(model),
                },
            )  # fmt: skip

    def of_evaluation(self, cell: Cell) -> Iterator[Stage]:
        """What the student of an arm resolves, against the untrained one."""
        place, config = self.place(cell), self._config(cell)
        tasks, out = self.repository(cell.target) / "tasks", place / "evaluation"
        model, asked = config.student, self._harness(cell)
        checkpoint, base = place / "student" / "checkpoint", self.place(cell._replace(arm=self.plan.base))
        against: tuple[str, ...] = ()
        trained = self.plan.arms[cell.arm].trained
        if trained:
            model = str(place / "student" / "student.gguf" if config.gguf else checkpoint)
            asked = {"profile": str(checkpoint)} if config.gguf else {}
            if (base / "evaluation" / "results.json").exists():
                against = ("--baseline", str(base / "evaluation"))
        yield _stage(
            "evaluation", out, ("evaluate", str(tasks), "--model", model, "--out", str(out), *against),
            {**asked, **config.evaluate}, result="results.json",
            fixed={
                "the tasks": mark(tasks / "tasks.jsonl"),
                "the student": "",
                **student_marks(str(checkpoint) if trained else model),
            },
            grows=("seeds=", "concurrency=", "limits.", "--baseline", str(base)),
        )  # fmt: skip

    def _config(self, cell: Cell) -> SpecializeConfig:
        """The settings of a cell: the plan's, then its student's, then its arm's."""
        plan, student, arm = self.plan, self.plan.students[cell.student], self.plan.arms[cell.arm]
        return SpecializeConfig(
            student=student.model, recipe=student.recipe, gguf=student.gguf, prepare=plan.prepare,
            tasks=plan.tasks, generate=plan.generate,
            dataset=_over(plan.dataset, student.dataset, arm.dataset),
            train=_over(plan.train, student.train, arm.train),
            evaluate=_over(plan.evaluate, student.evaluate),
        )  # fmt: skip

    def _sources(self, cell: Cell) -> list[str]:
        """The repositories that an arm's rows come from, the target first."""
        others = [name for name in self.plan.repositories if name != cell.target]
        return {"target": [cell.target], "others": others, "all": [cell.target, *others]}[
            self.plan.arms[cell.arm].sources
        ]

    def _harness(self, cell: Cell) -> Table:
        """The words and the form of calls that trained students of this plan are asked with."""
        run = self.repository(cell.target) / "run"
        named = {"profile": read_run(run).profile.name} if (run / "run.json").exists() else {}
        return {**named, "teacher.format": settle(self._config(cell)).dataset.format}

    def _held_out(self) -> Path:
        """One list of what is held out of any repository, made anew: every dataset obeys it."""
        file = self.out / "held_out.txt"
        lists = [self.repository(name) / "held_out.txt" for name in self.plan.repositories]
        _write_list(file, sorted({line for one in lists if one.exists() for line in read_held_out(one)}))
        return file


def _run(name: str, out: Path, repo: str, settings: Table, held_out: Path, tree: Mapping[str, str]) -> Stage:
    return _stage(
        name, out, ("generate", repo, "--out", str(out), "--held-out", str(held_out)), settings,
        result="pairs.jsonl", fixed={**tree, "what is held out": mark(held_out)},
        grows=("functions=", "concurrency="),
    )  # fmt: skip


def _dataset(out: Path, runs: list[Path], settings: Table, model: str, held_out: Path) -> Stage:
    options = (*map(str, runs), "--out", str(out), "--held-out", str(held_out), *student_options(model))
    read = {f"the run {run}": mark(run / "pairs.jsonl") for run in runs}
    return _stage(
        out.name, out, ("dataset", "build", *options), settings, result="manifest.json",
        fresh={**read, "what is held out": mark(held_out)},
    )  # fmt: skip


def _stage(
    name: str,
    out: Path,
    argv: tuple[str, ...],
    settings: Mapping[str, object],
    *,
    result: str = "",
    fixed: Mapping[str, str] | None = None,
    fresh: Mapping[str, str] | None = None,
    grows: tuple[str, ...] = (),
) -> Stage:
    return Stage(
        name=name, why="", amount="", argv=(*argv, *sets(settings)), out=out, results=(out / result,),
        fixed=dict(fixed or {}), fresh=dict(fresh or {}), grows=grows,
    )  # fmt: skip


def _over(*tables: Table) -> Table:
    """Tables laid over each other, later ones on top."""
    merged: Table = {}
    for table in tables:
        for key, value in table.items():
            nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = _over(merged[key], value) if nested else value
    return merged


def _write_list(file: Path, lines: list[str]) -> None:
    if lines:
        file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
