"""Commits spaced evenly over time, and versions by tags."""

import os
import subprocess
from pathlib import Path

import pytest

from sera.environments.commits import spaced_commits, version_of
from sera.errors import UsageError

DAY = 86_400
NEWEST = 1_700_000_000


def history(root: Path, days: list[int], tags: dict[int, str] | None = None) -> list[str]:
    """A repository with a commit that many days before the newest; their hashes."""
    root.mkdir()
    hashes = []

    def git(*words: str, at: int = 0) -> str:
        when = f"{NEWEST - at * DAY} +0000"
        who = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "A"), ("EMAIL", "a@example.org"), ("DATE", when))
        }
        env = os.environ | who | {"GIT_CONFIG_GLOBAL": "/dev/null"}
        return subprocess.run(
            ["git", *words], cwd=root, env=env, capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "--quiet")
    for day in days:
        git("commit", "--quiet", "--allow-empty", "-m", str(day), at=day)
        hashes.append(git("rev-parse", "HEAD"))
        if tags and day in tags:
            git("tag", tags[day])
    return hashes


def test_evenly_spaced_over_a_year(tmp_path: Path) -> None:
    days = [800, 400, 363, 280, 100, 90, 50, 1, 0]
    commits = dict(zip(days, history(tmp_path / "r", days), strict=True))
    chosen = spaced_commits(str(tmp_path / "r"), 5, "365d")
    assert chosen == [commits[day] for day in (0, 100, 280, 400)]  # two moments have the same commit
    assert spaced_commits(str(tmp_path / "r"), 1, "365d") == [commits[0]]
    assert spaced_commits(str(tmp_path / "r"), 3, "2023-08-06T22:13:20") == [
        commits[0],
        commits[50],
        commits[100],
    ]
    assert spaced_commits(str(tmp_path / "r"), 2, "9000d") == [commits[0], commits[800]]


def test_what_cannot_be(tmp_path: Path) -> None:
    history(tmp_path / "r", [0])
    with pytest.raises(UsageError, match="365d"):
        spaced_commits(str(tmp_path / "r"), 2, "a while")
    with pytest.raises(UsageError, match="clone it"):
        spaced_commits("https://example.org/x.git", 2, "365d")


def test_version_by_the_newest_tag(tmp_path: Path) -> None:
    old, tagged, newer = history(tmp_path / "r", [9, 5, 0], {5: "release-2.4.0rc1"})
    assert [version_of(str(tmp_path / "r"), commit) for commit in (old, tagged, newer)] == [
        "",
        "2.4.0rc1",
        "2.4.0rc1",
    ]
    assert version_of("https://example.org/x.git", old) == ""
