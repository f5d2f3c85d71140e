"""Commands that mean harm, and what becomes of them: escape, denial of service, staying behind.

A backend's test module inherits `Hostile` beside `Conformance`, gives the same `make`, and states in the class
variables what it does not promise. Everything here runs inside a sandbox and nowhere else, and every payload
ends by itself, after a count or a time, in case a wall is missing.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from attempts import ATTEMPTS, Attempt, python, verdict
from floods import FLOODS, FORK_BOMB, SPIN, Flood
from stage import SMALL, Body, Make, Play, Stage, gone_soon

from sera.errors import SandboxError
from sera.sandboxes.contract import Layer, Sandbox

SECRET = "sk-not-for-the-sandbox"
NEIGHBOUR_SECONDS = 2.0
WORK = python("import time; s=time.perf_counter(); sum(range(6_000_000)); print(time.perf_counter()-s)")
"""Some work for one processor, and the seconds it took."""
TRICKS = """
git config core.fsmonitor 'touch /tmp/ran-fsmonitor; false'
git config core.hooksPath /tmp/hooks; git config diff.external 'touch /tmp/ran-diff'
git config filter.evil.clean 'touch /tmp/ran-clean; cat'; git config filter.evil.process 'touch /tmp/ran-process'
git config filter.evil.required true; git config diff.evil.textconv 'touch /tmp/ran-textconv; cat'
git config diff.evil.command 'touch /tmp/ran-command'; git config core.pager 'touch /tmp/ran-pager; cat'
git config core.gitProxy 'touch /tmp/ran-proxy'; git config core.sshCommand 'touch /tmp/ran-ssh'
git config core.worktree /; git config core.attributesFile /tmp/attributes; git config core.alternateRefsCommand 'touch /tmp/ran-refs'
git config include.path /tmp/included; cp .git/config /tmp/included; cp .git/config ~/.gitconfig
echo '* filter=evil diff=evil merge=evil' | tee .gitattributes .git/info/attributes /tmp/attributes >/dev/null
mkdir -p /tmp/hooks .git/hooks /tmp/bin
for h in pre-commit post-index-change post-checkout reference-transaction fsmonitor-watchman; do
printf '#!/bin/sh\ntouch /tmp/ran-hook-%s\n' $h | tee .git/hooks/$h > /tmp/hooks/$h; done
printf '#!/bin/sh\ntouch /tmp/ran-git\n' > /tmp/bin/git; chmod +x .git/hooks/* /tmp/hooks/* /tmp/bin/git
export PATH=/tmp/bin:$PATH GIT_DIR=/etc GIT_EXTERNAL_DIFF='touch /tmp/ran-env' GIT_SSH_COMMAND='touch /tmp/ran-env2' LD_PRELOAD=/tmp/x.so
echo 'touch /tmp/ran-rc' > ~/.bashrc; export BASH_ENV=~/.bashrc ENV=~/.bashrc
echo seen > seen.txt
"""
"""Everything that could make git, or what takes the patch, run a program of the command's choice."""

RACER = """
import ctypes, fcntl, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
os.makedirs('d')
for n in range(40):
    open(f'd/f{n}', 'w').write('mine\\n')
os.symlink(sys.argv[1], '.git/x')
if os.fork():
    os._exit(0)
os.setsid()
signal.signal(signal.SIGCONT, lambda *_: None)
null = os.open('/dev/null', os.O_RDWR)
for n in range(3):
    os.dup2(null, n)
"""
WAKES = {
    "notices of files": """
watch = libc.inotify_init1(os.O_NONBLOCK)
for name in (b'.', b'd', b'package', b'README.md', b'tool.sh'):
    assert libc.inotify_add_watch(watch, name, 0x20 | 0x1) > 0
fcntl.fcntl(watch, fcntl.F_SETOWN, os.getpid())
fcntl.fcntl(watch, 10, int(signal.SIGCONT))
fcntl.fcntl(watch, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
""",
    "notices of directories": """
folders = [os.open(name, os.O_RDONLY) for name in ('.', 'd', 'package', '.git')]
for folder in folders:
    fcntl.fcntl(folder, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(folder, 10, int(signal.SIGCONT))
    fcntl.fcntl(folder, fcntl.F_NOTIFY, fcntl.DN_ACCESS | fcntl.DN_MULTISHOT | fcntl.DN_ATTRIB | fcntl.DN_CREATE)
""",
}
"""Ways in which a process that is stopped has the kernel wake it."""
EXCHANGE = """
while os.getppid() == 1:
    libc.renameat2(-100, b'd', -100, b'.git/x', 2)
"""


def make_closed(folder: Path) -> Path:
    """What `Hostile.closed` promises, to be mounted. Commands may be its owner, so that neither may read."""
    for number in range(40):
        (folder / f"f{number}").write_text(f"{SECRET}\n")
        (folder / f"f{number}").chmod(0)
    return folder


class Hostile(Stage):
    """Inherit and provide `make`, of scope `class`."""

    closed: ClassVar[str] = ""
    """A directory seen inside, with files `f0` to `f39` that hold `SECRET` and that no command may read."""

    not_promised: ClassVar[dict[str, str]] = {}
    """Names of attempts and floods that this backend does not hold off, with the reason."""
    expected: ClassVar[dict[str, str]] = {}
    """What attempts print where this backend answers in another way."""
    shown: ClassVar[frozenset[str]] = frozenset()
    """Names and files of the machine's that this backend cannot hide."""
    limits_watches: ClassVar[bool] = True
    """Whether one sandbox cannot take all of its neighbours' inotify instances."""
    bounds_unmapped_memory: ClassVar[bool] = True
    """Whether memory that no process has mapped is bounded, as it is with control groups."""
    shares_processors: ClassVar[bool] = True
    """Whether a neighbour keeps its share of the processors, as it does with control groups."""

    # ── getting out ───────────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
    def test_no_way_out(self, play: Play, attempt: Attempt) -> None:
        if attempt.name in self.not_promised:
            pytest.skip(self.not_promised[attempt.name])
        awaited = attempt._replace(expected=self.expected.get(attempt.name, attempt.expected))

        async def body(box: Sandbox) -> None:
            result = await box.run(attempt.command, 20)
            assert not verdict(awaited, result.output)

        play(body)

    def test_no_network(self, play: Play) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
            port = server.getsockname()[1]
            abstract.bind(f"\0sera-test-{os.getpid()}")
            abstract.listen()
            code = (
                "import socket,sys\n"
                f"for a in [('127.0.0.1',{port}),('192.0.2.1',80),('1.1.1.1',53)]:\n"
                "  try: socket.create_connection(a,1); print('connected',a)\n"
                "  except OSError as e: print(type(e).__name__)\n"
                "s=socket.socket(socket.AF_UNIX)\n"
                f"try: s.connect('\\0sera-test-{os.getpid()}'); print('connected abstract')\n"
                "except OSError as e: print(type(e).__name__)\n"
            )
            fetch = "import urllib.request as u; print(u.urlopen('http://localhost:8123/').status)"
            serve = "python -m http.server 8123 >/dev/null 2>&1 &"
            own = f'{serve} for i in $(seq 100); do python -c "{fetch}" 2>/dev/null && break; sleep 0.1; done'

            async def body(box: Sandbox) -> None:
                result = await box.run(python(code), 10)
                assert "connected" not in result.output
                assert result.output.count("\n") == 4
                assert (await box.run(own, 10)).output == "200\n"

            play(body)

    def test_nothing_of_the_host_is_seen(
        self, make: Make, layer: Layer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("SERA_TEST_API_KEY", SECRET)
        (tmp_path / "private").write_text(SECRET)
        home = Path.home()

        async def body(box: Sandbox) -> None:
            seen = await box.run("env; cat /proc/[0-9]*/environ /proc/self/environ | tr '\\0' '\\n'; set", 5)
            assert SECRET not in seen.output
            assert "API_KEY" not in seen.output
            found = await box.run(
                f"ls -A {tmp_path} 2>&1; cat {tmp_path}/private; ls -A /proc/1/root /proc/1/cwd", 5
            )
            assert SECRET not in found.output
            assert "private" not in found.output.replace("/private", "")
            names = (await box.run(f"ls -A {home} 2>/dev/null; ls -A /home/*/", 5)).output.split()
            assert not {".ssh", ".bashrc", ".profile", ".cache", ".gitconfig"} & set(names)
            listing = (await box.run("ls -A / /etc /mnt /dev /run", 5)).output.split()
            assert not {
                "shadow",
                "machine-id",
                "sudoers",
                "docker.sock",
                "sda",
                "vda",
                "mem",
                "kmsg",
                "sys",
            } & (set(listing) - self.shown)

        async def scene() -> None:
            async with make(layer, SMALL) as backend, backend.sandbox() as box:
                await body(box)

        asyncio.run(scene())

    def test_commands_hold_no_descriptors_of_ours(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            count = "import os; print(sorted(os.listdir('/proc/self/fd'), key=int))"
            for result in (await box.run(python(count), 5), await box.execute(["python", "-c", count], 5)):
                assert result.output == "['0', '1', '2', '3']\n"
            shell = await box.run("readlink /proc/$$/fd/*", 5)
            assert "socket" not in shell.output

        play(body)

    def test_rights_cannot_be_gained(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            for command in (
                "mount -t tmpfs none /mnt",
                "unshare -Ur true",
                "unshare -r mount -t tmpfs none /mnt",
                "echo x > /etc/passwd",
                "touch /usr/x",
                "mknod /tmp/sda b 8 0",
                "su -c id </dev/null",
                "echo c > /proc/sysrq-trigger",
                "echo 1 > /proc/sys/kernel/panic",
                "chroot / true",
                "mount -o remount,rw /usr",
                "umount /usr",
                "cp /bin/sh /tmp/s; chmod u+s /tmp/s; /tmp/s -p -c 'test $(id -u) = 0'",
                "echo -1000 > /proc/self/oom_score_adj",
                "nice -n -5 true 2>&1 | grep -v 'cannot set'",
                "hostname other",
            ):
                result = await box.run(f"({command}) >/dev/null 2>&1", 5)
                assert result.exit_code, command
            caps = await box.run("grep -E 'Cap(Prm|Eff|Bnd|Amb|Inh)|NoNewPrivs' /proc/self/status", 5)
            for line in caps.output.splitlines():
                name, value = line.split()
                if name == "NoNewPrivs:":
                    assert value == "1"
                elif name != "CapBnd:":
                    assert int(value, 16) == 0

        play(body)

    def test_what_belongs_to_the_machine(self, play: Play) -> None:
        """Namespaces cover neither keys, nor sockets between virtual machines, nor leases on files."""
        hidden = sorted({"/proc/keys", "/proc/key-users"} - self.shown)
        code = (
            "import ctypes,fcntl,os,socket\n"
            "call=ctypes.CDLL(None,use_errno=True).syscall\n"
            "numbers={'x86_64':(248,249,250,425,323),'aarch64':(217,218,219,425,282)}[os.uname().machine]\n"
            "print([call(n,0,0,0,0,0) for n in numbers])\n"
            "for family in (socket.AF_VSOCK,socket.AF_ALG):\n"
            "  try: socket.socket(family,socket.SOCK_STREAM); print('socket',family)\n"
            "  except OSError: pass\n"
            "for path in ('README.md','/run/sandbox/command','/run/sandbox/base.git/HEAD'):\n"
            "  for kind in (fcntl.F_RDLCK,fcntl.F_WRLCK):\n"
            "    try: fcntl.fcntl(os.open(path,os.O_RDONLY),fcntl.F_SETLEASE,kind); print('lease',path)\n"
            "    except OSError: pass\n"
            f"for path in {hidden}:\n"
            "  if os.path.exists(path): assert open(path).read()==''\n"
        )

        async def body(box: Sandbox) -> None:
            assert (await box.run(python(code), 5)).output == "[-1, -1, -1, -1, -1]\n"
            own = "import socket\nsocket.socketpair()\nfor f in (2,10,16): socket.socket(f,socket.SOCK_DGRAM)"
            assert (await box.run(python(own), 5)).exit_code == 0

        play(body)

    def test_links_out_of_the_tree(self, play: Play, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.write_text("untouched")

        async def body(box: Sandbox) -> None:
            await box.run(
                f"ln -s {outside} out; ln -s {tmp_path} dir; ln -s / root; ln -s ../../../../.. up", 5
            )
            paths = ["out", "dir/outside", f"root{outside}", f"up{outside}", str(outside)]
            for path in [*paths, f"/proc/1/root{outside}"]:
                with pytest.raises(OSError, match=r"."):
                    await box.read(path)
            for path in paths:  # may lead to the sandbox's own /tmp, and no further
                with contextlib.suppress(OSError):
                    await box.write(path, b"changed")

        play(body)
        assert outside.read_text() == "untouched"
        assert list(tmp_path.iterdir()) == [outside]

    def test_links_that_change_under_the_editor(self, play: Play, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text(SECRET)
        swap = (
            "import os,time\nend=time.time()+20\nos.makedirs('d',exist_ok=True)\n"
            f"targets=['README.md','{secret}','/etc/shadow','/proc/1/environ','/run/sandbox/command','/']\n"
            "i=0\nwhile time.time()<end:\n  i+=1\n  os.symlink(targets[i%6] if i%2 else 'README.md','new')\n"
            "  os.rename('new','race')\n  os.rename('d','e') if i%4==1 else None\n"
            f"  os.symlink('{tmp_path}','d') if i%4==2 else None\n"
            "  (os.unlink('d'),os.rename('e','d')) if i%4==3 else None\n"
        )

        async def body(box: Sandbox) -> None:
            await box.run(f"{python(swap)} >/dev/null 2>&1 &", 5)
            for number in range(40):
                with contextlib.suppress(OSError):
                    assert SECRET.encode() not in await box.read("race")
                with contextlib.suppress(OSError):
                    await box.write("race" if number % 2 else "d/file", b"by the editor")

        play(body)
        assert secret.read_text() == SECRET
        assert list(tmp_path.iterdir()) == [secret]

    @pytest.mark.parametrize("wake", WAKES.values(), ids=WAKES)
    def test_a_process_that_wakes_while_the_tree_is_read(self, play: Play, wake: str) -> None:
        async def body(box: Sandbox) -> None:
            assert SECRET not in (await box.run(f"cat {self.closed}/f0", 5)).output
            code = RACER + wake + EXCHANGE
            assert (await box.run(f"{python(code)} {self.closed}", 5)).exit_code == 0
            taken = tries = 0
            while tries < 40 or (taken <= 2 and tries < 600):  # on a busy machine most may be refused
                tries += 1
                with contextlib.suppress(SandboxError):  # a file of it may be refused to git too
                    assert SECRET not in await box.patch()
                    taken += 1
                await box.state()
            assert taken > 2
            assert (await box.run("echo on", 5)).output == "on\n"

        play(body)

    def test_tricks_when_the_patch_is_taken(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            await box.run(TRICKS, 10)
            patch = await box.patch()
            assert "+seen" in patch
            assert "root:" not in patch
            assert await box.state()
            assert (await box.run("\\builtin echo /tmp/ran-*", 5)).output == "/tmp/ran-*\n"

        play(body)

    def test_output_that_speaks_to_a_terminal(self, play: Play) -> None:
        """It is text like any other: nothing on the way acts on it, and it comes back as it was."""
        text = "\x1b]0;title\x07\x1b[2J\x1b]52;c;ZWNobyBoaQ==\x07\x9b31m\x1bP+q\x1b\\ \r\x08\x00end\n"

        async def body(box: Sandbox) -> None:
            await box.write("text", text.encode())
            assert (await box.run("cat text", 5)).output == text

        play(body)

    def test_neighbours_do_not_see_each_other(self, make: Make, layer: Layer) -> None:
        leave = (
            "import ctypes,os,socket,time\n"
            "libc=ctypes.CDLL(None)\nshm=libc.shmget(4711,4096,0o1666)\n"
            "s=socket.socket(socket.AF_UNIX); s.bind('\\0sera-neighbour'); s.listen()\n"
            "t=socket.create_server(('127.0.0.1',8321))\n"
            "mq=libc.mq_open(b'/sera-queue',66,0o666,None)\nopen('/tmp/up','w').close()\ntime.sleep(20)"
        )
        look = (
            "import ctypes,socket\nlibc=ctypes.CDLL(None)\n"
            "print(libc.shmget(4711,0,0),libc.mq_open(b'/sera-queue',0))\n"
            "for f,a in ((socket.AF_UNIX,'\\0sera-neighbour'),(socket.AF_INET,('127.0.0.1',8321))):\n"
            "  try: socket.socket(f).connect(a); print('ESCAPED',a)\n"
            "  except OSError: print('refused')\n"
        )
        marker = f"95{os.getpid()}"

        async def scene() -> None:
            async with make(layer, SMALL) as backend, backend.sandbox() as one, backend.sandbox() as two:
                places = "/tmp /var/tmp /dev/shm ~ ."
                await one.run(
                    f"for d in {places}; do echo secret > $d/left-by-one; done; sleep {marker} &", 5
                )
                await one.run(f"{python(leave)} & while [ ! -e /tmp/up ]; do sleep 0.02; done", 5)
                found = await two.run(f"find {places} -name 'left-by-*'; pgrep -f {marker}; kill -9 -1", 5)
                assert "left" not in found.output
                assert (await two.run(python(look), 5)).output == "-1 -1\nrefused\nrefused\n"
                assert (await one.run("pgrep -cx sleep; cat /tmp/left-by-one", 5)).output == "1\nsecret\n"

        asyncio.run(scene())

    # ── using up ──────────────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.name)
    def test_what_is_used_up_is_ones_own(
        self, flood: Flood, play: Play, play_beside: Callable[[Body], float]
    ) -> None:
        if flood.name in self.not_promised:
            pytest.skip(self.not_promised[flood.name])
        if flood.unmapped and not self.bounds_unmapped_memory:
            pytest.skip("memory that no process has mapped is bounded by control groups alone")

        async def check(box: Sandbox) -> None:
            assert flood.problem(await box.run(flood.command, flood.seconds)) == ""
            assert (await box.run("echo back", 10)).output.endswith("back\n")
            assert await box.read("README.md") == b"read me\n"

        if flood.beside:
            assert play_beside(check) < NEIGHBOUR_SECONDS
        else:
            play(check)

    def test_a_neighbour_keeps_its_share_of_the_processors(self, make: Make, layer: Layer) -> None:
        if not self.shares_processors:
            pytest.skip("processors are shared out by control groups")

        async def scene() -> None:
            async with make(layer, SMALL) as backend, backend.sandbox() as bad, backend.sandbox() as good:
                alone = min([float((await good.run(WORK, 30)).output) for _ in range(3)])
                busy = asyncio.create_task(bad.run(SPIN, 5))
                await asyncio.sleep(0.5)
                beside = min([float((await good.run(WORK, 30)).output) for _ in range(2)])
                assert not busy.done()
                await busy
                # 48 busy processes on as many sessions against one: without shares it would wait for dozens
                assert beside < 4 * alone + 0.3, (alone, beside)

        asyncio.run(scene())

    def test_deep_directories(self, play: Play) -> None:
        dig = (
            "import os\nfor n in range(1500):\n  os.mkdir('d'*20); os.chdir('d'*20)\nopen('end','w').close()"
        )

        async def body(box: Sandbox) -> None:
            assert (await box.run(python(dig), 20)).exit_code == 0
            await box.run("echo seen > seen.txt", 5)
            assert "+seen" in await box.patch()
            assert await box.state()
            assert len(await box.list(".", 5000)) > 10
            assert (await box.run("rm -rf dddd*; ls", 20)).exit_code == 0

        play(body)

    def test_fork_bomb_is_gone_afterwards(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            result = await box.run(FORK_BOMB, 1)
            assert result.timed_out or result.exit_code
            assert int((await box.run("ps -e --no-headers | wc -l", 10)).output) < 6

        play(body)

    def test_output_is_limited(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            size = 200_000_000
            start = time.monotonic()
            result = await box.run(f"echo first; head -c {size} /dev/zero; echo last", 30)
            assert time.monotonic() - start < 20
            assert result.output.startswith("first\n")
            assert result.output.endswith("last\n")
            assert len(result.output) == SMALL.output_bytes
            assert result.dropped_bytes == size + len("first\nlast\n") - SMALL.output_bytes
            await box.run("yes & sleep 0.1", 5)
            assert "here" in (await box.run("sleep 0.1; kill %1 $!; echo here", 5)).output

        play(body)

    def test_watching_files_is_limited(self, make: Make, layer: Layer) -> None:
        if not self.limits_watches:
            pytest.skip("the machine counts inotify instances by user, and its users are the same in all")
        code = (
            "import ctypes\nlibc=ctypes.CDLL(None)\nn=0\n"
            "while n<1000 and libc.inotify_init()>=0: n+=1\nprint(n)"
        )

        async def scene() -> None:
            async with make(layer, SMALL) as backend, backend.sandbox() as one, backend.sandbox() as two:
                await one.run(f"{python(code)} > /tmp/n; {python(code + '; input()')} < <(sleep 30) &", 5)
                assert 0 < int(await one.read("/tmp/n")) <= 64
                assert int((await two.run(python(code), 5)).output) > 0

        asyncio.run(scene())

    # ── staying behind ────────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize(
        "command",
        [
            "sleep {0} &",
            "nohup setsid sleep {0} >/dev/null 2>&1 & disown",
            "(setsid sh -c '(sleep {0} &) &' &)",
            "sh -c 'trap \"\" HUP INT TERM QUIT; sleep {0}' &",
            "sleep {0} & sleep 0.1; kill -STOP $!",
            "exec setsid sleep {0}",
        ],
        ids=["job", "nohup", "double fork", "deaf", "stopped", "in place of the shell"],
    )
    def test_no_daemon_outlives_the_sandbox(self, make: Make, layer: Layer, command: str) -> None:
        marker = f"94{os.getpid()}"

        async def scene() -> None:
            async with make(layer, SMALL) as backend:
                async with backend.sandbox() as box:
                    started = await box.run(f"{command.format(marker)}\nsleep 0.1", 2)
                    seen = await box.run(f"pgrep -f {marker} | wc -l", 5)
                    assert int(seen.output) > 0 or started.timed_out
                assert gone_soon(marker)

        asyncio.run(scene())

    def test_nothing_is_scheduled_for_later(self, play: Play) -> None:
        command = (
            "echo '* * * * * touch /tmp/x' | crontab - 2>/dev/null && crontab -l && echo ESCAPED; "
            "echo touch /tmp/x | at now + 1 minute 2>/dev/null && echo ESCAPED; "
            "systemd-run --user true 2>/dev/null && echo ESCAPED; "
            "for d in /etc/cron.d /var/spool/cron/crontabs /var/spool/cron /etc/init.d /etc/systemd/system "
            "/etc/profile.d /usr/lib/systemd/system /run/systemd/system; do "
            "touch $d/sera 2>/dev/null && echo ESCAPED $d; done; echo end"
        )

        async def body(box: Sandbox) -> None:
            assert (await box.run(command, 10)).output == "end\n"

        play(body)

    def test_nothing_written_is_there_next_time(self, make: Make, layer: Layer) -> None:
        places = "/tmp /var/tmp /dev/shm ~ . .git /run"
        write = f"for d in {places}; do echo x > $d/left-behind; done 2>/dev/null; echo 'echo HI' >> ~/.bashrc; echo 'HI' > README.md"

        async def scene() -> None:
            async with make(layer, SMALL) as backend:
                async with backend.sandbox() as box:
                    await box.run(write, 5)
                async with backend.sandbox() as box:
                    look = f"for d in {places}; do ls $d/left-behind; done 2>/dev/null; cat README.md; bash -ic :"
                    assert "left" not in (await box.run(look, 5)).output
                    assert await box.read("README.md") == b"read me\n"

        asyncio.run(scene())
        assert str(layer.tree) not in Path("/proc/self/mountinfo").read_text()
        assert (layer.tree / "README.md").read_text() == "read me\n"
        assert not list(layer.tree.rglob("left-behind"))

    def test_killing_process_1(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            signals = "for s in $(seq 1 64); do kill -$s 1 2>/dev/null; done; echo survived"
            assert (await box.run(signals, 5)).output == "survived\n"
            probe = (
                "cat /proc/1/environ /proc/1/mem /proc/1/maps; ls /proc/1/fd; kill -9 -- -1; echo unreached"
            )
            await box.run(probe, 5)
            assert (await box.run("echo alive", 5)).output == "alive\n"
            assert await box.read("README.md") == b"read me\n"

        play(body)

    def test_a_killed_read_is_an_error(self, play: Play) -> None:
        killer = (
            "import os,signal,time\nend=time.time()+5\nwhile time.time()<end:\n"
            "  try: os.kill(-1,signal.SIGKILL)\n  except OSError: pass"
        )

        async def body(box: Sandbox) -> None:
            content = b"x" * 1_000_000
            await box.write("large", content)
            await box.run(f"setsid {python(killer)} & sleep 0.2", 5)
            for _ in range(60):
                with contextlib.suppress(OSError):
                    assert await box.read("large") == content

        play(body)
