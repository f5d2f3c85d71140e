"""The system calls a sandbox goes without, refused by seccomp filters.

Namespaces do not cover everything. A key belongs to a user of the machine, so a command could read
those of the user who runs the host process; a socket of the virtual machine's own family reaches
its owner whatever the network namespace says; a lease on a file that is shared makes whoever else
opens it wait for most of a minute. Such calls, and what no build or test needs and much of the
kernel's trouble came from, are *missing*: they answer as on a kernel without them, which programs
are prepared for. This filter holds for process 1 and all it starts.

A second filter holds for commands alone. It *forbids* what the kernel allows to nobody without privileges,
so that a mistake in the kernel's own check of them does not matter: mounting, namespaces, modules,
typing into a terminal (`TIOCSTI`). `docs/security.md` compares both with Docker's.

On a processor it has no numbers for, there is no filter.
"""

import errno
import functools
import os
import struct
from collections.abc import Iterable

from . import kernel

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""What the kernel calls a processor; calls in another convention, such as 32-bit ones, are refused."""
_COLUMNS = tuple(_AUDIT)

_MISSING = {
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, None),
    "nfsservctl": (180, 42),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_secret": (447, 447),
}
_FORBIDDEN = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_by_handle_at": (304, 265),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "iopl": (172, None),
    "ioperm": (173, None),
    "vhangup": (153, 58),
    "kcmp": (312, 272),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
}
_SOCKET, _FCNTL = (41, 198), (72, 25)
_IOCTL, _CLONE, _CLONE3, _PRLIMIT = (16, 29), (56, 220), (435, 435), (302, 261)
_FAMILIES = (1, 2, 10, 16)
"""Sockets of a path, of IPv4 and IPv6, and of the kernel's own notices: those that namespaces cover."""
_PROTOCOLS = (0, 1, 6, 17, 58)
"""Of those: the family's own, ICMP, TCP, UDP. Asking for another has the kernel load a module."""
_SET_LEASE = 1024
_TERMINAL = (0x5412, 0x541C, 0x5423)
"""TIOCSTI and TIOCLINUX type into a terminal or paste into it; TIOCSETD loads line disciplines."""
_NAMESPACES = 0x7E020000
"""Every flag of `clone` that makes a namespace. `clone3` hides its flags in memory, so it is missing."""
_PROCESS_1 = 1
_X32 = 0x40000000  # x86_64's second set of numbers; none is as high elsewhere

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CALL, _CONVENTION, _ARGUMENTS, _ARGUMENT_BYTES = 0, 4, 16, 8
_ALLOW = (_RETURN, 0, 0, 0x7FFF0000)

_Instruction = tuple[int, int, int, int]
"""Operation, how many instructions to skip if true and if false, operand."""
_Numbers = tuple[int | None, int | None]
"""Of a call, by processor as in `_COLUMNS`; None where it does not exist."""


def refuse_calls() -> None:
    """Install the filter of a whole sandbox; privileges must have been forbidden before."""
    _install(_of_sandbox(os.uname().machine))


def refuse_calls_to_commands() -> None:
    """Install the filter of commands, on top of the sandbox's."""
    _install(_of_commands(os.uname().machine))


def prepare() -> None:
    """Put both together now, so that no sandbox has to."""
    _of_sandbox(os.uname().machine)
    _of_commands(os.uname().machine)


def _install(program: bytes) -> None:
    if program:
        kernel.filter_calls(program)


@functools.cache
def _of_sandbox(machine: str) -> bytes:
    rules = [_always(numbers, errno.ENOSYS) for numbers in _MISSING.values()]
    rules += [_with_values(_FCNTL, 1, (_SET_LEASE,), errno.EINVAL)]
    rules += [_sockets()]
    return _program(machine, rules)


@functools.cache
def _of_commands(machine: str) -> bytes:
    rules = [_always(numbers, errno.EPERM) for numbers in _FORBIDDEN.values()]
    rules += [_always(_CLONE3, errno.ENOSYS)]
    rules += [_with_bits(_CLONE, 0, _NAMESPACES, errno.EPERM)]
    rules += [_with_values(_IOCTL, 1, _TERMINAL, errno.EPERM)]
    rules += [_with_values(_PRLIMIT, 0, (_PROCESS_1,), errno.EPERM)]
    return _program(machine, rules)


# ── rules ─────────────────────────────────────────────────────────────────────────────────────────

_Rule = tuple[_Numbers, list[_Instruction]]
"""Of which call, and what decides on it; the last instruction returns."""


def _refuse(error: int) -> _Instruction:
    return (_RETURN, 0, 0, 0x00050000 | error)


def _load(argument: int) -> _Instruction:
    """The lower half of an argument: all that the kernel looks at of those asked about here."""
    return (_LOAD, 0, 0, _ARGUMENTS + _ARGUMENT_BYTES * argument)


def _always(call: _Numbers, error: int) -> _Rule:
    return call, [_refuse(error)]


def _with_values(call: _Numbers, argument: int, values: Iterable[int], error: int) -> _Rule:
    tests = [step for value in values for step in ((_EQUAL, 0, 1, value), _refuse(error))]
    return call, [_load(argument), *tests, _ALLOW]


def _sockets() -> _Rule:
    """Of these families and these protocols alone."""
    families = [(_EQUAL, len(_FAMILIES) - n, 0, family) for n, family in enumerate(_FAMILIES)]
    protocols = [step for number in _PROTOCOLS for step in ((_EQUAL, 0, 1, number), _ALLOW)]
    other_family, other_protocol = _refuse(errno.EAFNOSUPPORT), _refuse(errno.EPROTONOSUPPORT)
    return _SOCKET, [_load(0), *families, other_family, _load(2), *protocols, other_protocol]


def _with_bits(call: _Numbers, argument: int, bits: int, error: int) -> _Rule:
    return call, [_load(argument), (_ANY_BIT, 0, 1, bits), _refuse(error), _ALLOW]


def _program(machine: str, rules: Iterable[_Rule]) -> bytes:
    """The filter as the kernel reads it; empty for a processor whose numbers are not known."""
    if machine not in _AUDIT:
        return b""
    steps = [
        (_LOAD, 0, 0, _CONVENTION),
        (_EQUAL, 1, 0, _AUDIT[machine]),
        _refuse(errno.ENOSYS),
        (_LOAD, 0, 0, _CALL),
        (_AT_LEAST, 0, 1, _X32),
        _refuse(errno.ENOSYS),
    ]
    column = _COLUMNS.index(machine)
    for call, body in rules:
        number = call[column]
        if number is not None:
            steps += [(_EQUAL, 0, len(body), number), *body]
    return b"".join(struct.pack("HBBI", *step) for step in [*steps, _ALLOW])
