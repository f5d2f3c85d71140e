"""The system calls a sandbox goes without, refused by a seccomp filter.

Namespaces do not cover everything. A key belongs to a user of the machine, so a command could read
those of the user who runs the host process; a socket of the virtual machine's own family reaches
its owner whatever the network namespace says; a lease on a file that is shared makes whoever else
opens it wait for most of a minute. Of the rest, what no build or test needs and much of the
kernel's trouble came from is left out too. Refused calls answer as on a kernel without them, which
is what programs are prepared for.

The filter holds for process 1 and all it starts. On a processor it has no numbers for, there is none.
"""

import errno
import os
import struct
from typing import NamedTuple

from . import kernel


class _Processor(NamedTuple):
    audit: int
    """What the kernel calls it; calls in another convention, such as 32-bit ones, are refused."""
    socket: int
    fcntl: int
    refused: tuple[int, ...]


# add_key, request_key, keyctl, userfaultfd, bpf, perf_event_open; then those numbered alike everywhere:
# io_uring_setup, io_uring_enter, io_uring_register, memfd_secret
_ALIKE = (425, 426, 427, 447)
_PROCESSORS = {
    "x86_64": _Processor(0xC000003E, 41, 72, (248, 249, 250, 323, 321, 298, *_ALIKE)),
    "aarch64": _Processor(0xC00000B7, 198, 25, (217, 218, 219, 282, 280, 241, *_ALIKE)),
}
_FAMILIES = (1, 2, 10, 16)
"""Sockets of a path, of IPv4 and IPv6, and of the kernel's own notices: those that namespaces cover."""
_SET_LEASE = 1024
_X32 = 0x40000000  # x86_64's second set of numbers; none is as high elsewhere

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_CALL, _AUDIT, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_ALLOWED = 0x7FFF0000
_REFUSED = 0x00050000

_Instruction = tuple[int, int, int, int]
"""Operation, how many instructions to skip if true and if false, operand."""


def refuse_calls() -> None:
    """Install the filter; privileges must have been forbidden before."""
    processor = _PROCESSORS.get(os.uname().machine)
    if processor:
        kernel.filter_calls(b"".join(struct.pack("HBBI", *step) for step in _program(processor)))


def _program(processor: _Processor) -> list[_Instruction]:
    allowed = (_RETURN, 0, 0, _ALLOWED)
    missing = (_RETURN, 0, 0, _REFUSED | errno.ENOSYS)
    return [
        (_LOAD, 0, 0, _AUDIT),
        (_EQUAL, 1, 0, processor.audit),
        missing,
        (_LOAD, 0, 0, _CALL),
        (_AT_LEAST, 0, 1, _X32),
        missing,
        *(step for number in processor.refused for step in ((_EQUAL, 0, 1, number), missing)),
        (_EQUAL, 0, 4, processor.fcntl),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_EQUAL, 0, 1, _SET_LEASE),
        (_RETURN, 0, 0, _REFUSED | errno.EINVAL),
        allowed,
        (_EQUAL, 1, 0, processor.socket),
        allowed,
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *(step for family in _FAMILIES for step in ((_EQUAL, 0, 1, family), allowed)),
        (_RETURN, 0, 0, _REFUSED | errno.EAFNOSUPPORT),
    ]
