"""Running git on repositories that nobody vouches for, without their configuration taking part.

A repository's own `.git/config` can name programs: file-system monitors, hooks, filters, transports
for missing objects. Everything here runs with those switched off by settings of command scope,
which outrank the repository's; and only commands are used that convert no file and run no filter
(`ls-files`, `ls-tree`, `cat-file`, `rev-parse`). Three environments, by what is trusted:

    reading   a user's repository: their own global settings count (ignore files), no transport does
    fetching  a remote: their global settings and credentials count, nothing may ask at a terminal
    writing   our own snapshot: no settings but ours

Every failure is a `GitFailed` with what git said, secrets removed by whoever knew them.
"""

import datetime
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from sera.errors import SourceError

READ_SECONDS = 300.0
"""Bound on one local git command."""
_OUTPUT_BYTES = 1 << 30
_COMPLAINT_BYTES = 1 << 16
_PATH_BYTES = 1 << 20

_HARMLESS = {
    "safe.directory": "*",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.hooksPath": os.devnull,
    "gc.auto": "0",
    "maintenance.auto": "false",
}
_OURS = {
    **_HARMLESS,
    "core.autocrlf": "false",
    "core.safecrlf": "false",
    "core.fileMode": "true",
    "core.symlinks": "true",
    "core.protectNTFS": "false",
    "core.protectHFS": "false",
    "core.logAllRefUpdates": "false",
    "core.commitGraph": "false",
    "core.looseCompression": "0",
    "pack.window": "0",
    "commit.gpgSign": "false",
}
_WHERE_SETTINGS_ARE = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
_ABOUT_ONE_REPOSITORY = frozenset(
    {
        "GIT_DIR",
        "GIT_COMMON_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_PREFIX",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_SHALLOW_FILE",
        "GIT_GRAFT_FILE",
        "GIT_NAMESPACE",
        "GIT_CONFIG",
        "GIT_TEMPLATE_DIR",
    }
)


class GitFailed(SourceError):
    """A git command failed; `stderr` is what it said."""

    def __init__(self, command: str, stderr: str) -> None:
        self.command = command
        self.stderr = stderr.strip()
        super().__init__(f"git {command} failed: {self.stderr or 'it said nothing'}")


class Object(msgspec.Struct, frozen=True):
    """One entry of a commit's tree."""

    mode: str
    """Octal, as git prints it: `100644`, `100755`, `120000` (link), `160000` (submodule)."""
    hash: str
    size: int
    """Of the content; 0 where git knows none: submodules and missing objects."""
    path: bytes


class Local(msgspec.Struct, frozen=True):
    """A repository on this machine: `work_tree` is None for a bare one."""

    git_dir: Path
    work_tree: Path | None = None

    def run(self, *args: str, cwd: Path | None = None) -> bytes:
        """Output of a command that only reads. `cwd` lies inside the working tree."""
        return run(
            [f"--git-dir={self.git_dir}", *args], env=self._env(), cwd=cwd or self.work_tree or self.git_dir
        )

    def commit(self, revision: str = "HEAD") -> str:
        """Full hash of the commit that `revision` names, or empty when it names none."""
        try:
            return self.run("rev-parse", "--verify", "--quiet", revision + "^{commit}").decode().strip()
        except GitFailed:
            return ""

    def committed(self, commit: str) -> str:
        """The moment of a commit in UTC, as ISO 8601 writes it; empty for one that no calendar has."""
        try:
            seconds = self.run("rev-list", "--timestamp", "--max-count=1", commit, "--").split()[0]
            return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).isoformat()
        except (GitFailed, IndexError, ValueError, OverflowError, OSError):
            return ""

    def entries(self, tree: str) -> Iterator[Object]:
        """All entries of a tree-ish, at any depth, in git's order. A few trees that hold each other can have
        more than anybody counts: stop when there are too many."""
        command = [f"--git-dir={self.git_dir}", "ls-tree", "-r", "-z", "-l", "--full-tree", tree]
        rest = b""
        for part in _output(command, self._env(), self.work_tree or self.git_dir, READ_SECONDS):
            *rows, rest = (rest + part).split(b"\0")
            for row in rows:
                facts, path = row.split(b"\t", 1)
                mode, _, digest, size = facts.decode().split()
                yield Object(mode, digest, int(size) if size.isdigit() else 0, path)
            if len(rest) > _PATH_BYTES:
                raise GitFailed("ls-tree", f"a path is longer than {_PATH_BYTES:,} bytes")

    @contextmanager
    def blobs(self) -> Iterator["Blobs"]:
        """A reader of file contents by hash, one git process for all of them."""
        command = ["git", f"--git-dir={self.git_dir}", "cat-file", "--batch"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self._env()
        ) as process:
            try:
                yield Blobs(process)
            finally:
                process.kill()

    def _env(self) -> dict[str, str]:
        env = reading()
        if self.work_tree is not None:
            env["GIT_WORK_TREE"] = str(self.work_tree)
        return env


class Blobs:
    """Contents as stored: no filter, no line-ending conversion."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def read(self, digest: str) -> bytes | None:
        """The object's content; None when the repository lacks it (a partial or damaged clone)."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(digest.encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            return None
        head = stdout.readline().split()
        if len(head) != 3:
            return None
        content = stdout.read(int(head[2]))
        stdout.read(1)
        return content


def reading() -> dict[str, str]:
    """Environment for a user's repository: never writes, never runs a program of its choosing."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in _WHERE_SETTINGS_ARE}
    quiet = {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    return env | quiet | settings(_HARMLESS)


def writing(place: Path) -> dict[str, str]:
    """Environment for our own repository at `place`: nobody's settings but ours, one author, one date.

    A repository that lies around it, as where the cache is in a checkout, is none of its business: `git
    apply` in a folder of one leaves out, without a word, what it takes for files elsewhere in it.
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    who = {
        f"GIT_{role}_{fact}": value
        for role in ("AUTHOR", "COMMITTER")
        for fact, value in (("NAME", "sera"), ("EMAIL", "sera@localhost"), ("DATE", "1577836800 +0000"))
    }
    alone = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(place.resolve().parent),
        "GIT_OPTIONAL_LOCKS": "0",  # a finished snapshot is shared: looking at it must not write
        "LC_ALL": "C",
    }
    return env | who | alone | settings(_OURS)


def fetching(extra: list[tuple[str, str]]) -> dict[str, str]:
    """Environment for a remote: the user's own means of access, but no question asked.

    `extra` are further settings, in order; a name may occur twice (credential helpers add up).
    """
    env = {k: v for k, v in os.environ.items() if k not in _ABOUT_ONE_REPOSITORY}
    ssh = env.get("GIT_SSH_COMMAND") or _global_setting("core.sshCommand") or env.get("GIT_SSH") or "ssh"
    silent = {
        "GIT_ALLOW_PROTOCOL": "https:http:ssh:git:file",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_SSH_COMMAND": f"{ssh} -oBatchMode=yes -oConnectTimeout=30",
        "LC_ALL": "C",
    }
    own = [*_HARMLESS.items(), ("http.lowSpeedLimit", "1000"), ("http.lowSpeedTime", "60"), *extra]
    count = env.get("GIT_CONFIG_COUNT", "0")
    return env | silent | settings(own, first=int(count) if count.isdigit() else 0)


def settings(pairs: Mapping[str, str] | list[tuple[str, str]], first: int = 0) -> dict[str, str]:
    """Environment variables that give git settings of command scope, from number `first` on."""
    items = list(pairs.items()) if isinstance(pairs, Mapping) else pairs
    env = {"GIT_CONFIG_COUNT": str(first + len(items))}
    for number, (key, value) in enumerate(items, first):
        env[f"GIT_CONFIG_KEY_{number}"] = key
        env[f"GIT_CONFIG_VALUE_{number}"] = value
    return env


def run(
    args: list[str],
    *,
    env: dict[str, str],
    cwd: Path,
    seconds: float = READ_SECONDS,
    most: int = _OUTPUT_BYTES,
) -> bytes:
    """Run git to its end and return its stdout.

    Raises `GitFailed` on a non-zero exit, when `seconds` are over, or for more than `most` bytes; then, as on
    any other way out, everything it started is killed with it.
    """
    parts = []
    for part in _output(args, env, cwd, seconds):
        most -= len(part)
        if most < 0:
            raise GitFailed(_command(args), "it says more than any repository has to")
        parts.append(part)
    return b"".join(parts)


def _command(args: list[str]) -> str:
    return next((arg for arg in args if not arg.startswith("-")), "")


def _output(args: list[str], env: dict[str, str], cwd: Path, seconds: float) -> Iterator[bytes]:
    """What git writes, as it comes; its process ends when the iteration does."""
    if shutil.which("git") is None:
        raise SourceError("git is not installed, or not on PATH: install it (`apt-get install git`)")
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            ["git", *args],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,
            umask=0o022,
        ) as process,
    ):
        assert process.stdout is not None
        late = threading.Event()

        def end_late() -> None:
            late.set()
            _end(process)

        timer = threading.Timer(seconds, end_late)
        timer.start()
        try:
            yield from iter(partial(os.read, process.stdout.fileno(), 1 << 20), b"")
            process.wait()
        finally:
            timer.cancel()
            _end(process)
        complaints.seek(0)
        said = complaints.read(_COMPLAINT_BYTES).decode(errors="replace").strip()
    if late.is_set():
        raise GitFailed(_command(args), f"no end after {seconds:.0f} seconds")
    if process.returncode != 0:
        raise GitFailed(_command(args), "; ".join(filter(None, (said, _signal(process.returncode)))))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill git, if it runs still, and what it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _signal(code: int) -> str:
    """The signal that ended a process, if one did: then it may have said nothing."""
    return f"it was killed by signal {-code} ({signal.strsignal(-code)})" if code < 0 else ""


def _global_setting(key: str) -> str:
    try:
        return run(["config", "--global", "--get", key], env=dict(os.environ), cwd=Path("/")).decode().strip()
    except GitFailed:
        return ""
