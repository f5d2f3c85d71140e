"""A build killed at random moments ends, by the same command, in the very same dataset."""

import random
import subprocess
import time
from pathlib import Path

from test_crash_safety import contents, sandbox_processes
from user_shell import SERA, Sera, environment

KILLS = 4
SEED = 77
PAIRS = 40


def test_kill_a_build_at_random_moments(
    sera: Sera, tiny_repo: Path, cache: Path, tmp_path: Path, byte_tokenizer: str
) -> None:
    sera("generate", tiny_repo, "--out", tmp_path / "real", "--functions", 4)
    sera("rehearse", "run", tmp_path / "real", tmp_path / "run", "--pairs", PAIRS)
    arguments = ["dataset", "build", tmp_path / "run", "--tokenizer", byte_tokenizer, "--workers", 2]
    arguments += ["--recipe", "12 T2 r>=0.5 + 20 T1", "--max-tool-tokens", 3_000, "--out"]
    started = time.monotonic()
    sera(*arguments, tmp_path / "whole")
    whole = time.monotonic() - started
    moments, kills = random.Random(SEED), 0
    for _ in range(3 * KILLS):
        process = subprocess.Popen(
            [SERA, *map(str, arguments), str(tmp_path / "broken")],
            env=environment(cache),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(moments.uniform(0.2 * whole, whole))
        kills += process.poll() is None
        process.kill()
        process.wait(10)
        deadline = time.monotonic() + 20
        while sandbox_processes(process.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not sandbox_processes(process.pid), "a worker outlived the build"
        if kills == KILLS:
            break
    assert kills >= 3
    sera(*arguments, tmp_path / "broken")
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "real", "run", "whole"]
