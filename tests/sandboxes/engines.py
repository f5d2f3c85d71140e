"""Engines of containers for the tests: started here on a socket and a folder of their own, stopped and swept
away afterwards, with one small image made of this machine's own programs.

    docker    dockerd and containerd of this machine (Debian: docker.io)
    podman    no engine to start, only folders of its own (Debian: podman crun)

A test that needs one is skipped where its programs are missing or where nothing may be mounted.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

IMAGE = "sera-test:tools"
_PROGRAMS = """
    bash sh cat echo ls rm mkdir mknod chmod chown chroot cp mv ln id env head tail tr wc seq sort stat du nice
    nohup readlink rmdir mkfifo sleep sync touch true false test printf yes timeout uname date dirname basename cut
    grep sed find xargs git ps pgrep pkill kill mount umount unshare setsid su hostname gawk
    getent truncate
"""
_FOLDERS = ("proc", "sys", "dev", "tmp", "var/tmp", "root", "etc", "run", "home", "mnt", "opt")
_LEFT_OUT = (
    "test",
    "idlelib",
    "tkinter",
    "site-packages",
    "dist-packages",
    "config-3.*",
    "__pycache__",
    "ensurepip",
)


class EngineAtHand(NamedTuple):
    """What a test needs to reach it."""

    program: str
    environment: dict[str, str]

    def run(self, *arguments: str) -> str:
        return subprocess.run(
            [self.program, *arguments],
            env=os.environ | self.environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout


# ── the image ─────────────────────────────────────────────────────────────────────────────────────


def make_root(folder: Path) -> None:
    """A small root file system: programs of this machine, their libraries, this Python."""
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (folder / name).chmod(0o1777)
    (folder / "root").chmod(0o700)
    for name in ("bin", "lib", "lib64", "sbin"):
        (folder / "usr" / name).mkdir(parents=True)
        (folder / name).symlink_to(f"usr/{name}")
    python = Path(os.path.realpath(sys.executable))
    programs = [Path(found) for name in _PROGRAMS.split() if (found := shutil.which(name))]
    for program in programs:
        shutil.copy2(os.path.realpath(program), folder / "usr/bin" / program.name)
    standard = Path(sysconfig.get_path("stdlib"))
    (folder / "opt/python/bin").mkdir(parents=True)
    shutil.copy2(python, folder / "opt/python/bin")
    for name in ("python", "python3"):
        (folder / "usr/bin" / name).symlink_to(f"/opt/python/bin/{python.name}")
    library = folder / "opt/python/lib" / standard.name
    shutil.copytree(standard, library, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
    modules = list((standard / "lib-dynload").glob("*.so"))
    for source in _linked([*programs, python, *modules]):
        of_system = source.startswith(("/lib", "/usr"))
        place = folder / (source.lstrip("/") if of_system else f"usr/lib/{Path(source).name}")
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(os.path.realpath(source), place)
    (folder / "etc/services").write_text("http 80/tcp\n")
    (folder / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n"
    )


def _linked(programs: list[Path]) -> set[str]:
    listed = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    return {
        word
        for line in listed.splitlines()
        for word in line.split()
        if word.startswith("/") and ".so" in word and not word.endswith(":")
    }


def _import_image(engine: EngineAtHand, folder: Path) -> None:
    root = folder / "image"
    make_root(root)
    archive = folder / "image.tar"
    subprocess.run(
        ["tar", "-C", root, "-cf", archive, "--owner=0", "--group=0", "--numeric-owner", "."], check=True
    )
    engine.run("import", str(archive), IMAGE)
    shutil.rmtree(root)
    archive.unlink()


# ── Docker ────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def in_use(opened: "contextlib.AbstractContextManager[EngineAtHand]") -> Iterator[EngineAtHand]:
    """An engine that this process and all it starts use."""
    with opened as engine, pytest.MonkeyPatch.context() as patch:
        for name, value in engine.environment.items():
            patch.setenv(name, value)
        yield engine


@contextlib.contextmanager
def docker_engine() -> Iterator[EngineAtHand]:
    """An engine of its own, with the test image."""
    for program in ("docker", "dockerd", "containerd", "runc"):
        if not shutil.which(program):
            pytest.skip(
                f"no {program} here: `TESTS=1 sh scripts/system-packages.sh` installs Debian's docker.io"
            )
    if os.getuid() != 0:
        pytest.skip("dockerd needs root to start")
    with tempfile.TemporaryDirectory(prefix="sera-docker-", ignore_cleanup_errors=True) as place:
        folder, group = Path(place), f"sera-test-{os.getpid()}"
        address = f"unix://{folder}/docker.sock"
        options = {
            "host": address,
            "data-root": folder / "data",
            "exec-root": folder / "exec",
            "pidfile": folder / "pid",
            "bridge": "none",
            "iptables": "false",
            "ip6tables": "false",
            "cgroup-parent": f"/{group}",
        }
        die_with_us = ("setpriv", "--pdeathsig=TERM")
        command = [
            *die_with_us,
            "unshare",
            "--mount",
            "dockerd",
            *(f"--{key}={value}" for key, value in options.items()),
        ]
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        engine = EngineAtHand(
            "docker",
            {"DOCKER_HOST": address, "DOCKER_CONFIG": str(folder), "SERA_CACHE": str(folder / "cache")},
        )
        try:
            _wait_until_up(engine, daemon, folder / "log")
            _import_image(engine, folder)
            yield engine
        finally:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(daemon.pid, signal.SIGKILL)
                daemon.wait()
            remove_groups(group)


def _wait_until_up(engine: EngineAtHand, daemon: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and daemon.poll() is None:
        with contextlib.suppress(subprocess.CalledProcessError):
            engine.run("info")
            return
        time.sleep(0.1)
    pytest.skip(f"dockerd does not start here: {log.read_text(errors='replace')[-400:]}")


def remove_groups(name: str) -> None:
    """The control groups that an engine leaves behind."""
    for group in Path("/sys/fs/cgroup").glob(f"**/{name}"):
        for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        with contextlib.suppress(OSError):
            group.rmdir()


# ── Podman ────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def podman_engine() -> Iterator[EngineAtHand]:
    """Podman with storage of its own, and the test image."""
    runtime = next((name for name in ("runc", "crun") if shutil.which(name)), "")
    for program in ("podman", "conmon"):
        if not shutil.which(program) or not runtime:
            pytest.skip(
                f"no {program} here: `TESTS=1 sh scripts/system-packages.sh` installs Debian's podman"
            )
    if os.getuid() != 0:
        pytest.skip("the tests use Podman as root")
    with tempfile.TemporaryDirectory(prefix="sera-podman-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/root"\nrunroot = "{folder}/run"\n'
        (folder / "storage.conf").write_text(storage)
        (folder / "containers.conf").write_text(
            f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nruntime = "{runtime}"\n'
            f'tmp_dir = "{folder}/tmp"\n'
            '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=32768:32768"]\n'
        )
        environment = {
            "CONTAINERS_STORAGE_CONF": f"{folder}/storage.conf",
            "CONTAINERS_CONF": f"{folder}/containers.conf",
            "SERA_CACHE": f"{folder}/cache",
        }
        engine = EngineAtHand("podman", environment)
        try:
            try:
                engine.run("info")
            except subprocess.CalledProcessError as error:
                pytest.skip(f"podman does not work here: {error.stderr[-400:]}")
            _import_image(engine, folder)
            yield engine
        finally:
            subprocess.run(["umount", folder / "root/overlay"], capture_output=True, check=False)
