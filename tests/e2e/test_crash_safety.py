"""A run killed at any moment goes on where it was, and ends in the very same dataset."""

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from user_shell import SERA, Sera, environment

SEED = 20260
ARGUMENTS = ["--functions", "40", "--concurrency", "4", "--set", "teacher.latency=0.03"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def start(repository: Path, out: Path, cache: Path, arguments: list[str]) -> "subprocess.Popen[bytes]":
    command = [str(SERA), "generate", str(repository), "--out", str(out), *arguments]
    return subprocess.Popen(
        command,
        env=environment(cache),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def sandbox_processes(session: int) -> list[int]:
    """Processes still alive in the session of a run, its sandboxes' included."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else []
        except OSError:
            continue
        if fields and int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def wait_for_rollouts(run: Path, size: int, seconds: float = 20) -> None:
    """Until the file of rollouts is there and has that many bytes."""
    path, deadline = run / "rollouts.jsonl", time.monotonic() + seconds
    while not (path.exists() and path.stat().st_size >= size) and time.monotonic() < deadline:
        time.sleep(0.02)


def kill_and_wait(process: "subprocess.Popen[bytes]") -> bool:
    """SIGKILL; whether the process was still at work. Everything it started must be gone soon."""
    alive = process.poll() is None
    process.kill()
    process.wait(10)
    deadline = time.monotonic() + 5
    while sandbox_processes(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not sandbox_processes(process.pid)
    return alive


def dataset(sera: Sera, run: Path, out: Path) -> dict[str, bytes]:
    sera("dataset", "build", run, "--out", out, "--min-recall", 0, "--stages", "t1", "--stages", "t2")
    return contents(out)


@pytest.mark.parametrize("wanted", [5, pytest.param(25, marks=pytest.mark.soak)])
def test_kill_at_random_moments(
    sera: Sera, tiny_repo: Path, cache: Path, tmp_path: Path, wanted: int
) -> None:
    moments = random.Random(SEED)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    arguments = [*ARGUMENTS, "--functions", str(4 * wanted)]
    sera("generate", tiny_repo, "--out", whole, *arguments)
    kills = 0
    for _ in range(3 * wanted):
        process = start(tiny_repo, broken, cache, arguments)
        time.sleep(moments.uniform(0.5, 1.6))
        kills += kill_and_wait(process)
        if kills == wanted:
            break
    assert kills == wanted
    sera("generate", tiny_repo, "--out", broken, *arguments)
    assert dataset(sera, whole, tmp_path / "d1") == dataset(sera, broken, tmp_path / "d2")
    repeated = [json.loads(line)["id"] for line in (broken / "rollouts.jsonl").read_text().splitlines()]
    assert len(repeated) == len(set(repeated)), "a recorded rollout was done again"


@pytest.mark.parametrize("times", [1, 2, 20])
@pytest.mark.parametrize("size", [0, 100_000], ids=["starting", "at work"])
def test_interrupt_saves_and_says_so(
    sera: Sera, tiny_repo: Path, cache: Path, tmp_path: Path, times: int, size: int
) -> None:
    command = [str(SERA), "generate", str(tiny_repo), "--out", str(tmp_path / "run"), *ARGUMENTS]
    process = subprocess.Popen(
        command, env=environment(cache), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for_rollouts(tmp_path / "run", size)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "saved" in told
    assert "Traceback" not in told
    assert not sandbox_processes(process.pid)
    status = json.loads(sera("status", tmp_path / "run", "--json").stdout)
    assert status["owed"] > 0
    assert not status["running"]


def test_two_writers_are_refused(sera: Sera, tiny_repo: Path, cache: Path, tmp_path: Path) -> None:
    process = start(tiny_repo, tmp_path / "run", cache, ARGUMENTS)
    try:
        wait_for_rollouts(tmp_path / "run", 0)
        assert json.loads(sera("status", tmp_path / "run", "--json").stdout)["running"]
        problem = sera("generate", tiny_repo, "--out", tmp_path / "run", *ARGUMENTS, code=1).stderr
        assert "another process is working on the run" in problem
    finally:
        kill_and_wait(process)
