"""The starting tree of a task: what the agent finds, and nothing that would tell it more.

It is the repository's tree with the start patch applied, as a repository of exactly one commit: no other
object, reference or log. Files have one time, so that none stands out; nothing compiled lies in it. What the
build made lies beside the files as in the environment's own tree, and git is told to ignore it.

Trees are kept in the cache, `<cache>/tasks/<start commit>-<environment>/tree`, and may be deleted at any
time.
"""

import gzip
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from sera.environments import Environment
from sera.environments.layers import make_layer
from sera.environments.store import find
from sera.errors import TasksError, boundary
from sera.evaluation.tasks.record import Instance, archive_of, replace
from sera.records import Layer
from sera.repositories.git import GitFailed, run, writing
from sera.repositories.snapshots import commit_tree
from sera.repositories.staging import MODIFIED, SourceLimits
from sera.settings import default_cache

_AT_ONCE = 1 << 20
"""Bytes."""


def start_layer(environment: Environment, instance: Instance, cache: Path | None = None) -> Layer:
    """The starting tree of a task as a sandbox backend takes it; use it with `environment.sandbox(…)`.

    Raises `TasksError` if the environment is of another tree, or the tree is not what the task says.
    """
    if environment.tree_hash != instance.tree:
        raise TasksError(
            f"the environment {environment.key} is of the tree {environment.tree_hash[:12]}, and the task "
            f"{instance.instance_id} of {instance.tree[:12]}: use the environment of its archive in trees/"
        )
    if not instance.start_patch:
        return environment.layer
    place = _places(cache) / f"{instance.start_commit}-{environment.key}"
    if not (place / "tree" / ".git").is_dir():
        layer = make_start(environment, instance.start_patch, cache)
        if layer.commit != instance.start_commit:
            raise TasksError(
                f"the starting tree of {instance.instance_id} came out as {layer.commit[:12]} instead of "
                f"{instance.start_commit[:12]}: its row in tasks.jsonl was changed"
            )
    return Layer(tree=place / "tree", commit=instance.start_commit)


def make_start(environment: Environment, patch: str, cache: Path | None = None) -> Layer:
    """The tree of an environment with a patch applied, in the cache; the layer's commit is its identity."""
    with _building(_places(cache)) as building:
        _link_source(environment, building / "source")
        _apply(building / "source", patch)
        commit, _ = commit_tree(building / "source")
        made = {path: (environment.tree / path).read_bytes() for path in environment.made}
        (building / "whole").mkdir()
        make_layer(Layer(tree=building / "source", commit=commit), made, building / "whole" / "tree")
        final = _places(cache) / f"{commit}-{environment.key}"
        if not final.exists():
            try:
                (building / "whole").rename(final)
            except OSError:  # another process was faster
                if not final.exists():
                    raise
    return Layer(tree=final / "tree", commit=commit)


def drop_start(environment: Environment, layer: Layer) -> None:
    """Remove a starting tree that no task came of."""
    if layer.tree != environment.tree:
        shutil.rmtree(layer.tree.parent, ignore_errors=True)


def find_environment(folder: Path, instance: Instance, cache: Path | None = None) -> Environment:
    """The environment of a task among those prepared: the very one if it is there, else the last one of
    its tree. Raises `TasksError` that says what to prepare."""
    prepared = find(instance.tree, cache)
    same = (one for one in prepared if one.digest == instance.environment)
    found = next(same, None) or next(iter(prepared), None)
    if found is None:
        raise TasksError(
            f"no environment of the tree of {instance.instance_id} is prepared: "
            f"run sera prepare {archive_of(folder, instance.tree)}"
        )
    return found


def write_archive(environment: Environment, folder: Path) -> None:
    """Put the repository's files into a set of tasks, byte for byte the same each time."""
    file = archive_of(folder, environment.tree_hash)
    if not _is_whole(file):
        top = f"{environment.name or 'project'}/"
        packed = run(
            ["archive", "--format=tar", f"--prefix={top}", "HEAD"],
            env=writing(environment.tree),
            cwd=environment.tree,
            most=2 * SourceLimits().total_bytes,
        )
        replace(file, gzip.compress(packed, mtime=0))


def _is_whole(archive: Path) -> bool:
    """Whether it can be unpacked to its end."""
    try:
        with gzip.open(archive) as opened:
            while opened.read(_AT_ONCE):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return True


def _places(cache: Path | None) -> Path:
    return (cache or default_cache()).expanduser().absolute() / "tasks"


@contextmanager
def _building(places: Path) -> Iterator[Path]:
    with boundary(TasksError, f"no starting tree can be made in the cache {places}"):
        places.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=places))
        try:
            building.chmod(0o755)
            yield building
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _link_source(environment: Environment, target: Path) -> None:
    """The snapshot's files, the same ones linked; without `.git` and without what the build made."""
    made = {environment.tree / path for path in environment.made}
    for folder, names, files in os.walk(environment.tree):
        names[:] = [name for name in names if name != ".git"]
        here = target / os.path.relpath(folder, environment.tree)
        here.mkdir()
        for name in [*files, *(name for name in names if Path(folder, name).is_symlink())]:
            path = Path(folder, name)
            if path.is_symlink():
                (here / name).symlink_to(os.readlink(path))  # noqa: PTH115
            elif path not in made:
                (here / name).hardlink_to(path)
        names[:] = [name for name in names if not Path(folder, name).is_symlink()]


def _apply(tree: Path, patch: str) -> None:
    """Apply a patch to files that are links: each is parted from its twin first, and gets its time back."""
    with boundary(TasksError, "a task's patch cannot be read", UnidiffParseError):
        paths = [tree / file.path for file in PatchSet(patch)]
    for path in paths:
        if not path.parent.resolve().is_relative_to(tree.resolve()):
            raise TasksError(f"a task's patch leads out of its tree: {path.relative_to(tree)}")
        if path.is_file() and not path.is_symlink():
            own = path.with_name(path.name + ".own")
            shutil.copy2(path, own)
            own.replace(path)
    beside = tree.with_name("start.patch")
    beside.write_bytes(patch.encode())
    try:
        run(["apply", "--whitespace=nowarn", str(beside)], env=writing(tree), cwd=tree)
    except GitFailed as failure:
        raise TasksError(f"a task's patch does not apply to its tree: {failure.stderr}") from None
    for path in paths:
        if path.exists():
            os.utime(path, (MODIFIED, MODIFIED))
