"""A sandbox without walls for the rehearsal teacher's own tests: a copy of a tree, bash, and git."""

import asyncio
import os
import shutil
from pathlib import Path

from sera.sandboxes.contract import CommandResult, Entry

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "LC_ALL": "C.UTF-8",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}
_COMMIT = "git init -q && git add -A && git -c user.name=t -c user.email=t@example.org commit -q -m start --allow-empty"


class LocalSandbox:
    """As much of the `Sandbox` contract as a rollout needs. Each command has a shell of its own."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = str(workdir)

    async def run(self, command: str, timeout: float) -> CommandResult:
        return await self.execute(["bash", "-c", command], timeout)

    async def execute(
        self, argv: list[str], timeout: float, env: dict[str, str] | None = None
    ) -> CommandResult:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=self.workdir,
            env=_ENVIRONMENT | (env or {}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), timeout)
        return CommandResult(output=output.decode("utf-8", "replace"), exit_code=process.returncode)

    async def read(self, path: str) -> bytes:
        return Path(self.workdir, path).read_bytes()

    async def write(self, path: str, content: bytes) -> None:
        target = Path(self.workdir, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    async def list(self, path: str, depth: int) -> list[Entry]:
        top = Path(self.workdir, path)
        if not top.is_dir():
            raise NotADirectoryError(20, "Not a directory")
        found = sorted(p for n in range(1, depth + 1) for p in top.glob("/".join("*" * n)))
        return [Entry(str(p.relative_to(top)), p.is_dir()) for p in found if "/." not in str(p)]

    async def patch(self) -> str:
        return (await self.run("git add -A && git diff --cached --no-renames HEAD", 60)).output


def lay_out(source: Path, workdir: Path) -> LocalSandbox:
    """A fresh copy of `source` at `workdir`, committed."""
    shutil.rmtree(workdir, ignore_errors=True)
    shutil.copytree(source, workdir, ignore=shutil.ignore_patterns("__pycache__", ".git"))
    asyncio.run(LocalSandbox(workdir).run(_COMMIT, 60))
    return LocalSandbox(workdir)
