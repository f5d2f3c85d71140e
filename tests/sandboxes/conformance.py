"""What every sandbox backend must pass: the contract, and commands that mean harm.

A backend's test module inherits `Conformance` and gives a fixture `make`: a function of a layer and
limits that returns a backend. Commands here are hostile: they run inside a sandbox and nowhere else.
"""

import asyncio
import contextlib
import os
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from sera.errors import SandboxError
from sera.sandboxes.contract import Backend, Layer, Limits, Sandbox

Make = Callable[[Layer, Limits], Backend]
Body = Callable[[Sandbox], Awaitable[None]]
Play = Callable[[Body], None]

SMALL = Limits(
    memory_bytes=256 << 20,
    processes=64,
    disk_bytes=64 << 20,
    files=2000,
    output_bytes=64 << 10,
    read_bytes=1 << 20,
)
SECRET = "sk-not-for-the-sandbox"
NEIGHBOUR_SECONDS = 2.0
SCENE_SECONDS = 40.0
FORK_BOMB = "bomb() { bomb | bomb & }; bomb; sleep 30"
MEMORY_HOG = "x=bytearray(64<<20)\nwhile True: x += bytes([1]) * (16 << 20)"
MEMORY_HERD = (
    "import os,time\nfor _ in range(8):\n  if os.fork()==0:\n"
    "    x=os.urandom(1<<20)*64\n    time.sleep(30)\ntime.sleep(30)"
)

STATE_COMMANDS = (
    "echo one > new.txt",
    "echo two > new.txt",
    "chmod 700 new.txt",
    "rm README.md",
    "ln -s new.txt README.md",
    "rm -r package && mkdir package",
    "for n in $(seq 3000); do echo $n > package/$n; done",
    "head -c 6000000 /dev/zero > large.bin",
    "printf x >> large.bin",
)
"""Each leaves a tree unlike all before it; the last ones are more than process 1 looks at itself."""


def python(code: str) -> str:
    return f"python -c {shlex.quote(code)}"


def make_layer(tree: Path) -> Layer:
    files = {
        "README.md": b"read me\n",
        "package/__init__.py": b"",
        "package/module.py": b"def f():\n    return 1\n",
        "package/data.bin": bytes(range(256)) * 8,
        "tool.sh": b"#!/bin/sh\necho tool\n",
        ".gitignore": b"build/\n*.log\n",
        "docs/guide/deep.txt": b"deep\n",
    }
    for name, content in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tree / "tool.sh").chmod(0o755)
    (tree / "link").symlink_to("README.md")
    return Layer(tree=tree, commit=commit_all(tree))


def commit_all(tree: Path) -> str:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        command = ["git", "-C", str(tree), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "layer")
    return git("rev-parse", "HEAD").strip()


def alive_with(marker: str) -> list[str]:
    """Command lines on this host that contain the marker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in text and int(path.parent.name) != os.getpid():
            found.append(text)
    return found


def gone_soon(marker: str) -> bool:
    deadline = time.monotonic() + 3
    while alive_with(marker):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Conformance:
    """Inherit and provide `make`, of scope `class`."""

    @pytest.fixture(scope="class")
    @classmethod
    def layer(cls, tmp_path_factory: pytest.TempPathFactory) -> Layer:
        return make_layer(tmp_path_factory.mktemp("layer") / "tree")

    @pytest.fixture(scope="class")
    @classmethod
    def runner(cls) -> Iterator[asyncio.Runner]:
        with asyncio.Runner() as runner:
            yield runner

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, make: Make, layer: Layer, runner: asyncio.Runner) -> Iterator[Backend]:
        """One backend for all tests that do not need their own: what one does must not reach the next."""
        backend = make(layer, SMALL)
        yield runner.run(backend.__aenter__())
        runner.run(backend.__aexit__(None, None, None))

    @pytest.fixture
    def play(self, backend: Backend, runner: asyncio.Runner) -> Play:
        """Run a scene in a fresh sandbox."""

        def play(body: Body) -> None:
            async def scene() -> None:
                async with asyncio.timeout(SCENE_SECONDS), backend.sandbox() as box:
                    await body(box)

            runner.run(scene())

        return play

    @pytest.fixture
    def play_beside(self, backend: Backend, runner: asyncio.Runner) -> Callable[[str, float], float]:
        """Run a hostile command; the longest a neighbour's trivial command took meanwhile."""

        def play(command: str, seconds: float) -> float:
            async def neighbour(box: Sandbox, hostile: "asyncio.Task[object]") -> float:
                longest = 0.0
                while not hostile.done():
                    start = time.monotonic()
                    result = await box.run("echo fine", 10)
                    longest = max(longest, time.monotonic() - start)
                    assert result.output == "fine\n"
                    await asyncio.sleep(0.05)
                return longest

            async def scene() -> float:
                async with (
                    asyncio.timeout(SCENE_SECONDS),
                    backend.sandbox() as bad,
                    backend.sandbox() as good,
                ):
                    await good.run("true", 10)
                    hostile = asyncio.create_task(bad.run(command, seconds))
                    longest = await neighbour(good, hostile)
                    await hostile
                    assert (await bad.run("echo back", 10)).output.endswith("back\n")
                    return longest

            return runner.run(scene())

        return play

    # ── the shell ─────────────────────────────────────────────────────────────────────────────────

    def test_state_lasts(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            first = await box.run("cd docs; x=5; export Y=6; f() { echo f$1; }; (exit 7)", 5)
            assert (first.exit_code, first.output) == (7, "")
            second = await box.run("echo $? $PWD $x $Y $(f 1); sh -c 'echo $Y'", 5)
            assert second.output == f"7 {box.workdir}/docs 5 6 f1\n6\n"
            assert not second.shell_restarted

        play(body)

    @pytest.mark.parametrize(
        ("command", "output", "code"),
        [
            ("cat; read x; echo $?", "1\n", 0),
            ("printf 'a\\xff\\0b'", "a\ufffd\0b", 0),
            ("echo out; echo err >&2", "out\nerr\n", 0),
            ("cat <<'END'\n$x `y`\nEND", "$x `y`\n", 0),
            ("echo 'it'\"'\"'s' \\\n two", "it's two\n", 0),
            ("echo a\0b", "ab\n", 0),
            ("sleep 0.01 & wait; echo done", "done\n", 0),
            ("return 4", "", 4),
            ("echo ünï", "ünï\n", 0),
            ("", "", 0),
        ],
    )
    def test_output_and_status(self, play: Play, command: str, output: str, code: int) -> None:
        async def body(box: Sandbox) -> None:
            result = await box.run(command, 5)
            assert (result.output, result.exit_code) == (output, code)
            assert not result.timed_out
            assert not result.shell_restarted

        play(body)

    @pytest.mark.parametrize(
        "command",
        [
            "echo 'unbalanced",
            "if then",
            "set -u; echo $nothing",
            "exec >/dev/null 2>&1",
            "exec 2>&- 1>&-",
            "exec </dev/zero",
            "mkdir gone; cd gone; rmdir ../gone",
            "trap 'echo trapped' INT EXIT ERR",
            "set -x; set -v",
            "IFS=0123456789",
            "alias echo=false; PROMPT_COMMAND=false; PS1=prompt",
            "kill -STOP $BASHPID & kill -INT $$; kill -TERM $$",
            "ulimit -n 8",
            "x() { x; }; set -o posix",
            "function . { :; }; alias .=false; shopt -s expand_aliases",
        ],
    )
    def test_the_shell_goes_on(self, play: Play, command: str) -> None:
        async def body(box: Sandbox) -> None:
            await box.run(command, 5)
            result = await box.run("set +x +v; unalias -a; \\echo back", 5)
            assert result.output.endswith("back\n")

        play(body)

    @pytest.mark.parametrize(
        ("command", "code"),
        [
            ("exit 3", 3),
            ("exec true", 0),
            ("set -e; false", 1),
            ("kill -9 $$", 137),
            ("exec sh -c 'exit 5'", 5),
        ],
    )
    def test_a_new_shell_takes_the_place(self, play: Play, command: str, code: int) -> None:
        async def body(box: Sandbox) -> None:
            await box.run("cd docs; x=1", 5)
            result = await box.run(f"echo said; {command}", 5)
            assert (result.exit_code, result.output, result.shell_restarted) == (code, "said\n", True)
            after = await box.run('echo "$PWD $x."', 5)
            assert after.output == f"{box.workdir}/docs .\n"
            assert not after.shell_restarted

        play(body)

    def test_long_commands_and_arguments(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            long = "x" * 200_000
            result = await box.run(f"y={long}; echo ${{#y}}", 10)
            assert result.output == "200000\n"
            executed = await box.execute(["echo", "x" * 300_000], 5)
            assert executed.exit_code == 126

        play(body)

    # ── time ──────────────────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize(
        "command",
        [
            "sleep 30; echo not reached",
            "while :; do :; done",
            "while :; do sleep 0.01; done",
            "yes | cat | cat >/dev/null",
            "sleep 30 | sleep 30",
            "(trap '' INT TERM; while :; do sleep 1; done)",
            "tail -f /dev/null & wait",
            "cat /dev/zero >/dev/null",
            "kill -STOP $$",
        ],
    )
    def test_a_command_that_outlives_its_time(self, play: Play, command: str) -> None:
        async def body(box: Sandbox) -> None:
            await box.run("cd docs; x=kept", 5)
            start = time.monotonic()
            result = await box.run(f"echo begun; {command}", 0.3)
            assert time.monotonic() - start < 4
            assert (result.timed_out, result.exit_code, result.output) == (True, None, "begun\n")
            after = await box.run("echo $x; ps -eo comm= | grep -vE 'bash|ps|grep'", 5)
            assert after.output == "kept\n"

        play(body)

    @pytest.mark.parametrize("command", ["trap '' INT; while :; do :; done", "exec sleep 30"])
    def test_a_shell_that_does_not_come_back(self, play: Play, command: str) -> None:
        async def body(box: Sandbox) -> None:
            result = await box.run(f"cd docs; {command}", 0.3)
            assert (result.timed_out, result.shell_restarted) == (True, True)
            assert (await box.run("echo here", 5)).output == "here\n"

        play(body)

    def test_daemons_stay_until_the_end(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            daemon = (
                "nohup setsid sh -c 'while :; do sleep 0.05; echo tick >> /tmp/ticks; done' >/dev/null 2>&1 &"
            )
            start = time.monotonic()
            assert (await box.run(f"{daemon}\necho started", 5)).output == "started\n"
            assert time.monotonic() - start < 2
            assert (await box.run("sleep 30", 0.2)).timed_out
            result = await box.run("rm -f /tmp/ticks; sleep 0.4; grep -c tick /tmp/ticks", 5)
            assert int(result.output) >= 1
            later = "(sleep 0.2; echo late) & echo early"
            assert (await box.run(later, 5)).output == "early\n"
            assert (await box.run("sleep 0.5", 5)).output == "late\n"

        play(body)

    # ── programs ──────────────────────────────────────────────────────────────────────────────────

    def test_execute(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            await box.run("cd /; export LEAK=1", 5)
            result = await box.execute(["sh", "-c", "pwd; echo $LEAK $EXTRA; exit 9"], 5, {"EXTRA": "e"})
            assert (result.exit_code, result.output) == (9, f"{box.workdir}\ne\n")
            assert (await box.execute(["no-such-program"], 5)).exit_code == 127
            assert (await box.execute(["cat"], 5)).output == ""
            slow = await box.execute(["sh", "-c", "setsid sleep 31 & sleep 30"], 0.3)
            assert (slow.timed_out, slow.exit_code) == (True, None)
            quick = await box.execute(["sh", "-c", "setsid sleep 31 & echo left"], 5)
            assert (quick.exit_code, quick.output) == (0, "left\n")
            assert (await box.run("pgrep sleep", 5)).output == ""
            assert "Python 3" in (await box.execute(["python", "-V"], 5)).output

        play(body)

    # ── files ─────────────────────────────────────────────────────────────────────────────────────

    def test_read_and_write(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            assert await box.read("README.md") == b"read me\n"
            assert await box.read(f"{box.workdir}/package/data.bin") == bytes(range(256)) * 8
            await box.write("tool.sh", b"#!/bin/sh\necho new\n")
            assert (await box.run("./tool.sh", 5)).output == "new\n"
            await box.write("a/b/c.txt", b"\0\xff" * 1000)
            assert await box.read("a/b/c.txt") == b"\0\xff" * 1000
            await box.write("a/b/c.txt", b"")
            assert await box.read("a/b/c.txt") == b""
            await box.write("link", b"through\n")
            assert await box.read("README.md") == b"through\n"

        play(body)

    def test_paths_that_cannot_be_read(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            setup = (
                "mkfifo fifo; ln -s loop loop; ln -s /etc/shadow shadow; touch locked; chmod 0 locked; "
                "head -c 3000000 /dev/zero > large; ln -s /proc/1/environ environ"
            )
            await box.run(setup, 5)
            for path, kinds in {
                "missing": FileNotFoundError,
                "package": IsADirectoryError,
                "README.md/x": NotADirectoryError,
                "locked": PermissionError,
                "shadow": (FileNotFoundError, PermissionError),
                "fifo": OSError,
                "loop": OSError,
                "large": OSError,
                "/dev/zero": OSError,
                "environ": OSError,
                "/proc/1/mem": OSError,
                "/proc/kmsg": OSError,
                "nul\0": OSError,
                "x" * 5000: OSError,
                "x" * 50_000_000: OSError,
                "\udcff": OSError,
                "a\ud800": OSError,
                "": OSError,
            }.items():
                with pytest.raises(kinds):
                    await box.read(path)
            assert await box.read("README.md") == b"read me\n"

        play(body)

    def test_paths_that_cannot_be_written(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            await box.run("mkfifo fifo; ln -s /etc/passwd passwd; ln -s /usr/bin/evil evil", 5)
            for path in (
                "fifo",
                "passwd",
                "evil",
                "/etc/x",
                "/x",
                "/proc/sys/kernel/hostname",
                "package",
                "/dev/null",
            ):
                with pytest.raises(OSError, match=r".") as caught:
                    await box.write(path, b"x")
                assert not isinstance(caught.value, SandboxError)
            with pytest.raises(OSError, match=r"."):
                await box.write("huge", b"x" * (70 << 20))

        play(body)

    def test_a_full_disk_spares_what_was_there(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            await box.run("head -c 1G /dev/zero > /tmp/fill", 20)
            with pytest.raises(OSError, match=r"."):
                await box.write("README.md", b"y" * 500_000)
            assert await box.read("README.md") == b"read me\n"

        play(body)

    def test_list(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            await box.run("ln -s docs linked; touch .hidden", 5)
            shallow = [(entry.path, entry.is_dir) for entry in await box.list(".", 1)]
            assert ("docs", True) in shallow
            assert ("linked", False) in shallow
            assert shallow == sorted(shallow)
            assert not [path for path, _ in shallow if "/" in path or path.startswith(".")]
            deep = [entry.path for entry in await box.list("docs", 3)]
            assert deep == ["guide", "guide/deep.txt"]
            assert [entry.path for entry in await box.list("docs", 1)] == ["guide"]
            with pytest.raises(NotADirectoryError):
                await box.list("README.md", 1)
            with pytest.raises(FileNotFoundError):
                await box.list("missing", 1)
            await box.run("mkdir odd; printf x > $'odd/\\xff'", 5)
            assert [entry.path for entry in await box.list("odd", 1)] == ["\ufffd"]
            long = "d" * 250
            await box.run(
                f"mkdir -p many/{long}; cd many; mkdir -p $(seq 1500); touch {long}/{long}{{1..5}}", 5
            )
            assert len(await box.list("many", 2)) == 1000

        play(body)

    # ── the patch ─────────────────────────────────────────────────────────────────────────────────

    def test_patch_applies(self, play: Play, layer: Layer, tmp_path: Path) -> None:
        changes = (
            "echo more >> README.md; rm package/module.py; chmod -x tool.sh; mkdir new; echo n > 'new/a b'; "
            "printf '\\0\\1' > new/bin; git mv docs/guide guide 2>/dev/null || mv docs/guide guide; "
            "ln -sf tool.sh link; mkdir build; touch build/out x.log; mkdir -p package/__pycache__; "
            "touch package/__pycache__/x.pyc; printf 'no newline' > end; echo ü > 'ünï'"
        )
        patches: list[str] = []

        async def body(box: Sandbox) -> None:
            assert await box.patch() == ""
            await box.run(changes, 5)
            patches.append(await box.patch())
            await box.run("rm -rf .git", 5)
            patches.append(await box.patch())
            await box.run("git init -q; git add -A; git commit -qm x; git config core.bare true", 5)
            patches.append(await box.patch())

        play(body)
        assert patches[0] == patches[1] == patches[2]
        assert "pycache" not in patches[0]
        assert "x.log" not in patches[0]
        copy = tmp_path / "copy"
        subprocess.run(["cp", "-a", layer.tree, copy], check=True)
        trusted = ["git", "-c", f"safe.directory={copy}", "-C", copy]
        subprocess.run([*trusted, "apply", "-"], input=patches[0], check=True, text=True)
        assert (copy / "end").read_text() == "no newline"
        assert (copy / "new/bin").read_bytes() == b"\0\1"
        assert (copy / "guide/deep.txt").exists()
        assert not (copy / "package/module.py").exists()
        assert (copy / "tool.sh").stat().st_mode & 0o111 == 0

    @pytest.mark.parametrize(
        ("command", "expected"),
        [
            ("git init -q nested; echo in > nested/file", "+++ b/nested/file"),
            (
                "git init -q nested; cd nested; echo in > file; git add file; git commit -qm x",
                "+++ b/nested/file",
            ),
            ("chmod 0 README.md; echo x > seen", "+++ b/seen"),
            ("mkdir d; echo x > d/seen; chmod 0 d", "+++ b/d/seen"),
            ("rm README.md; mkfifo README.md; echo x > seen", "+++ b/seen"),
            ("mkfifo f; echo x > seen", "+++ b/seen"),
            ("mkfifo .gitattributes; rm .gitignore; mkfifo .gitignore; echo x > seen", "+++ b/seen"),
            (f"mkdir -p {'d/' * 1200}; mkdir nested; git init -q nested; echo x > seen", "+++ b/seen"),
            ("echo x > $'new\\nline'", '+++ "b/new\\nline"'),
            ("echo x > $'\\xff'", '+++ "b/\\377"'),
            ("rm README.md; mkdir README.md; echo x > README.md/seen", "+++ b/README.md/seen"),
            ("echo 'gitdir: /nowhere' > docs/.git; echo x > docs/seen", "+++ b/docs/seen"),
            ("rm -rf .git; ln -s /etc .git; echo x > seen", "+++ b/seen"),
            ("echo '* filter=evil diff=evil text eol=crlf' > .gitattributes", "+++ b/.gitattributes"),
            (
                "printf '%s\\n' '*.md working-tree-encoding=UTF-16' > .gitattributes; touch x; echo x > seen",
                "+++ b/seen",
            ),
            (
                "head -c 60M /dev/zero > /tmp/fill; head -c 40M /dev/zero > fill2; rm fill2; echo x > seen",
                "+++ b/seen",
            ),
            (
                "git config --global diff.external false; git config core.fsmonitor false; echo x > seen",
                "+++ b/seen",
            ),
        ],
    )
    def test_patch_of_odd_trees(self, play: Play, command: str, expected: str) -> None:
        async def body(box: Sandbox) -> None:
            await box.run(command, 10)
            patch = await box.patch()
            assert expected in patch
            assert await box.patch() == patch
            assert (await box.run("echo on", 5)).output == "on\n"

        play(body)

    def test_patch_of_text_that_is_not_utf8(self, play: Play, layer: Layer, tmp_path: Path) -> None:
        name = "la[t]in*\\ '\"1"
        patches: list[str] = []

        async def body(box: Sandbox) -> None:
            await box.write(name, b"caf\xe9\n")
            await box.write("plain.txt", "café\n".encode())
            await box.run("echo '*.txt -diff' > .gitattributes", 5)
            await box.run("ln -sf tool.sh README.md; rm link; echo x > link", 5)
            patches.append(await box.patch())

        play(body)
        assert "+café" in patches[0]
        assert "\ufffd" not in patches[0]
        copy = tmp_path / "copy"
        subprocess.run(["cp", "-a", layer.tree, copy], check=True)
        subprocess.run(["git", "-C", copy, "apply", "-"], input=patches[0], check=True, text=True)
        assert (copy / name).read_bytes() == b"caf\xe9\n"

    def test_state_tells_trees_apart(self, make: Make, layer: Layer) -> None:
        """Content, mode, kind and absence count, the same in every sandbox; times, `.git` and compiled
        Python do not."""
        no_change = "git commit -q --allow-empty -m x; mkdir __pycache__; echo x > __pycache__/a.pyc"

        async def states(backend: Backend, *commands: str) -> list[str]:
            async with backend.sandbox() as box:
                found = [await box.state()]
                for command in commands:
                    assert (await box.run(command, 20)).exit_code == 0
                    found.append(await box.state())
                return found

        async def scene() -> None:
            async with make(layer, Limits()) as backend:
                first = await states(backend, *STATE_COMMANDS)
                assert len(set(first)) == 1 + len(STATE_COMMANDS)
                assert await states(backend, *STATE_COMMANDS) == first
                assert await states(backend, no_change) == [first[0], first[0]]

        asyncio.run(asyncio.wait_for(scene(), SCENE_SECONDS))

    def test_the_same_commands_print_the_same(self, make: Make, layer: Layer) -> None:
        commands = [
            "id; hostname; env | sort",
            "ls -a / . ~; ulimit -a",
            "echo $$; sh -c 'echo $$'",
            "python -c 'print({1,2},hash(\"a\"))'",
        ]

        async def transcript(backend: Backend) -> list[str]:
            async with backend.sandbox() as box:
                return [(await box.run(command, 5)).output for command in commands]

        async def scene() -> None:
            async with make(layer, SMALL) as backend:
                assert await transcript(backend) == await transcript(backend)

        asyncio.run(scene())

    # ── commands that mean harm ───────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("name", ["fork bomb", "memory hog", "memory herd", "disk", "files", "flood"])
    def test_a_neighbour_is_not_slowed(self, name: str, play_beside: Callable[[str, float], float]) -> None:
        command = {
            "fork bomb": FORK_BOMB,
            "memory hog": python(MEMORY_HOG),
            "memory herd": python(MEMORY_HERD),
            "disk": "while :; do head -c 100M /dev/zero > fill; done",
            "files": "i=0; while :; do : > f$i; i=$((i+1)); done 2>/dev/null",
            "flood": "cat /dev/zero",
        }[name]
        assert play_beside(command, 1.0) < NEIGHBOUR_SECONDS

    def test_fork_bomb_is_gone_afterwards(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            result = await box.run(FORK_BOMB, 1)
            assert result.timed_out or result.exit_code
            assert int((await box.run("ps -e --no-headers | wc -l", 10)).output) < 6

        play(body)

    def test_memory_is_limited(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            hog = await box.run(python(MEMORY_HOG), 20)
            assert (hog.limit, hog.exit_code, hog.timed_out) == ("memory", 137, False)
            herd = await box.run(python(MEMORY_HERD), 1.5)
            assert herd.limit == "memory"
            assert (await box.run("x=$(yes); echo no", 20)).limit == "memory"
            after = await box.run("echo back", 5)
            assert (after.limit, after.output) == ("", "back\n")

        play(body)

    def test_disk_is_limited(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            fill = "for f in /tmp/fill fill /dev/shm/fill ~/fill; do head -c 200M /dev/zero > $f; done"
            result = await box.run(fill, 20)
            assert result.output.count("No space left") >= 3
            assert (await box.run("echo still here", 5)).output == "still here\n"
            sizes = "du -cm /tmp . /dev/shm ~ 2>/dev/null | tail -1 | cut -f1"
            assert int((await box.run(sizes, 5)).output) <= 70
            assert (
                await box.run(
                    "rm -f /tmp/fill fill /dev/shm/fill ~/fill; mkdir m; cd m; touch $(seq 5000)", 10
                )
            ).exit_code == 1
            assert int((await box.run("ls | wc -l", 5)).output) < 2100

        play(body)

    def test_output_is_limited(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            size = 1_000_000_000
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
            own = f'{serve} sleep 0.7; python -c "{fetch}"'

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
            } & set(listing)

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

    def test_what_belongs_to_the_machine(self, play: Play) -> None:
        """Namespaces cover neither keys, nor sockets between virtual machines, nor leases on files."""
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
            "for path in ('/proc/keys','/proc/key-users'):\n"
            "  if os.path.exists(path): assert open(path).read()==''\n"
        )

        async def body(box: Sandbox) -> None:
            assert (await box.run(python(code), 5)).output == "[-1, -1, -1, -1, -1]\n"
            own = "import socket\nsocket.socketpair()\nfor f in (2,10,16): socket.socket(f,socket.SOCK_DGRAM)"
            assert (await box.run(python(own), 5)).exit_code == 0

        play(body)

    def test_watching_files_is_limited(self, make: Make, layer: Layer) -> None:
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

    # ── beginning and end ─────────────────────────────────────────────────────────────────────────

    def test_sandboxes_do_not_share(self, make: Make, layer: Layer) -> None:
        async def scene() -> None:
            async with make(layer, SMALL) as backend, backend.sandbox() as one, backend.sandbox() as two:
                await one.run("echo changed > README.md; echo x > /tmp/x; sleep 100 &", 5)
                result = await two.run("cat README.md; ls /tmp; pgrep sleep", 5)
                assert result.output == "read me\n"
            async with make(layer, SMALL) as backend, backend.sandbox() as later:
                assert await later.read("README.md") == b"read me\n"

        asyncio.run(scene())
        assert (layer.tree / "README.md").read_text() == "read me\n"

    def test_nothing_is_left(self, make: Make, layer: Layer) -> None:
        mounts = Path("/proc/self/mountinfo").read_text()
        marker = f"98{os.getpid()}"

        async def scene() -> None:
            async with make(layer, SMALL) as backend:
                async with backend.sandbox() as box:
                    await box.run(
                        f"setsid nohup sleep {marker} >/dev/null 2>&1 & sleep {marker} & sleep 0.2", 5
                    )
                    assert len(alive_with(marker)) == 2
                assert not alive_with(marker)

        asyncio.run(scene())
        assert Path("/proc/self/mountinfo").read_text() == mounts

    @pytest.mark.parametrize("delay", [0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2])
    def test_cancelled_at_any_point(self, make: Make, layer: Layer, delay: float) -> None:
        marker = f"97{os.getpid()}{int(delay * 1000)}"

        async def work(backend: Backend) -> None:
            async with backend.sandbox() as box:
                await box.run(f"sleep {marker}", 30)

        async def scene() -> None:
            async with make(layer, SMALL) as backend:
                task = asyncio.create_task(work(backend))
                await asyncio.sleep(delay)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert task.cancelled()
                async with backend.sandbox() as box:
                    assert (await box.run("echo next", 5)).output == "next\n"

        before = len(list(Path("/proc/self/fd").iterdir()))
        asyncio.run(scene())
        assert gone_soon(marker)
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    def test_a_cancelled_request_closes_the_sandbox(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await box.run("sleep 30", 30)
            with pytest.raises(SandboxError):
                await box.run("echo confused", 5)

        play(body)

    def test_many_at_once(self, make: Make, layer: Layer) -> None:
        async def one(backend: Backend, number: int) -> None:
            async with backend.sandbox() as box:
                result = await box.run(f"echo {number} > n; cat n", 20)
                assert result.output == f"{number}\n"

        async def scene() -> None:
            async with make(layer, SMALL) as backend:
                await asyncio.gather(*(one(backend, number) for number in range(40)))

        asyncio.run(scene())

    def test_in_a_thread(self, make: Make, layer: Layer) -> None:
        outputs: list[str] = []

        async def scene() -> None:
            async with make(layer, SMALL) as backend, backend.sandbox() as box:
                outputs.append((await box.run("echo threaded", 5)).output)

        thread = threading.Thread(target=lambda: asyncio.run(scene()))
        thread.start()
        thread.join(20)
        assert outputs == ["threaded\n"]
