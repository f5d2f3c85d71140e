"""`sera gc` where no engine is installed: folders and groups of processes that are gone, and nothing else."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from sera.cli import cli
from sera.leases import leased_folder, leftover_folders
from sera.sandboxes.cgroups import find_place, leftover_groups

_HOST = """
import os, signal, sys
from pathlib import Path
from sera.leases import leased_folder
from sera.sandboxes.cgroups import Groups, find_place
from sera.sandboxes.contract import Limits
with leased_folder("model") as one, leased_folder("tools", Path(sys.argv[1])) as two:
    groups = Groups(find_place(), Limits()).create()
    print(one, two, *groups, sep="\\n", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a killed process left here, in a temporary folder and a cache of the test's own."""
    for name in ("temporary", "cache/tools"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("SERA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    command = [sys.executable, "-c", _HOST, str(tmp_path / "cache/tools")]
    yield subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_what_a_killed_process_left_is_removed(left: list[str], tmp_path: Path) -> None:
    assert len(left) == 2 + len(set(find_place().parents.values()))
    assert all(Path(path).is_dir() for path in left)
    assert not shutil.which("docker")
    assert not shutil.which("podman")
    (tmp_path / "temporary/sera-model-odd").mkdir()
    with leased_folder("model") as held:
        for dry in (True, False):
            done = CliRunner().invoke(cli, ["gc", "--json", *(["--dry-run"] if dry else [])])
            assert done.exit_code == 0, done.output
            assert set(left) <= {row["name"] for row in json.loads(done.stdout)}
            assert [Path(path).is_dir() for path in left] == [dry] * len(left)
        assert held.is_dir()
        assert (tmp_path / "temporary/sera-model-odd").is_dir()
        assert not {*map(str, leftover_folders()), *map(str, leftover_groups())} & set(left)
