"""Process 1 of a container: the walls are the engine's, all else is as in a sandbox of namespaces.

The host starts it with pipes for its requests and answers, and sends the settings as the first frame. It
cannot mount. So what is to be writable are file systems in memory that the engine has mounted; the layer,
read-only at `LAYER`, is copied into the tree unless the image holds that tree already; git's private files
lie in a directory that commands cannot enter, and git runs with a group of its own, which can; what would
lead git astray is renamed meanwhile.

Commands of a container may be its root. They have no capabilities, and what process 1 writes for
itself belongs to `KEEPER`, so that they can change it no more than an ordinary user could.
"""

import fcntl
import os
import secrets
import shutil
import signal
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from . import calls, init, kernel, root, tree, wire
from .spec import BASE, CLOSED, COMMAND, EXCLUDES, HOME, PROCESSES, Spec
from .views import AsCommand, Changes

KEEPER = 65533
LAYER = "/run/layer"
ROOTS_HOME = "/root"
"""What images keep closed to all but their root, though directories of the host may be mounted below it: the
engine then covers it with a file system in memory, which takes its mode over."""
_MESSAGES = os.path.dirname(COMMAND)
_FIRST_OWN = 40  # descriptors of process 1's own, out of the way of those it gives to commands
_FIRST_NUMBER = 40
_KILLS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


class Order(NamedTuple):
    """The first frame: what the host wants of this container."""

    spec: Spec
    copy: bool
    """Whether the tree is to be copied from the layer."""
    git: list[str]
    """The program that patches are taken with."""


def main() -> NoReturn:
    """Be process 1 until the host hangs up."""
    channel = _take_channel()
    try:
        header, _ = wire.receive(channel, 0)
    except wire.Closed:
        os._exit(0)
    order = Order(Spec(**header["spec"]), header["copy"], header["git"])
    init.live(channel, order.spec, lambda: _build(order))


def _take_channel() -> wire.Pipes:
    """The pipes of this process's input and output, which then are empty for all it starts."""
    reader, writer = (fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FIRST_OWN) for number in (0, 1))
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)
    os.close(null)
    return wire.Pipes(reader, writer)


# ── the walls, as far as they are ours ────────────────────────────────────────────────────────────


def _build(order: Order) -> init.Walls:
    spec = order.spec
    hidden = f".sandbox-{secrets.token_hex(8)}"
    _make_messages(hidden)
    if order.copy:
        _copy_layer(spec)
    if os.path.isdir(HOME):
        os.chown(HOME, spec.inside_user, spec.inside_user)
    if os.path.ismount(ROOTS_HOME):
        os.chmod(ROOTS_HOME, 0o755)
    _isolate()
    _use_up_numbers()
    folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    changes = Changes(folder, os.path.realpath(spec.workdir).strip("/"), whole=True)
    messages = os.open(_MESSAGES, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return init.Walls(messages, changes, Renamed(order.git, hidden), _open_kills())


def _make_messages(hidden: str) -> None:
    os.mkdir(CLOSED, 0o700)
    os.symlink("/proc", PROCESSES)
    os.symlink(f"{LAYER}/.git", BASE)
    for path, text in ((COMMAND, ""), (EXCLUDES, f"{hidden}*\n")):
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o644)
        os.chown(path, KEEPER, KEEPER)
    for path in (CLOSED, _MESSAGES):
        os.chown(path, KEEPER, KEEPER)
    os.chmod(CLOSED, 0o710)


def _copy_layer(spec: Spec) -> None:
    layer = os.open(LAYER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    root.copy_tree(layer, spec.workdir, spec)
    os.close(layer)


def _isolate() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    kernel.adopt_orphans()
    kernel.hide_arguments(b"sandbox")
    kernel.forbid_new_privileges()
    kernel.drop_bounding_set()
    calls.refuse_calls()
    kernel.forbid_inspection()


def _use_up_numbers() -> None:
    """Leave behind the process numbers that the engine's own start took, now more and now less of them:
    what a command prints must not depend on that."""
    last = 0
    while last < _FIRST_NUMBER:
        last = os.fork()
        if last == 0:
            os._exit(0)
        os.waitpid(last, 0)


def _open_kills() -> int:
    for path in _KILLS:
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
    return -1


# ── git's view of the tree ────────────────────────────────────────────────────────────────────────


class Renamed:
    """A view without mounts: git's files lie where only its group may go, so that no command may trace it
    either; and what is not to be seen bears, for that time, a name that git ignores."""

    place = f"{CLOSED}/scratch"
    seen = place
    rights = ()
    group = KEEPER

    def __init__(self, git: Sequence[str], name: str) -> None:
        self.git = git
        self._name = name
        self._renamed: list[tuple[str, str]] = []

    def open(self, _: Spec, /) -> None:
        os.makedirs(self.place, exist_ok=True)

    def hide(self, paths: Sequence[str], as_command: AsCommand) -> None:
        others = [f"{os.path.dirname(path)}/{self._name}-{number}" for number, path in enumerate(paths)]
        if paths:
            self._renamed = as_command(lambda: tree.rename(zip(paths, others, strict=True)))

    def enter(self) -> None:
        """Nothing: the place is where it is, and `group` can reach it."""

    def close(self, as_command: AsCommand) -> None:
        back, self._renamed = [(other, path) for path, other in reversed(self._renamed)], []
        if back:
            as_command(lambda: tree.rename(back))
        shutil.rmtree(f"{self.place}/git", ignore_errors=True)
