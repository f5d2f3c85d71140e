"""The diff of the whole tree against the layer's commit, whatever was done to the tree and its `.git`.

git works in a private directory, with a copy of the layer's index and over the layer's own objects,
on a file system of its own that no command can see, so that neither a full disk nor a rewritten
`.git` matters. While it works everything else is stopped, so that the patch is of one moment. A process may
have the kernel wake it again (by a timer, or by signals for a file), so nothing of safety rests on that:
nothing that reads the tree has more rights than a command (`tree.py`), whatever it turns into meanwhile.
git takes no configuration, hook, filter command or attribute file from the tree but `.gitattributes`
and `.gitignore`. How text is compared, and what stands in the heading of a hunk, the tree has no say in.

A repository that was made inside the tree would be recorded as a bare commit number; its `.git` is
hidden from git instead, so that its files count as what they are.
Renames are not looked for: the same change gives the same text, whatever else changed.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import stat
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Any, NamedTuple

from . import files, processes, tree
from .products import Products, judge_listing
from .programs import Outcome, Program, run
from .spec import BASE, EXCLUDES, PATCH_BYTES, Spec
from .views import Changes, View
from .watch import Watch

_SOME_FAILED, _FATAL = 1, 128
_NEW = "new"
"""In git's directory, the paths of new files that are to be added."""
_SPECIAL = b"can only add regular files, symbolic links or git-directories"
_CONFIGURATION = {
    "core.attributesFile": "/dev/null",
    "core.bare": "false",
    "core.checkStat": "minimal",
    "core.excludesFile": EXCLUDES,
    "core.fileMode": "true",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.preloadIndex": "false",
    "core.protectHFS": "false",
    "core.protectNTFS": "false",
    "core.quotePath": "true",
    "core.safecrlf": "false",
    "core.trustctime": "false",
    "core.untrackedCache": "false",
    # the same with every git, and with the indentation, which tells an inner function from a method
    "diff.python.xfuncname": "^([ \t]*((async[ \t]+)?def|class)[ \t].*)$",
    "gc.auto": "0",
    "index.threads": "1",
}
_DIFF = (
    "diff-index", "--cached", "--binary", "--full-index", "--no-renames", "--no-ext-diff",
    "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3",
    "--diff-algorithm=myers", "--submodule=short", "--ignore-submodules=none",
)  # fmt: skip


class PatchFailed(Exception):
    """git could not take the patch; the message says why."""


class Taking(NamedTuple):
    """What every step of taking one patch needs."""

    spec: Spec
    view: View
    watch: Watch
    shell: int
    products: Products
    written: Collection[str]
    """Paths that the editor wrote."""

    @property
    def folder(self) -> str:
        """git's directory, as process 1 sees it."""
        return f"{self.view.place}/git"


def take(taking: Taking, changes: Changes) -> files.Reply:
    """The patch, empty if nothing changed; before it, how many files were left out as products of tools, and
    the first few of these."""

    def as_command(function: Callable[[], Any]) -> Any:
        def answer() -> files.Reply:
            return {}, json.dumps(function()).encode()

        header, body = files.serve(answer, taking.spec, taking.watch, "/")
        if "errno" in header:
            raise PatchFailed(f"the tree cannot be made ready for git: {header['message']}")
        return json.loads(body)

    taking.view.open(taking.spec)
    processes.send(-1, signal.SIGSTOP)
    try:
        found = tree.Found(*as_command(lambda: tree.open_up(taking.spec.workdir, changes)))
        try:
            taking.view.hide(found.misleading, as_command)
            return _patch(taking)
        finally:
            taking.view.close(as_command)
            if found.closed:
                as_command(lambda: tree.close_again(found.closed))
    finally:
        processes.send(-1, signal.SIGCONT)


def _patch(taking: Taking) -> files.Reply:
    commit = taking.spec.commit
    if not _make_git_directory(taking):
        _git(taking, ["read-tree", commit])
    left_out = _stage(taking)
    patch = _git(taking, [*_DIFF, "--patch", commit]).output
    if _is_text(patch):
        return left_out, patch
    statuses = _git(taking, [*_DIFF, "--name-status", "-z", commit]).output
    _add_attributes(taking, *_binary_attributes(patch, statuses))
    return left_out, _git(taking, [*_DIFF, "--patch", commit]).output


def _stage(taking: Taking) -> dict[str, Any]:
    """Everything in the tree into the index but products of tools, which are not even read."""
    new = _list(taking, "--others", "--exclude-standard")
    left_out, kept = _judged(taking, new, None)
    if "unknown" in left_out:
        left_out, kept = _judged(taking, new, _list(taking, "--cached"))
    if not left_out["left_out"]:
        _add(taking, ["add", "--all", "--ignore-errors", "."])
        return left_out
    _add(taking, ["add", "--update", "--ignore-errors", "."])
    with open(f"{taking.folder}/{_NEW}", "wb") as file:
        file.write(kept)
    _add(taking, ["update-index", "--add", "-z", "--stdin"])
    return left_out


def _list(taking: Taking, *which: str) -> bytes:
    """Paths of files that git knows or finds in the tree, a NUL after each. What it has to say of a directory
    that it cannot open, it says again when it is told to add what is there."""
    return _git(taking, ["ls-files", "-z", *which], silent=True).output


def _judged(taking: Taking, new: bytes, tracked: bytes | None) -> files.Reply:
    """Of the new files those that are to be added, as git lists them, and what is left out. Where that cannot
    be told without knowing what is `tracked`, it is said. Done by a child: the names are a flood perhaps."""
    header, kept = files.serve(
        lambda: judge_listing(taking.products, taking.written, new, tracked), taking.spec, taking.watch, "/"
    )
    if "errno" in header:
        raise PatchFailed(f"the products of tools cannot be told from the rest: {header['message']}")
    return header, kept


def _add(taking: Taking, add: Sequence[str]) -> None:
    """That a pipe or a device cannot be in the index is no failure; anything else that could not be would be
    missing from the patch."""
    tolerated = (0, _SOME_FAILED, _FATAL)
    outcome = _git(taking, add, tolerated)
    if outcome.exit_code == _FATAL:  # for an encoding in .gitattributes that the files are not in, perhaps
        _add_attributes(taking, "* -working-tree-encoding")
        outcome = _git(taking, add, tolerated[:-1])
    if outcome.exit_code and not all(line.endswith(_SPECIAL) for line in outcome.output.splitlines()):
        raise PatchFailed(_reason(add[0], outcome))


def _is_text(patch: bytes) -> bool:
    try:
        patch.decode()
    except UnicodeDecodeError:
        return False
    return True


def _binary_attributes(patch: bytes, statuses: bytes) -> list[str]:
    """Attributes that make git write in its binary form what is not UTF-8: a patch is text here."""
    parts = iter(re.split(rb"^(?=diff --git )", patch, flags=re.MULTILINE)[1:])
    fields = iter(statuses.split(b"\0"))
    lines = []
    for status, name in zip(fields, fields, strict=False):
        count = 2 if status == b"T" else 1  # a file that became a link is a deletion and an addition
        if not _is_text(b"".join(islice(parts, count))):
            lines.append(f"{_quoted(name)} -diff")
    return lines


def _quoted(name: bytes) -> str:
    """A path as a pattern that matches it alone: its wildcards escaped, then quoted as in C."""
    pattern = b"/" + re.sub(rb"([*?\[\\])", rb"\\\1", name)
    return '"' + "".join(f"\\{byte:03o}" for byte in pattern) + '"'


def _add_attributes(taking: Taking, *lines: str) -> None:
    with open(f"{taking.folder}/info/attributes", "a") as file:
        file.writelines(f"{line}\n" for line in lines)


def _take_over_excludes(folder: str) -> None:
    """What the layer itself excludes: files that a build made before there was a sandbox."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(f"{BASE}/info/exclude", f"{folder}/info/exclude")


def _readable(spec: Spec) -> bool:
    """Whether git may read the layer's objects. Where they are not shown as the commands' own, they may be
    closed to all but the user who runs the host process; those of a snapshot are few files, of a pack."""
    found = [BASE]
    for folder in (f"{BASE}/objects", f"{BASE}/objects/pack"):
        found += [folder, *(os.path.join(folder, name) for name in os.listdir(folder))]
    for path in found:
        status = os.stat(path)
        wanted = 0o5 if stat.S_ISDIR(status.st_mode) else 0o4
        mode = status.st_mode >> 6 if status.st_uid == spec.inside_user else status.st_mode
        if mode & wanted != wanted:
            return False
    return True


def _make_git_directory(taking: Taking) -> bool:
    """A bare minimum of a `.git` over the layer's objects; whether there was an index to start from."""
    folder, user, group = taking.folder, taking.spec.inside_user, taking.view.group
    for name in ("", "/objects", "/refs", "/info"):
        os.mkdir(folder + name)
    wide = len(taking.spec.commit) == 64
    extension = "[extensions]\n\tobjectFormat = sha256\n" if wide else ""
    _add_attributes(taking, "* !diff", "*.py diff=python")  # the tree's own may hide text, or name programs
    _take_over_excludes(folder)
    _write(f"{folder}/HEAD", "ref: refs/heads/main\n")
    _write(f"{folder}/config", f"[core]\n\trepositoryFormatVersion = {int(wide)}\n{extension}")
    try:
        shutil.copyfile(f"{BASE}/index", f"{folder}/index")
        found = True
    except FileNotFoundError:
        found = False
    if not _readable(taking.spec):
        shutil.copytree(f"{BASE}/objects", f"{folder}/objects", dirs_exist_ok=True)
    if taking.spec.privileged:
        for path, _, names in os.walk(folder):
            for name in (".", *names):
                os.chown(os.path.join(path, name), user, user if group is None else group)
    return found


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _git(
    taking: Taking, arguments: Sequence[str], tolerated: Sequence[int] = (0,), silent: bool = False
) -> Outcome:
    """Run git, with the list of new files as its input if there is one; `silent`: without its complaints."""
    spec, view = taking.spec, taking.view

    def prepare() -> None:
        with contextlib.suppress(FileNotFoundError):
            os.dup2(os.open(f"{taking.folder}/{_NEW}", os.O_RDONLY), 0)
        if silent:
            os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
        view.enter()

    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_DIR": f"{view.seen}/git",
        "GIT_WORK_TREE": spec.workdir,
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": f"{BASE}/objects",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_CONFIG_COUNT": str(len(_CONFIGURATION)),
    }
    for index, (key, value) in enumerate(_CONFIGURATION.items()):
        environment[f"GIT_CONFIG_KEY_{index}"] = key
        environment[f"GIT_CONFIG_VALUE_{index}"] = value
    program = Program(
        argv=[*view.git, "--no-pager", "--literal-pathspecs", *arguments],
        environment=environment,
        directory=spec.workdir,
        seconds=spec.patch_seconds,
        output_bytes=PATCH_BYTES,
        keep=view.rights,
        group=view.group,
        prepare=prepare,
    )
    # git's own files may be twice as large as what a command may write, like the place they lie in
    limits = spec._replace(disk_bytes=2 * spec.disk_bytes)
    outcome = run(program, limits, taking.watch, taking.shell)
    if outcome.timed_out or outcome.dropped or outcome.exit_code not in tolerated:
        raise PatchFailed(_reason(arguments[0], outcome))
    return outcome


def _reason(command: str, outcome: Outcome) -> str:
    if outcome.timed_out:
        return f"git {command} took too long"
    if outcome.dropped:
        return f"the patch is larger than {PATCH_BYTES} bytes"
    if outcome.limit:
        return f"git {command} was killed for its {outcome.limit}: what was changed is too large"
    return f"git {command} failed: {outcome.output[-500:].decode(errors='replace').strip()}"
