"""Runs a class of tests once more as an ordinary user, when root runs the tests."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_USER = 54321


def _others_may_use(path: Path) -> bool:
    return all(step.stat().st_mode & 0o001 for step in (path.resolve(), *path.resolve().parents))


def _public_interpreter() -> Path | None:
    """This version of Python where an ordinary user may run it."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [Path(sys.executable), Path("/usr/bin") / name, Path("/usr/local/bin") / name]
    return next((path for path in candidates if path.exists() and _others_may_use(path)), None)


def passes_as_an_ordinary_user(file: str, tests: str) -> None:
    """Run the tests of that name in `file` as an ordinary user; all must pass."""
    interpreter = _public_interpreter()
    if interpreter is None:
        pytest.skip("no interpreter of this version outside of directories closed to ordinary users")
    if not _others_may_use(Path(file)) and not _others_may_use(Path(file).parent):
        pytest.skip("the tests lie in a directory closed to ordinary users")
    with tempfile.TemporaryDirectory(prefix="sera-ordinary-") as home:
        os.chown(home, _USER, _USER)
        environment = {
            "HOME": home,
            "TMPDIR": home,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join(
                path for path in sys.path if path.endswith(("site-packages", "/src"))
            ),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [
            str(interpreter),
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-x",
            "-k",
            tests,
            file,
        ]
        done = subprocess.run(
            command,
            env=environment,
            user=_USER,
            group=_USER,
            extra_groups=[],
            cwd=Path(file).parents[2],
            capture_output=True,
            text=True,
            timeout=150,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(done.stdout[-1500:])
