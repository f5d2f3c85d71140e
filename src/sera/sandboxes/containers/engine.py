"""An engine of containers, asked through its command line: one call, one answer, or a `SandboxError`
that says what is wrong, where, and what to do about it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

from sera.errors import SandboxError, boundary
from sera.sandboxes.containers.config import DockerConfig, PodmanConfig

LEASE = "sera.lease"
"""Label of every container of ours; see `leases.py`."""
KINDS = ("docker", "podman")
_SECONDS = 120.0
_PULL_SECONDS = 3600.0


class Engine:
    """One engine, as its program reaches it."""

    def __init__(self, program: str, kind: str) -> None:
        self.program = program
        self.kind = kind

    async def call(self, *arguments: str, feed: Path | None = None, seconds: float = _SECONDS) -> str:
        """What the program prints; `feed` is a file for its input."""
        return await asyncio.to_thread(self.call_now, *arguments, feed=feed, seconds=seconds)

    def call_now(self, *arguments: str, feed: Path | None = None, seconds: float = _SECONDS) -> str:
        """`call`, for who may wait."""
        with boundary(SandboxError, f"{self.program}", OSError):
            source: BinaryIO | int = feed.open("rb") if feed else subprocess.DEVNULL
        try:
            done = subprocess.run(
                [self.program, *arguments], stdin=source, capture_output=True, timeout=seconds, check=False
            )
        except FileNotFoundError:
            raise SandboxError(self._not_installed()) from None
        except subprocess.TimeoutExpired:
            what = f"{self.program} {arguments[0]} did not end within {seconds:.0f} s"
            raise SandboxError(f"{what}; is its engine well?") from None
        finally:
            if not isinstance(source, int):
                source.close()
        if done.returncode:
            raise SandboxError(self.explain(done.stderr.decode(errors="replace"), arguments[0]))
        return done.stdout.decode(errors="replace")

    def _not_installed(self) -> str:
        setting = f"sandbox.program={self.program}"
        return f"there is no program {self.program} here: install {self.kind.title()}, or change {setting}"

    def explain(self, stderr: str, doing: str) -> str:
        """One sentence for a failure of the program."""
        text = " ".join(stderr.split())[-600:].rstrip(".?!") or "it says nothing"
        for sign, cure in _CURES:
            if sign in text.lower():
                return f"{self.program} {doing}: {text}. {cure}"
        return f"{self.program} {doing}: {text}"

    async def image(self, name: str, pull: str, platform: str) -> dict[str, Any]:
        """What the engine knows about an image, pulled first if need be."""
        if pull == "always" or (pull == "missing" and not await self._has(name)):
            await self._pull(name, platform)
        found: list[dict[str, Any]] = json.loads(await self.call("image", "inspect", name))
        return found[0]

    async def _has(self, name: str) -> bool:
        try:
            await self.call("image", "inspect", name)
        except SandboxError as error:
            if "no such image" in str(error).lower() or "image not known" in str(error).lower():
                return False
            raise
        return True

    async def _pull(self, name: str, platform: str) -> None:
        """Pull with the engine's own progress on our standard error."""
        command = [self.program, "pull", *((f"--platform={platform}",) if platform else ()), name]
        print(f"pulling {name} with {self.program}", file=sys.stderr)

        def pull() -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), timeout=_PULL_SECONDS
            )

        with boundary(SandboxError, f"{self.program} pull {name}", OSError, subprocess.TimeoutExpired):
            done = await asyncio.to_thread(pull)
        if done.returncode:
            raise SandboxError(
                f"the image {name} could not be pulled; {self.program} says why above. Check its name, log "
                f"in with `{self.program} login`, or put it there yourself and set sandbox.pull=never"
            )

    async def sees_this_machine(self) -> bool:
        """Whether the engine is reached by a path, so that it most likely sees this machine's files."""
        if self.kind == "podman":
            return (await self.call("info", "--format", "{{.Host.ServiceIsRemote}}")).strip() != "true"
        address = await self.call("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
        return address.strip().startswith(("unix://", "npipe://"))

    def containers(self) -> list[tuple[str, str, str]]:
        """Every container of ours that the engine has: its id, its lease, its name."""
        form = '{{.ID}}\t{{.Label "' + LEASE + '"}}\t{{.Names}}'
        if self.kind == "podman":
            form = '{{.ID}}\t{{index .Labels "' + LEASE + '"}}\t{{.Names}}'
        text = self.call_now("ps", "--all", "--no-trunc", "--filter", f"label={LEASE}", "--format", form)
        rows = [line.split("\t") for line in text.splitlines() if line.strip()]
        return [(row[0], row[1], row[2]) for row in rows]

    def remove(self, container: str) -> None:
        """Kill and remove a container; one that is gone already is no concern."""
        try:
            at_once = ("--time=0",) if self.kind == "podman" else ()
            self.call_now("rm", "--force", "--volumes", *at_once, container)
        except SandboxError as error:
            if "no such container" not in str(error).lower() and "no container" not in str(error).lower():
                raise


def engine_of(config: DockerConfig | PodmanConfig) -> Engine:
    """The engine that settings name."""
    return Engine(config.program, "docker" if isinstance(config, DockerConfig) else "podman")


_CURES = (
    (
        "permission denied while trying to connect",
        "You may not use this engine: join its group (`usermod -aG docker $USER`) or use Podman",
    ),
    (
        "cannot connect to the docker daemon",
        "Start the engine (`systemctl start docker`), or set DOCKER_HOST to one that runs",
    ),
    ("is the docker daemon running", "Start the engine, or set DOCKER_HOST to one that runs"),
    (
        "no such image",
        "Name one that is there, or let it be pulled with sandbox.pull=missing",
    ),
    (
        "image not known",
        "Name one that is there, or let it be pulled with sandbox.pull=missing",
    ),
    (
        "bind source path does not exist",
        "The engine does not see this machine's files: set sandbox.transfer=copy",
    ),
    (
        "statfs",
        "The engine does not see this machine's files: set sandbox.transfer=copy",
    ),
    ("exec format error", "The image is of another processor: set sandbox.platform"),
)
"""What the program says, in small letters, and what to do."""
