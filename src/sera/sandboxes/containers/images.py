"""Images out of what is here, and layers out of images."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sera.errors import SandboxError, boundary
from sera.leases import leased_folder, own_lease
from sera.sandboxes.containers.engine import LEASE, Engine
from sera.sandboxes.contract import Layer
from sera.sandboxes.inside.contained import ROOTS_HOME

_BUILD_SECONDS = 3600.0
_CONTEXT = "files"
HOLDS = "sera.holds"
"""Label of an image: the directories of the machine that built it which it holds, as JSON."""
_IDENTITY = ("-c", "user.name=sera", "-c", "user.email=sera@localhost", "-c", "commit.gpgSign=false")


def dockerfile(base: str, folders: Iterable[Path], search: Iterable[str], variables: dict[str, str]) -> str:
    """The text of a Dockerfile: `folders` at their own paths in `base`, `search` first in `PATH`."""
    kept = list(folders)
    lines = [f"FROM {base}", "USER 0"]
    for number, folder in enumerate(kept):
        lines.append(f'COPY ["{_CONTEXT}/{number}/", "{folder}/"]')
    if any(folder.is_relative_to(ROOTS_HOME) for folder in kept):
        lines.append(f'RUN ["chmod", "a+x", "{ROOTS_HOME}"]')
    path = ":".join([*search, "$PATH"])
    lines += [f'ENV PATH="{path}"', *(f'ENV {name}="{_quoted(value)}"' for name, value in variables.items())]
    lines.append(f'LABEL {HOLDS}="{_quoted(json.dumps([str(folder) for folder in kept]))}"')
    return "\n".join(lines) + "\n"


def held_by(image: dict[str, Any]) -> list[str]:
    """The directories of this machine that an image of ours holds at their own paths."""
    return json.loads((image["Config"].get("Labels") or {}).get(HOLDS, "[]"))  # type: ignore[no-any-return]


def _quoted(value: str) -> str:
    if "\n" in value:
        raise SandboxError("a variable of an image cannot hold more than one line")
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")


def build_image(
    engine: Engine,
    name: str,
    base: str,
    folders: Iterable[Path],
    search: Iterable[str] = (),
    variables: dict[str, str] | None = None,
    hidden: Iterable[Path] = (),
) -> None:
    """Build the image `name` from `base` and directories of this machine, e.g. the prefix of a prepared
    environment and its interpreter, for engines that cannot mount them.

    Every directory lies in the image at the path it has here, and is copied twice: into the
    build's context, and into the image. Those in `hidden` are empty there. Sandboxes of the image do not
    mount what it holds.
    """
    kept, empty = list(folders), {str(path) for path in hidden}

    def left_out(folder: str, names: list[str]) -> list[str]:
        return names if folder in empty else []

    with leased_folder("image") as context:
        with boundary(SandboxError, f"cannot put the image {name} together", OSError, shutil.Error):
            for number, folder in enumerate(kept):
                shutil.copytree(folder, context / _CONTEXT / str(number), symlinks=True, ignore=left_out)
            text = dockerfile(base, kept, search, variables or {})
            (context / "Dockerfile").write_text(text)
        pull = ("--pull=never",) if engine.kind == "podman" else ()
        engine.call_now(
            "build", *pull, "--network=none", f"--tag={name}", str(context), seconds=_BUILD_SECONDS
        )


def layer_of_image(engine: Engine, image: str, workdir: str, folder: Path) -> Layer:
    """The working tree that an image holds at `workdir`, as a layer in the new directory `folder`.

    Its history is left behind: the layer's one commit holds the files as they lie in the image, those that
    its `.gitignore` names included.
    """
    if folder.exists():
        raise SandboxError(f"{folder} is there already")
    container = engine.call_now("create", f"--label={LEASE}={own_lease()}", image, "none").strip()
    try:
        engine.call_now("cp", f"{container}:{workdir}", str(folder))
    finally:
        engine.remove(container)
    with boundary(SandboxError, f"cannot make a layer of {folder}", OSError, subprocess.SubprocessError):
        _take_history_away(folder)
        _git(folder, "init", "--quiet")
        _git(folder, "add", "--all", "--force", ".")
        _git(folder, *_IDENTITY, "commit", "--quiet", "--allow-empty", "--message=as in the image")
        return Layer(tree=folder, commit=_git(folder, "rev-parse", "HEAD").strip())


def _take_history_away(folder: Path) -> None:
    """Whatever kind of thing it is: a link or a file would lead git elsewhere on this machine."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink()
        raise SandboxError(f"the image holds no directory there: {folder.name} would lead elsewhere")
    history = folder / ".git"
    if history.is_symlink() or not history.is_dir():
        history.unlink(missing_ok=True)
    else:
        shutil.rmtree(history)


def _git(folder: Path, *arguments: str) -> str:
    own = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment = own | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout
