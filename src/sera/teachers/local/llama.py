"""GGUF weights, run by llama.cpp in a process of its own.

The process serves the chat-completions protocol on loopback behind a key that only we know, and ends when
we hang up or die. It keeps the prompt of the last conversation of each slot, so that a rollout's next step
reads only what is new. Tool calls are written into the prompt by the model's own template, where it knows
tools.
"""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from sera.errors import ModelError
from sera.leases import leased_folder
from sera.models import Weights
from sera.processors import processors, wait_without_spinning
from sera.teachers.contract import Teacher
from sera.teachers.local.config import LocalConfig
from sera.teachers.remote import RemoteConfig, RemoteTeacher

_CLOSE_SECONDS = 10.0
_LOG_LINES = 3


class Options(msgspec.Struct, frozen=True):
    """What the process is told, as the first line of its input."""

    path: str
    key: str
    context: int
    parallel: int
    threads: int


@asynccontextmanager
async def llama_teacher(weights: Weights, config: LocalConfig) -> AsyncIterator[Teacher]:
    """The model behind a process that lives as long as the block. Raises `ModelError` if it does not load."""
    with leased_folder("model") as folder:
        key = folder / "key"
        key.write_text(secrets.token_urlsafe(24), "ascii")
        options = Options(
            path=str(weights.path.resolve()),
            key=key.read_text("ascii"),
            context=config.context,
            parallel=config.parallel,
            threads=config.threads or processors(),
        )
        wait_without_spinning()
        log = folder / "log"
        with log.open("wb") as errors:
            process = subprocess.Popen(  # noqa: ASYNC220  (its output is read in a thread)
                [sys.executable, "-m", "sera.teachers.local.llama"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        try:
            address = await _address(process, options, log, config.load_timeout)
            remote = RemoteConfig(
                model=weights.name,
                base_url=f"{address}/v1",
                key_file=key,
                served_as=("*",),
                temperature=config.temperature,
                max_tokens=config.max_tokens,
                timeout=config.timeout,
                in_flight=config.parallel,
            )
            async with RemoteTeacher(remote) as teacher:
                yield teacher
        finally:
            await asyncio.shield(asyncio.to_thread(_end, process))


async def _address(process: "subprocess.Popen[bytes]", options: Options, log: Path, seconds: float) -> str:
    """Where the process serves, once the weights are loaded."""
    assert process.stdin
    process.stdin.write(msgspec.json.encode(options) + b"\n")
    process.stdin.flush()
    assert process.stdout
    try:
        async with asyncio.timeout(seconds):
            line = await asyncio.to_thread(process.stdout.readline)
    except TimeoutError:
        process.kill()
        raise ModelError(f"{options.path} was not loaded within {seconds:.0f} s") from None
    if not line:
        told = log.read_text("utf-8", "replace").strip().splitlines()[-_LOG_LINES:]
        raise ModelError(f"llama.cpp cannot run {options.path}: {' / '.join(told) or 'it said nothing'}")
    return str(json.loads(line))


def _end(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
    try:
        process.wait(_CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# ── inside the process ────────────────────────────────────────────────────────────────────────────


def main() -> None:
    """Load, say where, and serve until the input ends."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the library writes on both
    options = msgspec.json.decode(sys.stdin.buffer.readline(), type=Options)
    try:
        from xllamacpp import CommonParams, Server
    except ImportError:
        sys.exit('llama.cpp is not installed: pip install "sera[local]"')
    parameters = CommonParams()
    parameters.model.path = options.path
    parameters.n_ctx = options.context * options.parallel
    parameters.n_parallel = options.parallel
    parameters.cpuparams.n_threads = options.threads
    parameters.cpuparams_batch.n_threads = options.threads
    parameters.use_jinja = True
    parameters.api_keys = [options.key]
    parameters.port = 0
    server = Server(parameters)
    print(json.dumps(server.listening_address), file=answer, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # requests under way are nobody's any more


if __name__ == "__main__":
    main()
