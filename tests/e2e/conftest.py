"""The command line, as a fixture."""

import subprocess
from pathlib import Path

import pytest
from user_shell import SERA, Sera, environment


@pytest.fixture
def sera(cache: Path) -> Sera:
    """Runs `sera` with the given arguments and checks the exit code, 0 unless told otherwise."""

    def run(
        *arguments: object, code: int = 0, timeout: float = 120, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        command = [str(SERA), *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment(cache, **more)
        )
        assert done.returncode == code, f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run
