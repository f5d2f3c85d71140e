"""Attempts to get out of a sandbox, and what each must print.

Every attempt is a command with an outcome that is expected. A payload in Python has `attempt` and `call`, which print a
name and either the error it met or `ESCAPED`; whatever prints `ESCAPED` has failed the suite. What
an attempt does is harmless by itself, should a wall be missing: it opens without writing, asks for what exists
already, or changes what dies with its process.
"""

import re
import shlex
from typing import NamedTuple

_HELP = """
import ctypes, errno, os, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
column = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
def attempt(name, function, *arguments):
    try:
        result = function(*arguments)
    except OSError as error:
        print(name, errno.errorcode.get(error.errno, error.errno))
    else:
        print(name, "ESCAPED", repr(result)[:80])
def call(name, numbers, *arguments):
    if numbers[column] is None:
        return
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(numbers[column]), *values)
    print(name, "ESCAPED" if result >= 0 else errno.errorcode[ctypes.get_errno()])
"""
DENIED = r"E(PERM|ACCES|ROFS|NOSYS|NOENT|INVAL|OPNOTSUPP|AFNOSUPPORT|PROTONOSUPPORT|SRCH|NXIO|NOTDIR)"
"""The errors of a wall. A busy or exhausted one is none."""
REFUSED = rf"\A(\S+ {DENIED}\n)+\Z"


class Attempt(NamedTuple):
    """One way out, and the proof that it is closed."""

    name: str
    command: str
    expected: str = REFUSED
    """What all of the output must match."""


def python(code: str) -> str:
    """A command that runs code."""
    return f"python -c {shlex.quote(code)}"


def _script(code: str) -> str:
    return python(_HELP + code)


ATTEMPTS = (
    # ── the file system ──
    Attempt(
        "mounts",
        _script("""
for kind in (b"tmpfs", b"proc", b"sysfs", b"cgroup", b"cgroup2", b"overlay", b"binfmt_misc"):
    call("mount-" + kind.decode(), (165, 40), b"none", b"/tmp", kind, 0, None)
call("bind", (165, 40), b"/proc", b"/tmp", None, 4096, None)
call("remount", (165, 40), None, b"/usr", None, 32 | 4096, None)
call("fsopen", (430, 430), b"tmpfs", 0)
call("open_tree", (428, 428), -100, b"/", 1)
call("move_mount", (429, 429), -100, b"/usr", -100, b"/tmp", 0)
call("mount_setattr", (442, 442), -100, b"/usr", 0, bytes(32), 32)
"""),
    ),
    Attempt(
        "unmounting a cover",
        _script("""
for place in (b"/proc/keys", b"/proc", b"/testbed", b"/usr", b"/dev/shm"):
    call("umount", (166, 39), place, 2)
"""),
    ),
    Attempt(
        "chroot and pivot_root",
        _script("""
os.makedirs("/tmp/jail", exist_ok=True)
call("chroot", (161, 51), b"/tmp/jail")
call("pivot_root", (155, 41), b"/tmp", b"/tmp/jail")
"""),
    ),
    Attempt("above the root", "cd /; cd ../../../../../..; ls -d testbed proc", r"\Aproc\ntestbed\n\Z"),
    Attempt(
        "process 1 by its files",
        _script("""
for name in ("root/etc/shadow", "cwd/etc", "fd/0", "mem", "environ", "maps", "exe", "map_files", "ns/mnt", "auxv"):
    attempt(name, os.open, "/proc/1/" + name, os.O_RDONLY)
"""),
    ),
    Attempt(
        "descriptors of every process",
        _script("""
own = {os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if n != "3"}
print(sorted(p.split(":")[0] for p in own))
for pid in range(1, 300):
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        continue
    for name in names:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if not target.startswith(("pipe:", "/dev/null", "/run/sandbox/command", "/proc/")):
            print("ESCAPED", pid, target)
"""),
        r"\A\['/dev/null', 'pipe'\]\n\Z",
    ),
    Attempt(
        "files by handle",
        _script("""
handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136 + 8)
mount = ctypes.c_int()
libc.name_to_handle_at(-100, b"/usr/bin/env", handle, ctypes.byref(mount), 0)
call("open_by_handle_at", (304, 265), os.open("/usr/bin", os.O_RDONLY), handle, os.O_RDONLY)
"""),
    ),
    Attempt(
        "marks of the overlay",
        _script("""
os.makedirs("d", exist_ok=True)
for name in ("trusted.overlay.redirect", "security.capability"):
    attempt(name, os.setxattr, "d", name, b"/etc")
for name in ("user.overlay.redirect", "user.overlay.metacopy"):
    try:
        os.setxattr("d", name, b"/../../../../etc")
    except OSError:
        pass
attempt("lower", os.open, "d/shadow", os.O_RDONLY)
"""),
    ),
    Attempt(
        "what is shared, read-only",
        _script("""
python = os.path.realpath(sys.executable)
shared = [python, os.__file__, "/usr/bin/env", "/etc/passwd", "/etc/services", "/dev"]
shared += [path for path in ("/run/sandbox/command", "/run/sandbox/base.git/HEAD") if os.path.exists(path)]
for path in shared:
    name = os.path.basename(path)
    attempt("open-" + name, os.open, path, os.O_RDWR)
    attempt("reopen-" + name, os.open, f"/proc/self/fd/{os.open(path, os.O_RDONLY)}", os.O_RDWR)
    attempt("chmod-" + name, os.chmod, path, 0o777)
    attempt("utime-" + name, os.utime, path)
    attempt("beside-" + name, os.open, path + ".new", os.O_CREAT | os.O_WRONLY)
    attempt("link-" + name, os.link, path, path + ".link")
    attempt("rename-" + name, os.rename, path, path + ".old")
    attempt("chown-" + name, os.chown, path, 1000, 1000)
"""),
        rf"\A(\S+ {DENIED.replace('E(', 'E(ISDIR|')}\n)+\Z",
    ),
    Attempt(
        "device nodes",
        _script("""
import stat
for name, kind, device in (("sda", stat.S_IFBLK, (8, 0)), ("mem", stat.S_IFCHR, (1, 1)), ("null", stat.S_IFCHR, (1, 3))):
    attempt("mknod-" + name, os.mknod, "/tmp/" + name, kind | 0o666, os.makedev(*device))
for name in ("mem", "kmem", "port", "kmsg", "sda", "vda", "nvme0n1", "fuse", "kvm", "net/tun", "loop-control",
             "loop0", "mapper/control", "snd", "input", "dri", "hpet", "vhost-net", "vsock", "uinput", "nvidia0"):
    attempt(name, os.open, "/dev/" + name, os.O_RDONLY)
"""),
    ),
    Attempt(
        "only harmless devices",
        "cd /dev && ls -A; find / -xdev \\( -type b -o -type c \\) 2>/dev/null | grep -vxE "
        "'/dev/(null|zero|full|random|urandom|tty)' | sed 's/^/ESCAPED /'",
        r"\A((core|fd|full|mqueue|null|ptmx|pts|random|shm|stderr|stdin|stdout|tty|urandom|zero)\n)+\Z",
    ),
    # ── the kernel ──
    Attempt(
        "kernel settings",
        _script("""
for name in ("sys/kernel/core_pattern", "sys/kernel/modprobe", "sys/kernel/hostname", "sys/kernel/panic",
             "sys/vm/overcommit_memory", "sys/vm/drop_caches", "sys/fs/protected_symlinks",
             "sys/user/max_user_namespaces", "sys/net/ipv4/ip_forward", "sysrq-trigger", "sys/fs/binfmt_misc/register",
             "irq/default_smp_affinity", "sys/kernel/shmall"):
    attempt(name, os.open, "/proc/" + name, os.O_WRONLY)
for name in ("kernel/uevent_helper", "kernel/mm/ksm/run", "fs/cgroup/release_agent", "power/state", "module/printk/parameters/time"):
    attempt(name, os.open, "/sys/" + name, os.O_WRONLY)
"""),
    ),
    Attempt(
        "what the kernel tells",
        "cd /proc; for f in kcore kmsg keys key-users timer_list sched_debug latency_stats "
        "vmallocinfo slabinfo kpagecount; do head -c 1 $f 2>/dev/null | wc -c; done | sort -u; "
        "grep -vE '^0+ ' kallsyms 2>/dev/null | head -1 | sed 's/^/ESCAPED /'; "
        "dmesg >/dev/null 2>&1 && echo ESCAPED dmesg",
        r"\A0\n\Z",
    ),
    Attempt(
        "control groups",
        _script(
            """
attempt("release_agent", os.listdir, "/sys/fs/cgroup/memory")
attempt("unified", os.open, "/sys/fs/cgroup/cgroup.procs", os.O_WRONLY)
attempt("make", os.mkdir, "/sys/fs/cgroup/escape")
call("mount", (165, 40), b"none", b"/mnt", b"cgroup", 0, b"memory")
"""
        ),
    ),
    Attempt(
        "modules, reboot, time and swap",
        _script("""
call("init_module", (175, 105), None, 0, b"")
call("finit_module", (313, 273), 0, b"", 0)
call("delete_module", (176, 106), b"none", 0)
call("kexec_load", (246, 104), 0, 0, None, 0)
call("reboot", (169, 142), 0, 0, 0, None)
call("swapon", (167, 224), b"/tmp/none", 0)
call("acct", (163, 89), None)
call("quotactl", (179, 60), 0, None, 0, None)
call("settimeofday", (164, 170), None, bytes(8))
call("clock_settime", (227, 112), 0, struct.pack("qq", 1, 0))
call("sethostname", (170, 161), b"x", 1)
call("syslog", (103, 116), 3, bytes(64), 64)
call("iopl", (172, None), 3)
call("ioperm", (173, None), 0x80, 1, 1)
call("vhangup", (153, 58))
"""),
    ),
    Attempt(
        "calls with a history",
        _script("""
call("bpf", (321, 280), 0, bytes(48), 48)
call("perf_event_open", (298, 241), struct.pack("IIQ", 1, 112, 0) + bytes(96), 0, -1, -1, 0)
call("userfaultfd", (323, 282), 1)
call("io_uring_setup", (425, 425), 1, bytes(120))
call("fanotify_init", (300, 262), 0x200, 0)
call("modify_ldt", (154, None), 0, bytes(16), 16)
call("kcmp", (312, 272), os.getpid(), os.getpid(), 0, 0, 0)
call("move_pages", (279, 239), 0, 0, None, None, None, 0)
call("lookup_dcookie", (212, 18), 0, bytes(8), 8)
call("memfd_secret", (447, 447), 0)
"""),
    ),
    Attempt(
        "keys of the machine",
        _script("""
call("add_key", (248, 217), b"user", b"sera", b"x", 1, -2)
call("request_key", (249, 218), b"user", b"sera", None, 0)
for operation in (0, 1, 6, 11, 22):
    call("keyctl", (250, 219), operation, -3, 0, 0, 0)
"""),
    ),
    Attempt(
        "calls of another convention",
        _script("""
import mmap
if os.uname().machine == "x86_64":
    call("x32-getpid", (0x40000000 + 39, None))
    # mov eax, 20 (getpid); int 0x80; ret
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("b814000000cd80c3"))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    print("int80-getpid", errno.errorcode[-result] if result < 0 else "ESCAPED")
else:
    print("none ENOSYS")
"""),
    ),
    # ── rights ──
    Attempt(
        "capabilities",
        "grep -E 'Cap(Prm|Eff|Inh|Amb)|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\t'",
        r"\ACapInh:0+\nCapPrm:0+\nCapEff:0+\nCapAmb:0+\nNoNewPrivs:1\nSeccomp:2\n\Z",
    ),
    Attempt(
        "another user",
        _script("""
attempt("setuid", os.setuid, 0)
attempt("setresuid", os.setresuid, 0, 0, 0)
attempt("setgid", os.setgid, 0)
attempt("setgroups", os.setgroups, [0])
header, data = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0xFFFFFFFF] * 6)
attempt("capset", lambda: libc.capset(header, data) and (_ for _ in ()).throw(OSError(ctypes.get_errno(), "")))
"""),
    ),
    Attempt(
        "set-user-id programs",
        "cp /bin/bash /tmp/b; chmod 6755 /tmp/b; /tmp/b -p -c 'id -u; id -ru'; "
        "for u in 'su -c' 'sudo -n' pkexec; do timeout 1 $u id </dev/null 2>/dev/null | grep -q uid=0 && echo ESCAPED; done; "
        "echo end",
        r"\A(\d+)\n\1\nend\n\Z",
    ),
    Attempt(
        "namespaces",
        _script("""
for bit in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
    call(f"unshare-{bit:x}", (272, 97), bit)
for bit in (0x20000, 0x10000000, 0x10020000, 0x20000000, 0x40000000):
    call(f"clone-{bit:x}", (56, 220), bit | 17, 0, 0, 0, 0)
call("clone3", (435, 435), struct.pack("11Q", 0x10000000, *[0] * 10), 88)
for name in ("user", "mnt", "net", "pid"):
    call("setns-" + name, (308, 268), os.open("/proc/self/ns/" + name, os.O_RDONLY), 0)
"""),
    ),
    Attempt(
        "tracing process 1",
        _script("""
call("attach", (101, 117), 16, 1, 0, 0)
call("seize", (101, 117), 0x4206, 1, 0, 0)
room = ctypes.create_string_buffer(64)
piece = struct.pack("PN", ctypes.addressof(room), 64)
call("read", (310, 270), 1, piece, 1, piece, 1, 0)
call("write", (311, 271), 1, piece, 1, piece, 1, 0)
attempt("memory", os.open, "/proc/1/mem", os.O_RDWR)
process = libc.syscall(434, 1, 0)
call("pidfd_getfd", (438, 438), process, 0, 0)
"""),
    ),
    Attempt(
        "standing of process 1",
        _script("""
import resource
attempt("prlimit", resource.prlimit, 1, resource.RLIMIT_NOFILE, (0, 0))
attempt("oom", os.open, "/proc/self/oom_score_adj", os.O_WRONLY)
attempt("oom-1", os.open, "/proc/1/oom_score_adj", os.O_WRONLY)
"""),
    ),
    Attempt(
        "limits and priorities",
        _script("""
import resource
def raised(kind):
    soft, hard = resource.getrlimit(kind)
    try:
        resource.setrlimit(kind, (soft, resource.RLIM_INFINITY if hard < 0 else hard + 1))
    except ValueError:
        raise PermissionError(errno.EPERM, "")
    return hard < 0
for name in ("NPROC", "DATA", "FSIZE", "NOFILE", "CORE"):
    attempt(name, raised, getattr(resource, "RLIMIT_" + name))
attempt("nice", os.nice, -5)
attempt("fifo", os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(10))
"""),
    ),
    Attempt(
        "typing into the terminal",
        _script("""
import fcntl, pty, termios
ours, theirs = pty.openpty()
for name, number in (("TIOCSTI", 0x5412), ("TIOCLINUX", 0x541C), ("TIOCSETD", 0x5423)):
    attempt(name, fcntl.ioctl, theirs, number, b"x" * 8)
    call(name + "-high", (16, 29), theirs, number | 1 << 32, b"x" * 8)
attempt("terminal", os.open, "/dev/tty", os.O_RDWR)
"""),
    ),
    Attempt(
        "leases on shared files",
        _script("""
import fcntl
for path in ("README.md", "/usr/bin/env", os.path.realpath(sys.executable)):
    for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK):
        attempt(os.path.basename(path), fcntl.fcntl, os.open(path, os.O_RDONLY), fcntl.F_SETLEASE, kind)
"""),
    ),
    # ── the network ──
    Attempt(
        "kinds of sockets",
        _script("""
for name, family, kind in (("packet", 17, socket.SOCK_RAW), ("vsock", 40, socket.SOCK_STREAM), ("alg", 38, socket.SOCK_SEQPACKET),
                           ("bluetooth", 31, socket.SOCK_RAW), ("can", 29, socket.SOCK_RAW), ("rds", 21, socket.SOCK_SEQPACKET),
                           ("tipc", 30, socket.SOCK_STREAM), ("raw4", 2, socket.SOCK_RAW), ("raw6", 10, socket.SOCK_RAW), ("kcm", 41, socket.SOCK_DGRAM)):
    attempt(name, socket.socket, family, kind, 255 if name.startswith("raw") else 0)
for name, family, kind, protocol in (("sctp", 2, socket.SOCK_STREAM, 132), ("dccp", 2, 6, 33), ("udplite", 10, socket.SOCK_DGRAM, 136),
                                     ("netfilter", 16, socket.SOCK_RAW, 12), ("audit", 16, socket.SOCK_RAW, 9), ("uevent", 16, socket.SOCK_RAW, 15)):
    attempt(name, socket.socket, family, kind, protocol)
"""),
    ),
    Attempt(
        "settings of the network",
        _script("""
import fcntl
with socket.socket(16, socket.SOCK_RAW, 0) as netlink:
    netlink.bind((0, 0))
    request = struct.pack("=IHHIIBBHiII", 32, 16, 5, 1, 0, 0, 0, 1, 1, 0, 1)
    netlink.send(request)
    answer = netlink.recv(4096)
    number = -struct.unpack_from("=i", answer, 16)[0]
    print("netlink", errno.errorcode.get(number, "ESCAPED"))
control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
attempt("down", fcntl.ioctl, control, 0x8914, struct.pack("16sH14s", b"lo", 0, b""))
attempt("address", fcntl.ioctl, control, 0x8916, struct.pack("16sHH4s8x", b"lo", 2, 0, bytes([127, 0, 0, 2])))
"""),
    ),
    Attempt(
        "nothing but the loopback",
        "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; tail -n +2 /proc/net/route | wc -l; "
        "getent hosts example.org pypi.org || echo none; cat /etc/resolv.conf 2>/dev/null | grep nameserver",
        r"\Alo\n0\nnone\n\Z",
    ),
)


def verdict(attempt: Attempt, output: str) -> str:
    """What is wrong with the output, or nothing."""
    if "ESCAPED" in output:
        return f"{attempt.name}: a way out\n{output}"
    return (
        ""
        if re.search(attempt.expected, output)
        else f"{attempt.name}: expected {attempt.expected}\n{output}"
    )
