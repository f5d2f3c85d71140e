"""What every sandbox backend must pass: the contract. `hostile.py` has the commands that mean harm.

A backend's test module inherits `Conformance` and gives a fixture `make`: a function of a layer and
limits that returns a backend.
"""

import asyncio
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from stage import SCENE_SECONDS, SMALL, Make, Play, Stage, alive_with, commit_all, gone_soon, make_layer

from sera.errors import SandboxError
from sera.sandboxes.contract import Backend, Layer, Limits, Sandbox
from sera.sandboxes.inside.spec import NAMED_PRODUCTS

__all__ = ["SMALL", "Conformance", "Make", "gone_soon", "make_layer"]

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


PRODUCTS = """set -e
mkdir -p .hypothesis/examples .mypy_cache/3.11 x.egg-info env/bin docs/_build/html docs/_build/doctrees htmlcov \\
    web/node_modules/left web/coverage .tox cache
touch .coverage .coverage.host.12.34 coverage.xml junit.xml htmlcov/index.html htmlcov/style.css .DS_Store
touch .hypothesis/one .hypothesis/examples/two .mypy_cache/3.11/a.data.json x.egg-info/PKG-INFO .tox/log
touch env/pyvenv.cfg env/bin/run.py docs/_build/html/index.html docs/_build/doctrees/index.doctree
touch web/node_modules/left/pad.js web/coverage/lcov.info cache/CACHEDIR.TAG cache/any.py
touch README.md.orig package/.module.py.swp package/module.py~ package/module.bak package/fast.o package/fast.so
"""
"""Leaves 26 files; what else the layer's `.gitignore` names is not among them."""


class Conformance(Stage):
    """Inherit and provide `make`, of scope `class`."""

    crowd: ClassVar[int] = 40
    """Sandboxes open at once."""

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
            assert result.directory == f"{box.workdir}/docs"
            after = await box.run('echo "$PWD $x."', 5)
            assert after.output == f"{box.workdir}/docs .\n"
            assert (after.shell_restarted, after.directory) == (False, "")

        play(body)

    @pytest.mark.parametrize(
        ("before", "last"),
        [
            ("cd src", "cd docs; exit 1"),
            ("cd /tmp", "exec true"),
            ("mkdir gone; cd gone", "rmdir ../gone; exit"),
            ("mkdir gone; cd gone; rmdir ../gone", "exit 2"),
            ("mkdir 'a b\u00fc'; cd a*", "set -e; false"),
            ("cd -P /proc/self", "kill $$; kill -9 $$"),
        ],
    )
    def test_the_directory_of_a_new_shell_is_told(self, play: Play, before: str, last: str) -> None:
        async def body(box: Sandbox) -> None:
            await box.run(before, 5)
            told = (await box.run(last, 5)).directory
            assert told
            assert (await box.run("pwd", 5)).output == f"{told}\n"

        play(body)

    @pytest.mark.parametrize(
        ("command", "end"),
        [
            ("$EDITOR notes", 1),
            ("$VISUAL notes", 1),
            ("git commit --allow-empty --amend", 1),
            ("git log -p", 0),
            ("vi notes", 1),
            ("vim -c 'echo 1 | ls | ls | ls' notes", 1),
            ("printf 'ihello\x1b:wq\n' | vi notes; grep -x hello notes", 0),
            ("less notes", 0),
            ("python3 -i", 0),
            ("read -r line", 1),
        ],
    )
    def test_what_wants_keys_ends_at_once(self, play: Play, command: str, end: int) -> None:
        async def body(box: Sandbox) -> None:
            program = "vi" if " vi " in f" {command}" else command.split()[0]
            if (await box.run(f"type {program}", 5)).exit_code and not program.startswith("$"):
                pytest.skip(f"{program} is not installed there")
            await box.run("touch notes", 5)
            result = await box.run(command, 20)
            assert (result.timed_out, result.shell_restarted) == (False, False)
            assert result.exit_code == end

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
            after = await box.run("echo $x; ps -eo comm= | grep -vE 'bash|ps|grep|sandbox'", 5)
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
            await box.run("for f in /tmp/fill fill; do head -c 1G /dev/zero > $f; done", 20)
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
            ("touch .git. '.git ' GIT~1 .git::x; echo x > git~1", "+++ b/git~1"),
            ("mkdir .GIT docs/.Git; touch .GIT/x docs/.Git/x package/.giT; echo x > seen", "+++ b/seen"),
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

    def test_patch_has_what_commands_closed_to_themselves(self, play: Play) -> None:
        """And leaves it as closed as it was."""

        async def body(box: Sandbox) -> None:
            await box.run(
                "mkdir -p sub/inner; git init -q sub/inner; echo a > sub/inner/a; echo b > b; echo c > c; chmod 111 c; "
                "echo x >> package/module.py; chmod 0 package/module.py b; chmod 555 sub/inner; chmod 300 package; "
                "chmod 0 docs sub",
                5,
            )
            state = await box.state()
            patch = await box.patch()
            for name in ("sub/inner/a", "package/module.py", "b", "c"):
                assert f"+++ b/{name}\n" in patch, name
            assert "docs" not in patch
            assert "new file mode 100755\nindex" in patch.partition("b/c\n")[2]
            assert await box.patch() == patch
            assert await box.state() == state
            assert (await box.run("stat -c %a package docs sub b c", 5)).output == "300\n0\n0\n0\n111\n"
            await box.run("chmod 700 sub package", 5)
            seen = await box.run("stat -c %a sub/inner package/module.py; ls -A sub/inner; chmod 0 .", 5)
            assert seen.output == "555\n0\n.git\na\n"
            assert await box.patch() == patch

        play(body)

    @pytest.mark.parametrize(
        "megabytes",
        [16, pytest.param(64, marks=pytest.mark.soak)],
        ids=["some", "more than a patch may have"],
    )
    def test_patch_of_a_full_disk_is_whole_or_an_error(
        self, make: Make, layer: Layer, megabytes: int
    ) -> None:
        """What git cannot take must not be missing from a patch in silence."""
        limits = msgspec.structs.replace(SMALL, disk_bytes=megabytes << 20)

        async def scene() -> None:
            async with make(layer, limits) as backend, backend.sandbox() as box:
                await box.run(f"head -c {megabytes + 6}M /dev/urandom > big", 20)
                size = int((await box.run("stat -c %s big", 5)).output)
                assert size > megabytes << 18
                try:
                    assert len(await box.patch()) > size
                except SandboxError as error:
                    assert "patch is larger" in str(error)  # noqa: PT017
                    assert size > 48 << 20
                assert (await box.run("echo on", 5)).output == "on\n"

        asyncio.run(scene())

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

    def test_headings_of_a_patch_name_methods(self, make: Make, tmp_path: Path) -> None:
        """With their indentation, whatever tree and user have set."""
        tree = make_layer(tmp_path / "tree").tree
        lines = ["class Shelf:", "    async def held(self):", *(f"        x{n} = {n}" for n in range(40))]
        (tree / "shelf.py").write_text("\n".join([*lines, ""]))
        layer = Layer(tree=tree, commit=commit_all(tree))
        hostile = (
            "echo '*.py diff=evil' > .gitattributes; mkdir -p .git/info; echo '*.py -diff' > .git/info/attributes",
            "git config diff.python.xfuncname class; git config --global diff.python.xfuncname class",
        )

        async def scene() -> None:
            async with make(layer, SMALL) as backend, backend.sandbox() as box:
                await box.run("sed -i 's/x30 = 30/x30 = 0/' shelf.py", 5)
                patch = await box.patch()
                assert "@@     async def held(self):\n" in patch
                await box.run("; ".join(hostile), 5)
                assert patch in await box.patch()

        asyncio.run(scene())

    # ── products of tools ─────────────────────────────────────────────────────────────────────────

    def test_products_of_tools_are_in_no_patch(self, play: Play) -> None:
        """They are counted, and named by the directory where they are many."""

        async def body(box: Sandbox) -> None:
            await box.run("echo more >> README.md; echo 'x = 1' > package/new.py; echo '{}' > made.json", 5)
            edited = await box.take_patch()
            assert (edited.left_out, edited.products) == (0, ())
            made = await box.run(PRODUCTS, 10)
            assert (made.exit_code, made.output) == (0, "")
            taken = await box.take_patch()
            assert taken.patch == edited.patch
            assert taken.left_out == 26
            assert len(taken.products) == NAMED_PRODUCTS
            await box.run("rm -rf .hypothesis env .coverage .git", 5)
            left = await box.take_patch()
            assert (left.patch, left.left_out) == (edited.patch, 21)

        play(body)

    def test_a_product_too_large_for_a_patch_costs_nothing(self, play: Play) -> None:
        async def body(box: Sandbox) -> None:
            await box.run("echo more >> README.md; head -c 24M /dev/urandom > core.77", 20)
            taken = await box.take_patch()
            assert taken.patch.endswith("+more\n")
            assert (taken.left_out, taken.products) == (1, ("core.77",))

        play(body)

    def test_what_is_tracked_or_came_by_the_editor_is_no_product(self, make: Make, tmp_path: Path) -> None:
        tree = make_layer(tmp_path / "tree").tree
        (tree / ".gitignore").unlink()
        kept = ("coverage.xml", "notes.bak", "node_modules/ours/index.js", "lib/fast.so", "target/Makefile")
        for name in kept:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text("tracked\n")
        layer = Layer(tree=tree, commit=commit_all(tree))

        async def scene() -> None:
            async with make(layer, SMALL) as backend, backend.sandbox() as box:
                await box.run(f"for f in {' '.join(kept)}; do echo more >> $f; done; rm notes.bak", 5)
                await box.run(
                    "echo x > node_modules/ours/new.js; touch target/CACHEDIR.TAG target/rules.mk", 5
                )
                # a package of the project's own, with a name that tools have too
                await box.run(
                    "mkdir build dist core; for d in build dist core; do echo 1 > $d/own.py; done", 5
                )
                await box.run("mkdir html .tox; touch html/index.html .tox/log; ln -s ../.tox html/way", 5)
                await box.write("html/way/conf.bak", b"by hand\n")
                await box.write(f"{box.workdir}/tests/data/.coverage", b"by hand\n")
                taken = await box.take_patch()
                new = ("build/own.py", "dist/own.py", "core/own.py", "html/index.html", "html/way")
                new += ("node_modules/ours/new.js", "target/CACHEDIR.TAG", "target/rules.mk", ".tox/conf.bak")
                named = {
                    line.split(" b/")[1] for line in taken.patch.splitlines() if line.startswith("diff --git")
                }
                assert named == {*kept, *new, "tests/data/.coverage"}
                assert (taken.left_out, taken.products) == (1, (".tox/",))

        asyncio.run(asyncio.wait_for(scene(), SCENE_SECONDS))

    def test_products_are_not_in_the_state_either(self, make: Make, layer: Layer) -> None:
        """So that a rollout can be rebuilt whose test suite leaves something else each time; but what the editor
        wrote counts."""

        async def states(backend: Backend, content: str) -> list[str]:
            async with backend.sandbox() as box:
                await box.run(f"echo more >> README.md; echo {content} | tee .coverage coverage.xml a.o", 5)
                await box.run(f"mkdir .hypothesis; echo {content} > .hypothesis/{content}", 5)
                found = [await box.state(), await box.state(like="0" * 16)]
                await box.write(".hypothesis/kept", b"same\n")
                found.append(await box.state())
                await box.write("a.o", content.encode())
                return [*found, await box.state()]

        async def scene() -> None:
            async with make(layer, SMALL) as backend:
                one, two = await states(backend, "one"), await states(backend, "two")
                assert [a == b for a, b in zip(one, two, strict=True)] == [True, False, True, False]
                assert len({*one, *two}) == 6

        asyncio.run(asyncio.wait_for(scene(), SCENE_SECONDS))

    def test_a_digest_of_before_is_compared_with_one_like_it(self, play: Play) -> None:
        """Runs that were begun then have such digests in their trails."""

        async def body(box: Sandbox) -> None:
            await box.run("printf 'a\\n' > new.txt; chmod 644 new.txt; touch -d @7 new.txt", 5)
            before = await box.state(like="0123456789abcdef")
            assert len(before) == 16
            await box.run("mkdir __pycache__ .pytest_cache; touch __pycache__/x .pytest_cache/y z.pyc", 5)
            assert await box.state(like=before) == before
            await box.run("touch .coverage", 5)
            assert await box.state(like=before) != before
            now = await box.state()
            assert await box.state(like=now) == now != before

        play(body)

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

    def test_state_sees_what_keeps_size_and_time(self, play: Play) -> None:
        """Also right after a state was taken, and again and again: what was read once is not believed for ever."""
        swap = "touch -r {0} /tmp/time; printf '{1}' 1<>{0}; touch -r /tmp/time {0}"

        async def body(box: Sandbox) -> None:
            await box.run("printf aaaa > new.txt; sleep 0.3", 5)
            found = [await box.state(), await box.state()]
            assert found[0] == found[1]
            for content in ("bbbb", "cccc", "dddd", "aaaa"):
                assert (await box.run(swap.format("new.txt", content), 5)).output == ""
                found.append(await box.state())
            for content in ("READ ME", "read me", "READ ME"):
                await box.run(swap.format("README.md", content), 5)
                found.append(await box.state())
            assert len(set(found[1:5])) == 4
            assert found[5] == found[0]
            assert found[6] == found[8] != found[7]

        play(body)

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
                await asyncio.gather(*(one(backend, number) for number in range(self.crowd)))

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
