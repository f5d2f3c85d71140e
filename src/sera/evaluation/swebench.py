"""SWE-bench's own forms, for whoever reads those: predictions, logs of each task, totals.

    seed-N/preds.jsonl                                        one row a task
    seed-N/report.json                                        the totals of a run
    logs/run_evaluation/seed-N/<model>/<instance>/patch.diff, report.json, test_output.txt

One seed is one run. `/` in a model's name is written `__`. Columns and keys are those of SWE-bench's
harness (schema 2); images and containers, which there are none of, are empty lists.
"""

from pathlib import Path
from typing import Any

import msgspec

from sera.errors import RunError, boundary
from sera.evaluation.grading import Grade
from sera.evaluation.record import Outcome, State
from sera.evaluation.tasks.record import Instance
from sera.runs.folder import replace

_SCHEMA = 2
Json = dict[str, Any]


def write_log(
    folder: Path, model: str, seed: int, instance: Instance, patch: str, grade: Grade | None
) -> None:
    """The log of one trial; `grade` None: there was nothing to judge."""
    place = folder / "logs" / "run_evaluation" / f"seed-{seed}" / _in_path(model) / instance.instance_id
    with boundary(RunError, f"cannot write the log {place}"):
        place.mkdir(parents=True, exist_ok=True)
    report = {instance.instance_id: _report(instance, patch, grade)}
    replace(place / "patch.diff", patch.encode())
    replace(place / "test_output.txt", _output(instance, grade).encode())
    replace(place / "report.json", _pretty(report))


def write_predictions(folder: Path, model: str, seed: int, patches: dict[str, str]) -> None:
    """The patches of one seed, as other harnesses take them."""
    rows = [
        {"instance_id": name, "model_name_or_path": model, "model_patch": patch}
        for name, patch in patches.items()
    ]
    place = _of_seed(folder, seed)
    replace(place / "preds.jsonl", b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def write_totals(folder: Path, seed: int, tasks: list[str], outcomes: dict[str, Outcome]) -> None:
    """The totals of one seed. `tasks` are all that there are; one without an outcome is incomplete."""
    place = _of_seed(folder, seed)
    replace(place / "report.json", _pretty(totals(tasks, outcomes)))


def _of_seed(folder: Path, seed: int) -> Path:
    place = folder / f"seed-{seed}"
    with boundary(RunError, f"cannot write the figures {place}"):
        place.mkdir(exist_ok=True)
    return place


def totals(tasks: list[str], outcomes: dict[str, Outcome]) -> Json:
    """The totals under SWE-bench's names. As there, an empty patch is submitted and not completed."""

    def ids(*states: State) -> list[str]:
        return sorted(name for name, one in outcomes.items() if one.state in states)

    groups = {
        "completed": ids(State.RESOLVED, State.UNRESOLVED),
        "resolved": ids(State.RESOLVED),
        "unresolved": ids(State.UNRESOLVED),
        "empty_patch": ids(State.EMPTY),
        "error": ids(State.UNAPPLIED, State.FAILED),
        "submitted": sorted(outcomes),
    }
    return {
        "total_instances": len(tasks),
        **{f"{name}_instances": len(found) for name, found in groups.items()},
        **{f"{name}_ids": found for name, found in groups.items()},
        "incomplete_ids": sorted(set(tasks) - outcomes.keys()),
        "unstopped_instances": 0,
        "unstopped_containers": [],
        "unremoved_images": [],
        "schema_version": _SCHEMA,
    }


def _output(instance: Instance, grade: Grade | None) -> str:
    """What the runner said, and a line for each test, as pytest's summary has it."""
    if grade is None:
        return ""
    if not grade.applied:
        return grade.output
    failed = {*grade.still_failing, *grade.broken}
    tests = (*instance.failing, *instance.passing)
    lines = [f"{'FAILED' if one in failed else 'PASSED'} {one}" for one in tests]
    return "\n".join([*filter(None, [grade.output.strip("\n")]), *lines]) + "\n"


def _report(instance: Instance, patch: str, grade: Grade | None) -> Json:
    there = bool(patch.strip())
    report: Json = {
        "patch_is_None": False,
        "patch_exists": there,
        "patch_successfully_applied": there and bool(grade and grade.applied),
        "resolved": bool(grade and grade.resolved),
    }
    if grade and grade.applied:
        report["tests_status"] = {
            "FAIL_TO_PASS": _split(instance.failing, grade.still_failing),
            "PASS_TO_PASS": _split(instance.passing, grade.broken),
            "FAIL_TO_FAIL": _split((), ()),
            "PASS_TO_FAIL": _split((), ()),
        }
    return report


def _split(tests: tuple[str, ...], failed: tuple[str, ...]) -> Json:
    return {"success": [one for one in tests if one not in failed], "failure": list(failed)}


def _in_path(model: str) -> str:
    """A model is called what its server calls it."""
    plain = "".join(one if one.isprintable() else "_" for one in model.replace("/", "__"))
    return plain if plain.strip(".") else "model"


def _pretty(value: Json) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
