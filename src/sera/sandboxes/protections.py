"""What keeps commands inside on this machine, found out by trying each wall in a sandbox.

No version and no setting is trusted: a sandbox is made of a small tree of its own, and what each wall is to
prevent is tried in it (`walls.py`).
"""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from sera.errors import ConfigError, SandboxError
from sera.leases import leased_folder
from sera.records import Record
from sera.sandboxes import Layer, NamespacesConfig, SandboxConfig, make_backend
from sera.sandboxes.cgroups import CONTROLLERS, find_place
from sera.sandboxes.walls import TIGHT, WALLS, Given, try_wall


class Protection(Record, frozen=True):
    """One wall, and whether it stands here."""

    name: str
    given: Given
    detail: str = ""
    """What was seen, where it does not stand whole."""
    follows: str = ""
    """What follows from that."""
    cure: str = ""


async def probe(config: SandboxConfig, names: tuple[str, ...] = tuple(WALLS)) -> list[Protection]:
    """Try the named walls of a backend, each in a fresh sandbox. `SandboxError` if none can be made."""
    tight = msgspec.structs.replace(config, limits=TIGHT)
    with _small_layer() as layer:
        async with make_backend(tight, layer) as backend:

            async def one(name: str) -> Protection:
                wall = WALLS[name]
                async with backend.sandbox() as box:
                    given, detail = await try_wall(wall, box)
                if given == "yes":
                    return Protection(name=name, given=given)
                return Protection(name=name, given=given, detail=detail, follows=wall.follows, cure=wall.cure)

            found = await asyncio.gather(*(one(name) for name in names))
    return [_about_groups(found_one, config) for found_one in found]


def _about_groups(found: Protection, config: SandboxConfig) -> Protection:
    """What only this side knows of control groups: why there are none, or which controller is missing."""
    if found.name != "cgroups" or not isinstance(config, NamespacesConfig):
        return found
    place = find_place()
    missing = [name for name in CONTROLLERS if name not in place.parents]
    if found.given == "yes" and missing:
        detail = f"no controller of {' and '.join(missing)}"
        return msgspec.structs.replace(
            found,
            given="partly",
            detail=detail,
            follows=WALLS["cgroups"].follows,
            cure="have the controllers delegated",
        )
    if found.given == "no":
        cure = place.obstacle if config.cgroups else "sandbox.cgroups=true"
        return msgspec.structs.replace(found, cure=cure)
    return found


@contextmanager
def _small_layer() -> Iterator[Layer]:
    with leased_folder("probe") as folder:
        tree = folder / "tree"
        tree.mkdir()
        (tree / "README.md").write_text("probe\n")
        git = ["git", "-C", str(tree), "-c", "user.name=sera", "-c", "user.email=sera@localhost"]
        for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "probe", "--no-gpg-sign"]):
            subprocess.run([*git, *arguments], check=True, capture_output=True)
        head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        yield Layer(tree=tree, commit=head.stdout.strip())


def names_in(text: str) -> tuple[str, ...]:
    """The protections that a list with commas names; `ConfigError` for one that nobody knows."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in WALLS]
    if unknown:
        raise ConfigError(f"no protection is called {unknown[0]!r}; there are {', '.join(WALLS)}")
    return names


def require(config: SandboxConfig) -> None:
    """Refuse, with `SandboxError`, to go on without a protection that `sandbox.require` names."""
    names = names_in(config.require)
    if names:
        refuse_without(names, asyncio.run(probe(config, names)))


def refuse_without(names: tuple[str, ...], found: list[Protection]) -> None:
    """`SandboxError` for the first required protection that does not stand whole."""
    for protection in found:
        if protection.name in names and protection.given != "yes":
            raise SandboxError(
                f"{protection.name} is required and not given here ({protection.given}): "
                f"{protection.detail}. Cure: {protection.cure or 'none is known'}"
            )
