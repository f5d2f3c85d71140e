"""What an engine is told to make a container of, and what its process 1 is told to be."""

import os
import tarfile
from pathlib import Path
from typing import Any

from sera.sandboxes.containers.config import ContainersConfig, PodmanConfig
from sera.sandboxes.containers.toolbox import SEEN, Toolbox
from sera.sandboxes.contract import Layer, Limits
from sera.sandboxes.inside.contained import LAYER, ROOTS_HOME
from sera.sandboxes.inside.spec import HOME, Spec
from sera.sandboxes.machine import COMMON_ENVIRONMENT, PATCH_SECONDS
from sera.sandboxes.products import rules

_UNCOUNTED = 1 << 30
"""A limit on processes that limits nothing: the kernel counts by user of the machine, the engine counts by
container."""
_SYSCTLS = (("kernel.msgmni", "64"), ("kernel.sem", "1000 32000 100 64"))
"""Queues and semaphores are the kernel's own memory."""
_MESSAGES = "/run/sandbox"
_OWN_PROCESSES = 8
_ULIMITS = (("core", 0), ("nofile", 4096), ("nproc", 32_768))
_OWN_BYTES = 128 << 20
_MESSAGE_BYTES = 32 << 20
_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID", "SYS_PTRACE")
"""What process 1 has: to own what it makes, to start and end commands, to see where a shell is."""
_SHARES = {
    "": (1 / 2, 7 / 8),
    "/tmp": (1 / 4, 1 / 16),
    HOME: (1 / 8, 1 / 32),
    "/var/tmp": (1 / 16, 1 / 64),
    "/dev/shm": (1 / 16, 1 / 64),
}
"""How the limits on bytes and files are divided; the tree comes first."""
COVERED = tuple(place for place in _SHARES if place)
"""Where nothing of an image is seen, whatever its tree."""


def order_for(
    config: ContainersConfig, layer: Layer, toolbox: Toolbox, image: dict[str, Any]
) -> dict[str, Any]:
    """The first frame to process 1; `image` is what the engine knows of the image."""
    limits = config.limits
    spec = Spec(
        tree=LAYER,
        commit=layer.commit,
        workdir=config.workdir,
        prefixes=[],
        python="",
        environment=_environment(config, image),
        privileged=True,
        user=config.command_user,
        shared=False,
        memory_bytes=limits.memory_bytes,
        processes=_UNCOUNTED,
        disk_bytes=limits.disk_bytes,
        files=limits.files,
        output_bytes=limits.output_bytes,
        read_bytes=limits.read_bytes,
        patch_seconds=PATCH_SECONDS,
        inside_user=config.command_user,
        products=rules(config.products),
    )
    return {"spec": spec._asdict(), "copy": not config.owns_tree, "git": toolbox.git}


def _environment(config: ContainersConfig, image: dict[str, Any]) -> dict[str, str]:
    """The image's variables, ours, the user's own."""
    own = dict(text.split("=", 1) for text in image["Config"].get("Env") or () if "=" in text)
    path = ":".join(
        [*config.search, own.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")]
    )
    home = {"HOME": "/root", "USER": "root", "LOGNAME": "root"} if config.command_user == 0 else {}
    return own | COMMON_ENVIRONMENT | home | {"PATH": path} | config.environment


def run_options(config: ContainersConfig, size: int, files: int, mounted: bool) -> list[str]:
    """Options of the engine's `run`, up to the image; `size` and `files` are those of the copied tree."""
    limits = config.limits
    memory = limits.memory_bytes + 2 * limits.disk_bytes + size + _OWN_BYTES + _MESSAGE_BYTES
    return [
        "--rm",
        *(["--read-only"] if mounted and not config.owns_tree else []),
        "--pull=never",
        "--log-driver=none",
        "--no-healthcheck",
        "--hostname=sandbox",
        "--user=0:0",
        "--workdir=/",
        "--cap-drop=ALL",
        *(f"--cap-add={name}" for name in _CAPABILITIES),
        "--security-opt=no-new-privileges",
        f"--network={config.network}",
        f"--memory={memory}",
        f"--memory-swap={memory}",
        f"--pids-limit={limits.processes + _OWN_PROCESSES}",
        *((f"--cpus={limits.cpus}",) if limits.cpus else ()),
        *((f"--platform={config.platform}",) if config.platform else ()),
        *_engine_options(config),
        *(f"--sysctl={name}={value}" for name, value in _SYSCTLS),
        *_storage_options(config, size, files),
        *config.options,
        f"--entrypoint={SEEN}/so/loader",
    ]


def _engine_options(config: ContainersConfig) -> list[str]:
    """Where the engines differ."""
    if isinstance(config, PodmanConfig):  # raises limits unasked, which fails where it has no right to
        return [f"--ulimit={name}={most}:{most}" for name, most in _ULIMITS]
    return ["--dns=127.0.0.1", "--dns-search=."] if config.network == "none" else []


def _storage_options(config: ContainersConfig, size: int, files: int) -> list[str]:
    """File systems in memory for what commands write, and for process 1's own."""
    limits: Limits = config.limits
    podman = isinstance(config, PodmanConfig)  # knows no `nr_inodes`, and copies what it covers
    places = {_MESSAGES: f"size={_MESSAGE_BYTES + limits.disk_bytes},mode=0755"}
    for place, (of_bytes, of_files) in _SHARES.items():
        if place == "" and config.owns_tree:
            continue
        extra_bytes, extra_files = (size, files) if place == "" else (0, 0)
        mode = "0755" if place in ("", HOME) else "1777"
        places[place or config.workdir] = (
            f"size={int(limits.disk_bytes * of_bytes) + extra_bytes},mode={mode}"
            + ("" if podman else f",nr_inodes={int(limits.files * of_files) + extra_files + 16}")
        )
    no_copy = ",notmpcopyup" if podman else ""
    return [*(f"--tmpfs={place}:rw,exec,nosuid,nodev,{rest}{no_copy}" for place, rest in places.items())]


def bind_options(config: ContainersConfig, toolbox: Path, tree: Path, shown: list[str]) -> list[str]:
    """What containers see of this machine; `shown` at its own path. Where such a path leads through the home
    of the image's root, which others may not enter, that home is covered."""
    binds = [(toolbox, SEEN), (tree, LAYER), *((Path(path).resolve(), path) for path in shown)]
    hidden = [path for path in config.hidden if any(path.is_relative_to(top) for top in shown)]
    closed = config.command_user != 0 and any(Path(path).is_relative_to(ROOTS_HOME) for path in shown)
    return [
        *((f"--tmpfs={ROOTS_HOME}:rw,size=64k",) if closed else ()),
        *(f"--mount=type=bind,source={source},target={target},readonly" for source, target in binds),
        *(f"--tmpfs={path}:ro,size=4k" for path in hidden if path.is_dir()),
    ]


def measure(tree: Path) -> tuple[int, int]:
    """Bytes and files of a tree, as a file system in memory counts them."""
    page = os.sysconf("SC_PAGE_SIZE")
    size = files = 0
    for path in tree.rglob("*"):
        size += -(-path.lstat().st_size // page) * page + page
        files += 1
    return size, files


def pack(archive: Path, toolbox: Path, tree: Path) -> None:
    """The toolbox and the layer, for engines that do not see this machine's files."""
    with tarfile.open(archive, "w") as tar:
        for source, target in ((toolbox, SEEN), (tree, LAYER)):
            tar.add(source, target.lstrip("/"))
