"""The project's own build, run in a sandbox: without network, on a copy of the tree, away from this machine.

A build is code of the repository (`setup.py`, a backend in the tree, a compiler's input), and nobody
vouches for it. What it needs is installed first, as wheels, which runs nothing; then the backend's hooks
run inside, with the machine's compilers, and only the wheel that they make comes out, to be read with care.
"""

import posixpath
from importlib import resources
from typing import Any, NamedTuple

import msgspec

from sera import untrusted
from sera.environments.commands import Log
from sera.environments.mapping import is_safe
from sera.environments.plan import Plan
from sera.errors import PrepareError, SandboxLost
from sera.records import Layer
from sera.sandboxes import CommandResult, Limits, Sandbox, SandboxConfig, make_backend

PLACE = "/tmp/sera"
"""Where probes lie and answer, inside."""
_SECONDS = 1800.0
_MOST_ANSWERED = 1 << 20
"""Bytes of what a hook answers, its wheel apart."""
_MOST_MADE = 1 << 30
"""Bytes of what the commands before the build make."""
_LIMITS = Limits(memory_bytes=6 << 30, disk_bytes=6 << 30, processes=512, files=500_000, read_bytes=512 << 20)


class BuildFailed(PrepareError):
    """The project's build failed; `output` is what it said."""

    def __init__(self, output: str) -> None:
        self.output = output.strip()
        last = next((line for line in reversed(self.output.splitlines()) if line.strip()), "it said nothing")
        super().__init__(last.strip())


class Product(NamedTuple):
    """What came out of the sandbox."""

    wheel: bytes
    """Empty if more has to be installed first."""
    requires: list[str]
    """What the backend needs beyond `build_requires`."""
    extra: dict[str, bytes]
    """Files that the commands before the build made, by path in the tree."""


async def build(
    layer: Layer, plan: Plan, config: SandboxConfig, installed: tuple[str, ...], log: Log
) -> Product:
    """Run the build. `installed` are the requirements that the sandbox's Python has; if the backend then
    asks for others, the product holds those and no wheel. Raises `BuildFailed`."""
    roomy = msgspec.structs.replace(config, limits=_LIMITS, environment={**config.environment, **_told(plan)})
    async with make_backend(roomy, layer) as backend, backend.sandbox() as box:
        try:
            return await _build(box, plan, installed, log)
        except (OSError, msgspec.DecodeError, SandboxLost) as problem:
            raise BuildFailed(f"what the build left cannot be read: {problem}") from problem


async def _build(box: Sandbox, plan: Plan, installed: tuple[str, ...], log: Log) -> Product:
    await put_probe(box, "build.py")
    for command in plan.before_build:
        _succeeded(await box.run(command, _SECONDS), log, command)
    extra = await _new_files(box) if plan.before_build else {}
    requires: list[str] = await _hook(box, plan, "requires", list[str], log)
    if missing := [line for line in requires if line not in installed]:
        return Product(b"", missing, {})
    name: str = await _hook(box, plan, "wheel", str, log)
    return Product(await box.read(f"{PLACE}/{posixpath.basename(name)}"), [], extra)


async def put_probe(box: Sandbox, name: str) -> str:
    """Put one of our programs into the sandbox; its path there."""
    content = (resources.files("sera.environments") / "probes" / name).read_bytes()
    await box.write(f"{PLACE}/{name}", content)
    return f"{PLACE}/{name}"


async def _hook(box: Sandbox, plan: Plan, hook: str, kind: Any, log: Log) -> Any:
    answer = f"{PLACE}/answer.json"
    argv = ["python", f"{PLACE}/build.py", answer, hook, plan.backend, *plan.backend_path]
    _succeeded(await box.execute(argv, _SECONDS), log, f"{plan.backend or 'setup.py'} {hook}")
    content = await box.read(answer)
    if len(content) > _MOST_ANSWERED:
        raise BuildFailed(f"the answer of {hook} has {len(content)} bytes")
    return untrusted.decode(content, kind)


def _succeeded(result: CommandResult, log: Log, what: str) -> None:
    log.write(f"[sandbox] {what}\n{result.output}")
    if result.timed_out:
        raise BuildFailed(f"{result.output}\n{what} took more than {_SECONDS:.0f} seconds")
    if result.limit:
        raise BuildFailed(f"{result.output}\n{what} needed more {result.limit} than a build may have")
    if result.exit_code != 0:
        raise BuildFailed(result.output)


async def _new_files(box: Sandbox) -> dict[str, bytes]:
    """Files in the tree that the snapshot does not have. Raises `OSError` for one that cannot be read."""
    listed = await box.execute(["git", "ls-files", "--others", "-z"], 60.0)
    found: dict[str, bytes] = {}
    left = _MOST_MADE
    for name in listed.output.split("\0"):
        if is_safe(name) and not name.endswith(".pyc"):
            found[name] = await box.read(posixpath.join(box.workdir, name))
            left -= len(found[name])
            if left < 0:
                raise BuildFailed(f"before_build made more than {_MOST_MADE >> 30} GiB of files")
    return found


def _told(plan: Plan) -> dict[str, str]:
    """What builds that take their version from tags want to be told: a snapshot has no tags."""
    names = ("SETUPTOOLS_SCM_PRETEND_VERSION", "PBR_VERSION", "PDM_BUILD_SCM_VERSION")
    told = {"SOURCE_DATE_EPOCH": "1577836800", "POETRY_DYNAMIC_VERSIONING_BYPASS": plan.version}
    return told | dict.fromkeys(names, plan.version)
