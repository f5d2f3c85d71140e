"""Floods: what uses up memory, processes, disk or attention, and where each must end.

Every flood ends by itself, at a count that a machine survives, and prints how far it came.
"""

import re
from typing import NamedTuple

from attempts import python

from sera.sandboxes.contract import CommandResult

FORK_BOMB = "bomb() { [ $1 -gt 0 ] && { bomb $(($1 - 1)) | bomb $(($1 - 1)) & }; }; bomb 9; sleep 30"
"""At most 1,023 processes."""
MEMORY_HOG = "x=bytearray(64<<20)\nwhile len(x) < 2<<30: x += bytes([1]) * (16 << 20)\nprint('ALL')"
MEMORY_HERD = (
    "import os,time\nfor _ in range(8):\n  if os.fork()==0:\n"
    "    x=os.urandom(1<<20)*64\n    time.sleep(2)\n    os._exit(0)\nfor _ in range(8): os.wait()"
)
SPIN = "for i in $(seq 48); do setsid sh -c 'while :; do :; done' & done; sleep 30"


class Flood(NamedTuple):
    """One way to use up what others need."""

    name: str
    command: str
    expected: str = ""
    """What the output must match; empty: the command must have been ended for its memory."""
    seconds: float = 15.0
    unmapped: bool = False
    """Takes memory that no process has mapped."""
    beside: bool = True
    """Whether a neighbour is timed meanwhile."""

    def problem(self, result: CommandResult) -> str:
        """What is wrong with the outcome, or nothing."""
        if not self.expected:
            return "" if result.limit == "memory" else f"not ended for its memory: {result}"
        return "" if re.search(self.expected, result.output) else f"expected {self.expected}: {result}"


def _count(setup: str, step: str, most: int) -> str:
    """A script that repeats a step until it fails, at most so often, and prints how often it worked."""
    return python(
        f"import ctypes,fcntl,os,socket,threading,time\nlibc=ctypes.CDLL(None,use_errno=True)\nkept=[]\n{setup}\n"
        f"n=0\ntry:\n  while n<{most}:\n    {step}\n    n+=1\nexcept (OSError,RuntimeError) as e: pass\n"
        "print(n, flush=True)\nos._exit(0)"
    )


def _filling(*places: str) -> str:
    """Five files of 40 MB, by turns in one place and the other."""
    one, two = places
    return (
        f"for i in 1 2 3 4 5; do [ $((i % 2)) = 1 ] && d={one} || d={two}; "
        "head -c 40M /dev/zero > $d/fill$i || echo failed $i; done 2>/dev/null"
    )


def _below(bound: int) -> str:
    """Matches a number from 1 to below the bound, which is a power of ten."""
    return rf"\A[1-9]\d{{0,{len(str(bound)) - 2}}}\n\Z"


_CHECK = "\n  if r<0: raise OSError(ctypes.get_errno(),'')\n  return r"
FLOODS = (
    Flood("fork bomb", FORK_BOMB, r"unavailable", 1.0),
    Flood(
        "processes",
        _count("", "pid=os.fork()\n    if pid==0: time.sleep(20); os._exit(0)", 500),
        _below(100),
    ),
    Flood(
        "zombies",
        _count("", "pid=os.fork()\n    if pid==0: os._exit(0)", 500),
        _below(100),
    ),
    Flood(
        "threads",
        _count("", "t=threading.Thread(target=time.sleep,args=(20,)); t.start()", 500),
        _below(100),
    ),
    Flood("memory", python(MEMORY_HOG)),
    Flood("memory of many", python(MEMORY_HERD)),
    Flood("memory of the shell", "x=({1..9000000}); echo ${#x[@]}"),
    Flood(
        "files in memory",
        _count(
            "piece=bytes(1<<20)",
            "f=os.memfd_create('x'); kept.append(f); [os.write(f,piece) for _ in range(32)]",
            28,
        ),
        unmapped=True,
    ),
    Flood(
        "shared memory",
        _count(
            "libc.shmat.restype=ctypes.c_void_p\nlibc.shmat.argtypes=[ctypes.c_int,ctypes.c_void_p,ctypes.c_int]\n"
            "libc.shmdt.argtypes=[ctypes.c_void_p]\n"
            "def segment():\n  r=libc.shmget(0,32<<20,0o1600)\n  if r<0: raise OSError\n"
            "  at=libc.shmat(r,None,0); ctypes.memset(at,1,32<<20); libc.shmdt(at)",
            "segment()",
            28,
        ),
        r"\A([1-9]\n)?\Z",  # refused at the limit on memory, or killed just below
        unmapped=True,
    ),
    Flood(
        "socket buffers",
        _count(
            "piece=bytes(100_000)\ndef fill(s):\n  s.setblocking(False)\n  try:\n    while True: s.send(piece)\n"
            "  except BlockingIOError: pass",
            "a,b=socket.socketpair(); kept.append((a,b)); [s.setsockopt(socket.SOL_SOCKET,socket.SO_SNDBUF,1<<20) for s in (a,b)]; fill(a); fill(b)",
            1900,
        ),
        r"\A([1-9]\d*\n)?\Z",
        unmapped=True,
    ),
    Flood(
        "pipes",
        _count(
            "piece=bytes(1<<20)",
            "r,w=os.pipe(); kept.append(w); os.set_blocking(w,False); os.write(w,piece)",
            5000,
        ),
        r"\A[1-9]\d{2,3}\n\Z",
    ),
    Flood("open files", _count("", "kept.append(os.open('/dev/null',os.O_RDONLY))", 50_000), r"\A40\d\d\n\Z"),
    Flood("disk", _filling(".", "/var/tmp"), r"failed 2\nfailed 3\nfailed 4\nfailed 5\n\Z"),
    Flood("files in /dev/shm", _filling("/dev/shm", "/tmp"), r"failed 2\nfailed 3\nfailed 4\nfailed 5\n\Z"),
    Flood(
        "sparse files",
        "for f in a b c; do truncate -s 10G $f; stat -c %s $f; done 2>/dev/null",
        r"\A(0\n){3}\Z",
        beside=False,
    ),
    Flood(
        "number of files",
        _count("os.mkdir('m')", "open(f'm/{n}','w').close()", 20_000),
        r"\A[12]\d{2,3}\n\Z",
    ),
    Flood("directories", _count("", "os.mkdir(f'/tmp/{n}')", 20_000), r"\A[12]\d{2,3}\n\Z"),
    Flood("output", "head -c 100000000 /dev/zero; echo end", r"end\n\Z"),
    Flood(
        "core files",
        "ulimit -c unlimited 2>/dev/null; cd /tmp; sh -c 'kill -SEGV $$' 2>/dev/null; ls | grep -c core",
        r"0\n\Z",
        beside=False,
    ),
    Flood(
        "terminals",
        _count("import pty", "kept.append(pty.openpty())", 500),
        _below(1000),
    ),
    Flood(
        "watches",
        _count(f"def watch():\n  r=libc.inotify_init(){_CHECK}", "watch()", 1000),
        _below(1000),
    ),
    Flood(
        "message queues",
        _count(f"def queue():\n  r=libc.msgget(0,0o600){_CHECK}", "queue()", 1000),
        _below(1000),
    ),
    Flood(
        "semaphores",
        _count(f"def some():\n  r=libc.semget(0,250,0o600){_CHECK}", "some()", 1000),
        _below(1000),
    ),
)
