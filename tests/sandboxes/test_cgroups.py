"""Control groups: where they are made, what they hold, what is left of them. Of version 2, which needs a machine
that uses it, the search for a place is tried on folders that look like it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attempts import python
from stage import SMALL, make_layer

from sera.leases import own_lease
from sera.sandboxes import cgroups
from sera.sandboxes.cgroups import Groups, Place, find_place, leftover_groups, remove_group
from sera.sandboxes.contract import Layer, Limits
from sera.sandboxes.namespaces import Namespaces, NamespacesConfig

PLACE = find_place()
needs_groups = pytest.mark.skipif(not PLACE.parents, reason=f"no control groups here: {PLACE.obstacle}")
MEMFD = python(
    "import os\npiece=bytes(1<<20)\nkept=[]\nfor n in range(28):\n"
    "  kept.append(os.memfd_create('x'))\n  [os.write(kept[-1],piece) for _ in range(32)]\nprint('all')"
)


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    return make_layer(tmp_path / "tree")


def ours() -> set[Path]:
    return {path for parent in PLACE.parents.values() for path in parent.glob(f"sera-*-{os.getpid()}-*")}


@pytest.fixture
def none_left() -> Iterator[None]:
    before = ours()
    yield
    assert ours() <= before


@needs_groups
def test_each_sandbox_has_a_group_and_none_stays(layer: Layer, none_left: None) -> None:
    before = ours()

    async def scene() -> None:
        async with Namespaces(layer, NamespacesConfig(limits=SMALL)) as backend:
            async with backend.sandbox() as one, backend.sandbox():
                assert len(ours() - before) == 2 * len(set(PLACE.parents.values()))
                hog = await one.run(MEMFD, 20)
                assert (hog.limit, hog.output) == ("memory", "")
                back = await one.run("echo back; cut -d: -f3 /proc/self/cgroup | sort -u", 5)
                assert (back.limit, back.output) == ("", "back\n/\n")

    asyncio.run(scene())


@needs_groups
def test_a_patch_is_taken_where_memory_and_disk_are_full(layer: Layer, none_left: None) -> None:
    """git writes as much again as was changed, and has no room of its own in a group at its bound."""
    hold = python(
        "import os,time\npiece=bytes(1<<20)\nkept=[os.memfd_create('x') for _ in range(10)]\n"
        "for f in kept: [os.write(f,piece) for _ in range(30)]\nopen('/dev/shm/up','w').close(); time.sleep(30)"
    )
    fill = (
        "for f in a b c; do head -c 6M /dev/urandom > $f; done; head -c 35M /dev/zero > /tmp/fill; "
        f"{hold} & while [ ! -e /dev/shm/up ]; do sleep 0.05; done"
    )

    async def scene() -> None:
        async with Namespaces(layer, NamespacesConfig(limits=SMALL)) as backend, backend.sandbox() as box:
            full = await box.run(fill, 20)
            assert (full.limit, full.timed_out) == ("", False)
            patch = await box.patch()
            assert patch.count("diff --git ") == 3
            assert len(patch) > 18 << 20
            assert (await box.run("pgrep -cx python; echo back", 5)).output == "1\nback\n"

    asyncio.run(scene())


@needs_groups
def test_limits_are_those_of_the_settings(none_left: None) -> None:
    groups = Groups(PLACE, Limits(processes=10, cpus=1.5))
    made = groups.create()
    texts = {
        path.name: path.read_text().split() for group in made for path in group.glob("*.*") if _readable(path)
    }
    assert texts["pids.max"] == ["42"]
    assert texts.get("cpu.cfs_quota_us", texts.get("cpu.max"))[0] == "150000"  # type: ignore[index]
    bound = int(texts.get("memory.limit_in_bytes", texts.get("memory.max"))[0])  # type: ignore[index]
    assert (3 << 30) < bound < (4 << 30)
    groups.remove(made)
    assert not groups.ending


def _readable(path: Path) -> bool:
    return path.name in {
        "pids.max", "cpu.max", "cpu.cfs_quota_us", "memory.max", "memory.limit_in_bytes"
    }  # fmt: skip


@needs_groups
def test_one_that_is_busy_is_removed_later(none_left: None) -> None:
    groups = Groups(PLACE, Limits())
    made = groups.create()
    code = "import sys; [open(p + '/cgroup.procs', 'w').write('0') for p in sys.argv[1:]]; print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, *map(str, made)], **pipes) as inside:  # type: ignore[call-overload]
        inside.stdout.readline()
        groups.remove(made)
        assert groups.ending
        inside.stdin.close()
        inside.wait()
        groups.remove(())
        assert not groups.ending


@needs_groups
def test_what_a_killed_process_left_is_found(layer: Layer) -> None:
    code = f"""
import asyncio, pathlib
from sera.sandboxes.contract import Layer
from sera.sandboxes.namespaces import Namespaces
async def main():
    async with Namespaces(Layer(tree=pathlib.Path({str(layer.tree)!r}), commit={layer.commit!r})) as backend:
        async with backend.sandbox():
            print("up", flush=True)
            await asyncio.sleep(60)
asyncio.run(main())
"""
    host = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert host.stdout
    assert host.stdout.readline() == "up\n"

    def left() -> list[Path]:
        return [path for path in leftover_groups() if f"-{host.pid}-" in path.name]

    assert left() == []
    host.kill()
    host.wait()
    host.stdout.close()
    found = left()
    assert len(found) == len(set(PLACE.parents.values()))
    for path in found:
        for _ in range(200):
            try:
                remove_group(path)
                break
            except OSError:
                asyncio.run(asyncio.sleep(0.02))
    assert left() == []


def test_without_groups_sandboxes_work_as_before(layer: Layer, none_left: None) -> None:
    async def scene() -> None:
        before = ours()
        async with Namespaces(layer, NamespacesConfig(limits=SMALL, cgroups=False)) as backend:
            async with backend.sandbox() as box:
                assert ours() <= before
                assert (await box.run("x=$(head -c 400M /dev/zero | tr '\\0' x)", 20)).limit == "memory"

    asyncio.run(scene())


def test_other_names_are_no_leftovers() -> None:
    own = own_lease()
    gone = own._replace(pid=1, start=own.start + 10**12)
    assert cgroups._is_leftover(f"sera-{gone}-3")
    other_machine = gone._replace(boot="00000000")
    for name in (
        f"sera-{own}-3",
        f"sera-{other_machine}-3",
        f"sera-{gone}",
        f"{gone}-3",
        "sera-",
        "sera.slice",
        "docker",
    ):
        assert not cgroups._is_leftover(name)


# ── version 2, on folders ─────────────────────────────────────────────────────────────────────────


def group(path: Path, offered: str, handed_out: str = "", inside: str = "") -> Path:
    path.mkdir()
    for name, text in (("controllers", offered), ("subtree_control", handed_out), ("procs", inside)):
        (path / f"cgroup.{name}").write_text(text)
    return path


@pytest.mark.parametrize("offered", ["cpu memory pids io", "memory pids"])
def test_the_nearest_group_that_hands_out_memory(tmp_path: Path, offered: str) -> None:
    top = group(tmp_path / "top", "cpu memory pids io", "cpu memory pids io")
    middle = group(top / "user.slice", offered, offered)
    own = group(middle / "session.scope", "cpu memory pids", inside="1\n2\n")
    found = cgroups._delegated(cgroups._Mount(2, top, own, frozenset({""})))
    assert found == {name: middle for name in ("memory", "pids", "cpu") if name in offered}


def test_nowhere_without_the_memory_controller(tmp_path: Path) -> None:
    top = group(tmp_path / "top", "hugetlb", "hugetlb")
    assert cgroups._delegated(cgroups._Mount(2, top, top, frozenset({""}))) == {}


def test_a_group_seen_from_a_container() -> None:
    assert cgroups._below("/docker/abc", "/docker/abc") == ""
    assert cgroups._below("/docker/abc/own", "/docker/abc") == "own"
    assert cgroups._below("/elsewhere", "/docker/abc") == ""
    assert cgroups._below("/user.slice/x", "/") == "user.slice/x"


def test_a_place_that_refuses_is_an_error(tmp_path: Path) -> None:
    groups = Groups(Place(2, {"memory": tmp_path}), Limits())
    tmp_path.rmdir()
    with pytest.raises(OSError, match="No such file"):
        groups.create()
