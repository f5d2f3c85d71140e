"""The walls around a sandbox, and how each is tried from inside.

What is tried is harmless where the wall is missing, and over in seconds. Words of the shell do for most,
because a container's image may have little more.
"""

import os
import shlex
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, NamedTuple

from sera.sandboxes.contract import CommandResult, Limits, Sandbox

Given = Literal["yes", "partly", "no", "unknown"]
_SECONDS = 20.0
_KILLED = 137
"""What the shell says of a program that was killed."""
_TOOLS = "cat cut find grep head ls mknod seq sleep tail tr unshare wc"
TIGHT = Limits(memory_bytes=128 << 20, processes=32, disk_bytes=16 << 20, files=500, output_bytes=64 << 10)
"""Of the sandboxes in which walls are tried."""


Finding = tuple[Given, str]
Probe = Callable[[Sandbox], Awaitable[Finding]]


class Wall(NamedTuple):
    """One wall: how it is tried, what follows where it is missing, and what to do about it."""

    probe: Probe
    follows: str
    cure: str


# ── the probes ────────────────────────────────────────────────────────────────────────────────────


class Unclear(Exception):
    """A wall could not be tried: no answer is not a good one."""


async def try_wall(wall: Wall, box: Sandbox) -> Finding:
    """What became of one wall."""
    try:
        missing = await _output(box, f"for p in {_TOOLS}; do command -v $p >/dev/null || echo $p; done")
        if missing:
            raise Unclear(f"there is no {missing.split()[0]} in the sandbox to try it with")
        return await wall.probe(box)
    except Unclear as why:
        return "unknown", str(why)
    except ValueError as why:
        return "unknown", f"the answer makes no sense: {why}"


async def _run(box: Sandbox, command: str) -> CommandResult:
    result = await box.run(command, _SECONDS)
    if result.timed_out:
        raise Unclear(f"it could not be tried within {_SECONDS:.0f} s")
    return result


async def _output(box: Sandbox, command: str) -> str:
    return (await _run(box, command)).output.strip()


def _python(code: str) -> str:
    return f"python -c {shlex.quote(code)}"


async def _filesystem(box: Sandbox) -> Finding:
    """What is written to a place of this name must not arrive here."""
    places = [Path(name) for name in ("/usr", "/usr/bin", "/etc", "/opt", "/srv", "/var/tmp")] + [Path.home()]
    marker = f"sera-probe-{os.getpid()}"
    for place in places:
        await _run(box, f": > {shlex.quote(str(place / marker))}")
    reached = [place for place in places if (place / marker).exists()]
    for place in reached:
        (place / marker).unlink()
    if reached:
        return "no", f"commands can write to {reached[0]} of this machine"
    private = Path.home() / ".ssh"
    if private.is_dir() and await _output(box, f"ls -A {shlex.quote(str(private))} 2>/dev/null"):
        return "no", f"commands can read {private}"
    return "yes", ""


async def _network(box: Sandbox) -> Finding:
    devices = await _output(box, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | grep -vx lo")
    if devices:
        return "no", f"commands see the network device {devices.splitlines()[0]}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connected = await _output(box, f"(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo connected")
    return ("no", "commands reach this machine's own services") if connected else ("yes", "")


async def _processes(box: Sandbox) -> Finding:
    seen = await _output(box, f"cat /proc/{os.getpid()}/cmdline 2>/dev/null | tr '\\0' ' '")
    own = Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    if seen and seen == own:
        return "no", "commands see the processes of this machine"
    reached = await _output(
        box, "for s in KILL TERM STOP; do kill -$s 1 2>/dev/null; done; ls /proc/1/root/etc 2>/dev/null"
    )
    return ("no", "commands reach into process 1") if reached else ("yes", "")


async def _privileges(box: Sandbox) -> Finding:
    status = dict(
        line.split(":", 1)
        for line in (await _output(box, "cat /proc/self/status")).splitlines()
        if ":" in line
    )
    held = [
        name for name in ("CapPrm", "CapEff", "CapInh", "CapAmb") if int(status.get(name, "0").strip(), 16)
    ]
    if held:
        return "no", f"commands hold capabilities ({', '.join(held)})"
    if status.get("NoNewPrivs", "").strip() != "1":
        return "partly", "set-user-id programs would raise rights (no_new_privs is not set)"
    return "yes", ""


async def _seccomp(box: Sandbox) -> Finding:
    if await _output(box, "grep -c '^Seccomp:.*2' /proc/self/status") != "1":
        return "no", f"no filter on system calls ({os.uname().machine})"
    opened = await _output(
        box, "unshare -U true 2>/dev/null && echo user; unshare -m true 2>/dev/null && echo mount"
    )
    return ("partly", "commands can make namespaces") if opened else ("yes", "")


async def _proc(box: Sandbox) -> Finding:
    settings = "/proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches"
    found = await _output(
        box,
        f"for f in {settings} /sys/kernel/uevent_helper; do (exec 3>$f) 2>/dev/null && echo $f; done; "
        "for f in /proc/kcore /proc/keys /proc/timer_list /proc/kmsg; do "
        "timeout 1 head -c1 $f 2>/dev/null | grep -q . && echo $f; done",
    )
    return ("partly", f"commands reach {', '.join(found.split())}") if found else ("yes", "")


async def _devices(box: Sandbox) -> Finding:
    usual = "null|zero|full|random|urandom|tty|console|ptmx"
    found = await _output(
        box,
        f"find /dev -maxdepth 2 \\( -type b -o -type c \\) 2>/dev/null | grep -vE '^/dev/({usual}|pts/.*)$'",
    )
    made = await _output(
        box,
        "mknod /tmp/probe c 1 5 2>/dev/null && head -c1 /tmp/probe >/dev/null 2>&1 && echo made; "
        "rm -f /tmp/probe",
    )
    if made:
        return "no", "commands can make device nodes and open them"
    return ("partly", f"commands see {', '.join(found.split()[:5])}") if found else ("yes", "")


async def _users(box: Sandbox) -> Finding:
    inside = int(await _output(box, "id -u"))
    outside = inside
    for line in (await _output(box, "cat /proc/self/uid_map")).splitlines():
        first, parent, count = map(int, line.split())
        if first <= inside < first + count:
            outside = parent + inside - first
    if outside == 0:
        return "no", "a process that got out would be root"
    if outside == os.getuid():
        return "partly", "a process that got out would have your rights"
    return "yes", ""


async def _memory(box: Sandbox) -> Finding:
    result = await _run(box, "x=$(head -c 256M /dev/zero | tr '\\0' x); echo ${#x}")
    return (
        ("yes", "") if result.limit == "memory" else ("no", "a command could take more memory than its limit")
    )


async def _cgroups(box: Sandbox) -> Finding:
    most = (TIGHT.memory_bytes + TIGHT.disk_bytes + (128 << 20)) >> 20
    flood = (
        "import os\npiece=bytes(1<<20)\nkept=[]\n"
        f"for n in range({most // 8}):\n  kept.append(os.memfd_create('x'))\n"
        "  [os.write(kept[-1],piece) for _ in range(8)]\nprint('all')"
    )
    result = await _run(box, _python(flood))
    if result.output == "all\n":
        return "no", "memory that no process shows is not bounded"
    if result.exit_code == _KILLED:
        return "yes", ""
    raise Unclear(f"what was to fill the memory ended otherwise: {result.output.strip()[-200:]}")


async def _pids(box: Sandbox) -> Finding:
    """In words of the shell alone, because at its limit it cannot start a program."""
    count = (
        "(for i in $(seq 60); do sleep 4 & done) 2>/dev/null & end=$((SECONDS + 2)); "
        "while ((SECONDS < end)); do :; done; set -- /proc/[0-9]*; echo $#"
    )
    return ("no", "processes are not limited") if int(await _output(box, count)) > 60 else ("yes", "")


async def _disk(box: Sandbox) -> Finding:
    await _run(box, "for f in fill /tmp/fill /dev/shm/fill; do head -c 15M /dev/zero > $f; done 2>/dev/null")
    size = await _output(
        box, "cat fill /tmp/fill /dev/shm/fill 2>/dev/null | wc -c; rm -f fill /tmp/fill /dev/shm/fill"
    )
    if int(size or 0) > TIGHT.disk_bytes * 1.5:
        return "no", "what a sandbox writes is not limited as a whole"
    made = await _output(box, "mkdir m; for i in $(seq 1500); do : > m/$i; done 2>/dev/null; ls m | wc -l")
    return ("partly", "the number of files is not limited") if int(made) == 1500 else ("yes", "")


_OTHER_BACKEND = "choose the backend of namespaces, or take out the option that opens it"
WALLS: dict[str, Wall] = {
    "filesystem": Wall(
        probe=_filesystem,
        follows="commands could change this machine, or read private files",
        cure=_OTHER_BACKEND,
    ),
    "network": Wall(
        probe=_network,
        follows="commands could send your code away, or look the answer up",
        cure='network = "none"',
    ),
    "processes": Wall(
        probe=_processes, follows="commands could see or stop other processes", cure=_OTHER_BACKEND
    ),
    "privileges": Wall(
        probe=_privileges,
        follows="a mistake elsewhere would weigh more",
        cure="take out options such as --privileged or --cap-add",
    ),
    "seccomp": Wall(
        probe=_seccomp,
        follows="all of the kernel's interface is within reach, keys and io_uring included",
        cure="x86-64 or arm64, and no option that turns the filter off",
    ),
    "proc": Wall(
        probe=_proc, follows="commands could read or change what belongs to the machine", cure=_OTHER_BACKEND
    ),
    "devices": Wall(
        probe=_devices,
        follows="commands could talk to hardware",
        cure="take out options such as --device or --gpus",
    ),
    "users": Wall(
        probe=_users,
        follows="whoever got out of a sandbox would not have to get any further",
        cure="run sera as root, which gives commands a user of their own, or as a user kept for it",
    ),
    "memory": Wall(probe=_memory, follows="one sandbox could take all of the memory", cure=_OTHER_BACKEND),
    "cgroups": Wall(
        probe=_cgroups,
        follows="memory in memfd, shared segments and buffers is not bounded; processors are not shared out",
        cure="",
    ),
    "pids": Wall(probe=_pids, follows="a fork bomb could stop the machine", cure=_OTHER_BACKEND),
    "disk": Wall(probe=_disk, follows="one sandbox could fill the memory or the disk", cure=_OTHER_BACKEND),
}
"""By name, in the order they are reported."""
