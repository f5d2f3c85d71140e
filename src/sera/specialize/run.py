"""Carrying the plan out: each stage as a process of its own, in order, what is done already left alone.

A process of its own gives its memory back, cannot take others down with it, and is the same command that a
person would type. It inherits the terminal. It is in a process group of its own, so that an interrupt reaches
it once, through here: the first lets it end its steps, the second stops it at once.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

import msgspec

from sera.errors import Halted, RunError, boundary
from sera.records import Record
from sera.runs.folder import locked
from sera.settings import ARGUMENTS
from sera.specialize.plan import NAMES, Request, make_plan
from sera.specialize.stage import Done, Stage, State, differences, read_done, state_of, write_done

Told = Callable[[str], None]
_FOLDER_ASIDE = "earlier"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StageFailed(RunError):
    """The command of a stage has ended with an error; the message says how to go on."""


class Standing(Record, frozen=True):
    """A stage of the plan and what is to be done about it."""

    stage: Stage
    state: str


def outlook(request: Request) -> list[Standing]:
    """Every stage with how it stands, before anything is done."""
    stages, lacking = make_plan(request), set[str]()
    found, moved = [], False
    for name, stage in stages.items():
        missing = [need for need in stage.needs if need in lacking]
        if name not in request.wanted:
            state = "left out, and there already" if stage.is_there else "left out"
        elif missing:
            state = f"left out: nothing of {missing[0]}"
        else:
            state = _foreseen(request, stage, moved)
            moved |= state != State.DONE
        if state.startswith("left out") and not stage.is_there:
            lacking.add(name)
        found.append(Standing(stage, state))
    return found


def _foreseen(request: Request, stage: Stage, moved: bool) -> str:
    state = state_of(stage, read_done(request.out, stage.name))
    if state is State.DONE and moved and stage.fixed | stage.fresh:
        return "done, unless what it reads changes"
    return str(state)


def specialize(request: Request, report: Callable[[], None], told: Told) -> None:
    """Do every stage that is wanted and not done; `report` writes the page.

    Raises `RunError` naming the stage that failed, and `Halted` after an interrupt.
    """
    with boundary(RunError, f"cannot make the folder {request.out}"):
        request.out.mkdir(parents=True, exist_ok=True)
    with locked(request.out):
        _refuse_foreign(request.out)
        for name in NAMES:
            if name in request.wanted:
                stages = make_plan(request)
                if name in stages:
                    _do(request, stages, stages[name], report, told)


def _refuse_foreign(out: Path) -> None:
    """Raises `RunError` if the folder holds something that is not ours and nothing that is."""
    names = {path.name for path in out.iterdir() if not path.name.startswith(".lock")}
    ours = {"environment.json", "stages", "tasks", "run", "dataset", "before", "student", "after"}
    if names and not names & ours:
        raise RunError(f"{out} holds something other than a specialisation: choose another --out")


def _do(
    request: Request, stages: dict[str, Stage], stage: Stage, report: Callable[[], None], told: Told
) -> None:
    if stage.name == "report":
        report()
        return
    if lacking := next((need for need in stage.needs if not stages[need].is_there), ""):
        told(f"{stage.name}: left out, since there is nothing of {lacking}")
        return
    try:
        carry_out(request.out, stage, told)
    except StageFailed as failed:
        raise StageFailed(f"{failed}, and `--skip {stage.name}` goes on with what is there") from None


def carry_out(out: Path, stage: Stage, told: Told, log: Path | None = None) -> None:
    """Do one stage, unless it is done; records are kept in `out`, and what the command says in `log`.

    Raises `StageFailed` if its command does, and `Halted` after an interrupt.
    """
    done = read_done(out, stage.name)
    state = state_of(stage, done)
    if state is State.DONE:
        told(f"{stage.name}: done before, {stage.out}")
        return
    if done and state is State.ANEW:
        kept = _set_aside(out, stage.out)
        told(f"{stage.name}: begun anew ({'; '.join(differences(stage, done))}){kept}")
        done = None
    elif done and state is State.CHANGED:
        told(f"{stage.name}: goes on, changed ({'; '.join(differences(stage, done))})")
    told(f"{stage.name}: {stage.line}")
    _run(out, stage, done, log)


def _set_aside(out: Path, made: Path) -> str:
    """Move what a stage made before out of the way; where to, as the end of a sentence."""
    if not made.exists() or out not in made.parents:
        return ""
    aside = out / _FOLDER_ASIDE
    with boundary(RunError, f"cannot set {made} aside"):
        aside.mkdir(exist_ok=True)
        number = 1
        while (aside / f"{made.name}-{number}").exists():
            number += 1
        kept = made.rename(aside / f"{made.name}-{number}")
    return f"; what was there is kept in {kept}"


def _run(out: Path, stage: Stage, before: Done | None, log: Path | None) -> None:
    started = time.time()
    done = Done(
        stage=stage.name,
        argv=stage.shown,
        fixed=stage.fixed,
        fresh=stage.fresh,
        key=stage.key,
        identity=stage.identity,
        began=before.began if before else started,
        seconds=before.seconds if before else 0.0,
    )
    write_done(out, done)
    code, interrupted = _wait(stage, log)
    seconds = round(done.seconds + time.time() - started, 1)
    write_done(out, msgspec.structs.replace(done, code=code, seconds=seconds))
    if interrupted:
        raise Halted(
            f"interrupted in the stage {stage.name}; everything so far is saved, the same command goes on"
        )
    if code:
        said = f"stands in {log}" if log else "stands above"
        raise StageFailed(
            f"the stage {stage.name} has failed, with exit code {code}: what it said {said}. The same "
            f"command goes on from there; by hand it is `{stage.line}`"
        )


def _wait(stage: Stage, log: Path | None) -> tuple[int, bool]:
    """Run the command; its exit code, and whether it was interrupted."""
    heard: list[int] = []
    with (
        boundary(RunError, f"the stage {stage.name} cannot be started"),
        log.open("ab") if log else nullcontext() as said,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "sera", *stage.shown],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            process_group=0,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | _apart(stage),
        )

    def pass_on(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        process.send_signal(signal.SIGINT)

    with _hearing(pass_on):
        return process.wait(), bool(heard)


def _apart(stage: Stage) -> dict[str, str]:
    """The arguments in a variable, where some are secret: everybody can read a command line."""
    return {} if stage.shown == stage.argv else {ARGUMENTS: json.dumps(stage.argv)}


@contextmanager
def _hearing(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
