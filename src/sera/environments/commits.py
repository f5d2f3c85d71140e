"""Which commits of a repository to take: those named, or some that are spaced evenly over a stretch of
time."""

import datetime
import re
from bisect import bisect_right
from pathlib import Path

from sera.errors import SourceError, UsageError
from sera.repositories.git import GitFailed, Local
from sera.repositories.sources import find_repository

_DAY = 86_400


def spaced_commits(source: str, count: int, since: str, revision: str = "HEAD") -> list[str]:
    """`count` commits of the main line, the newest first: the newest itself, and for each of equally spaced
    moments back to `since` the one that was the newest then. Fewer, if there are fewer.

    `since` is a number of days (`365d`) before the newest commit, or a date (`2024-06-01`).
    """
    local = _local(source)
    try:
        listed = local.run("rev-list", "--first-parent", "--timestamp", revision or "HEAD", "--").decode()
    except GitFailed as failure:
        raise SourceError(f"the history of {source} cannot be read: {failure.stderr}") from None
    history = sorted(
        (int(line.split()[0]), -n, line.split()[1]) for n, line in enumerate(listed.splitlines())
    )
    times = [time for time, _, _ in history]
    newest, oldest = times[-1], max(_start(since, times[-1]), times[0])
    step = (newest - oldest) / max(1, count - 1)
    moments = [newest - step * n for n in range(count)]
    chosen = [history[max(0, bisect_right(times, moment + 0.5) - 1)][2] for moment in moments]
    return list(dict.fromkeys(chosen))


def version_of(source: str, commit: str) -> str:
    """The version that the tags of a repository on this machine give a commit; empty where there is none."""
    path = Path(source).expanduser()
    local = find_repository(path.resolve()) if commit and path.is_dir() else None
    if local is None:
        return ""
    try:
        tag = local.run("describe", "--tags", "--abbrev=0", commit).decode().strip()
    except GitFailed:
        return ""
    found = re.search(r"\d+(?:[._]\d+)*(?:\.?(?:a|b|rc|dev|post)\d+)?", tag)
    return found[0].replace("_", ".") if found else ""


def _local(source: str) -> Local:
    path = Path(source).expanduser()
    local = find_repository(path.resolve()) if path.is_dir() else None
    if local is None:
        raise UsageError(
            f"{source} has no history on this machine to choose commits from: "
            "clone it, and name the directory"
        )
    return local


def _start(since: str, newest: int) -> int:
    if days := re.fullmatch(r"(\d+)\s*d(?:ays?)?", since):
        return newest - int(days[1]) * _DAY
    try:
        moment = datetime.datetime.fromisoformat(since)
    except ValueError:
        raise UsageError(
            f"since is {since!r}: give days, such as 365d, or a date, such as 2024-06-01"
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp())
