"""Which prepared environment a run uses, new or gone on with."""

from pathlib import Path

from sera.environments import store
from sera.environments.records import Environment
from sera.errors import ConfigError, RunError
from sera.repositories import Snapshot
from sera.sandboxes import NamespacesConfig, SandboxConfig

AUTO, NONE = "auto", "none"


def choose_environment(
    wanted: str, snapshot: Snapshot, sandbox: SandboxConfig, used: str | None
) -> Environment | None:
    """The environment for a run over a snapshot, or None for none.

    `wanted` is `auto`, `none` or a path; `used` is the digest that the run recorded when it was begun, empty
    if it had none, and None for a new run. With `auto` a new run takes what was prepared last and is usable,
    unless its sandboxes are containers, whose image is an environment already; and one that goes on takes
    what it had: `RunError` if that is gone.
    """
    if wanted == NONE:
        return None
    if wanted != AUTO:
        return _named(Path(wanted).expanduser(), snapshot, sandbox.workdir)
    prepared = _prepared(snapshot, sandbox)
    if used is None:
        usable = (one for one in prepared if one.works)
        return next(usable, None) if isinstance(sandbox, NamespacesConfig) else None
    found = next((one for one in prepared if one.digest == used), None)
    if used and found is None:
        raise RunError(
            f"the run was begun with the environment {used}, which is gone: `sera prepare {snapshot.source}` "
            "makes it again if the index still has the same packages, or choose another --out"
        )
    return found


def why_none(snapshot: Snapshot, sandbox: SandboxConfig) -> str:
    """Why `auto` finds nothing."""
    broken = next(iter(_prepared(snapshot, sandbox)), None)
    if broken is None:
        return "no environment is prepared for this snapshot"
    return f"the environment that is prepared for this snapshot is not usable: {broken.why_not}"


def _prepared(snapshot: Snapshot, sandbox: SandboxConfig) -> list[Environment]:
    """The last one first."""
    return [one for one in store.find(snapshot.tree_hash, None) if one.workdir == sandbox.workdir]


def _named(path: Path, snapshot: Snapshot, workdir: str) -> Environment:
    environment = store.load(path)
    if environment.tree_hash != snapshot.tree_hash:
        raise ConfigError(
            f"the environment {path} is of other files than {snapshot.source} has now: "
            "run sera prepare on them"
        )
    if environment.workdir != workdir:
        raise ConfigError(
            f"the environment {path} is for a working tree at {environment.workdir}, "
            f"and sandbox.workdir is {workdir}"
        )
    return environment
