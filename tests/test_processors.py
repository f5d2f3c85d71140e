"""Processors: a container's quota counts, and libraries do not wait in loops."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sera import processors as own


def test_no_more_than_it_is_bound_to() -> None:
    """Also where every core is there to be seen."""
    one = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])"
    told = subprocess.run(
        [sys.executable, "-c", f"{one}; from sera.processors import processors; print(processors())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "1\n"


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [("max 100000", "max 100000", 8), ("250000 100000", "max 100000", 3), ("max 100000", "5000 100000", 1),
     ("300000 100000", "600000 100000", 3), ("damaged", "", 8)],
)  # fmt: skip
def test_the_quota_of_a_group_and_of_those_around_it(
    outer: str, inner: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "outer" / "inner"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text(inner)
    (group.parent / "cpu.max").write_text(outer)
    monkeypatch.setattr(own, "_CGROUPS", tmp_path)
    monkeypatch.setattr(own, "_own_group", lambda: group)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert own.processors() == expected


@pytest.mark.parametrize(("before", "after"), [(None, "passive"), ("active", "active")])
def test_a_command_loads_libraries_that_sleep(before: str | None, after: str) -> None:
    """Unless the user has said how they wait."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    asked = (
        "import os, sera.cli, sys; sera.cli._outcome = lambda: print(os.environ['OMP_WAIT_POLICY']); "
        "sera.cli.main()"
    )
    told = subprocess.run(
        [sys.executable, "-c", asked],
        env=environment | ({"OMP_WAIT_POLICY": before} if before else {}),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == f"{after}\n"
