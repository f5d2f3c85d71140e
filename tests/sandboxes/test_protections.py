"""`sera doctor` and `sandbox.require`: each protection is tried; a machine without a required one is refused."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sera.cli import cli
from sera.errors import ConfigError, SandboxError
from sera.sandboxes.cgroups import find_place
from sera.sandboxes.namespaces import NamespacesConfig
from sera.sandboxes.protections import Protection, names_in, probe, refuse_without, require
from sera.sandboxes.walls import WALLS

WITHOUT = ["--set", "sandbox.cgroups=false"]


def test_all_walls_of_namespaces_stand() -> None:
    found = {one.name: one for one in asyncio.run(probe(NamespacesConfig()))}
    assert found.keys() == WALLS.keys()
    depends_on_the_machine = {"cgroups", "users", "seccomp"}
    lacking = {name for name, one in found.items() if one.given != "yes"}
    assert lacking <= depends_on_the_machine, [found[name] for name in lacking]
    assert all(found[name].detail and found[name].follows for name in lacking)
    assert (found["cgroups"].given != "no") == ("memory" in find_place().parents)


def test_a_missing_wall_is_seen_and_refused() -> None:
    config = NamespacesConfig(cgroups=False, require="cgroups")
    found = asyncio.run(probe(config, ("cgroups", "network")))
    assert [(one.name, one.given) for one in found] == [("cgroups", "no"), ("network", "yes")]
    assert found[0].cure == "sandbox.cgroups=true"
    with pytest.raises(SandboxError, match=r"cgroups is required .* sandbox\.cgroups=true"):
        require(config)
    require(NamespacesConfig(cgroups=False, require="network"))


def test_names() -> None:
    assert names_in(" cgroups, seccomp,") == ("cgroups", "seccomp")
    with pytest.raises(ConfigError, match="no protection is called 'selinux'; there are filesystem"):
        names_in("cgroups,selinux")
    refuse_without(("proc",), [Protection(name="proc", given="yes"), Protection(name="users", given="no")])
    with pytest.raises(SandboxError, match="partly"):
        refuse_without(("users",), [Protection(name="users", given="partly")])


def test_doctor_says_what_there_is() -> None:
    done = CliRunner().invoke(cli, ["doctor", "--json", *WITHOUT])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["backend"], report["failure"]) == ("namespaces", "")
    assert {one["name"] for one in report["protections"]} == WALLS.keys()
    machine = {one["name"]: one for one in report["machine"]}
    assert machine["git"]["given"] == machine["bash"]["given"] == "yes"
    assert {"cache", "memory", "docker", "podman", "extra dataset"} <= machine.keys()


def test_doctor_fails_without_what_is_required() -> None:
    done = CliRunner().invoke(cli, ["doctor", *WITHOUT, "--require", "network,cgroups"])
    assert isinstance(done.exception, SandboxError)
    assert "cgroups is required" in str(done.exception)


def test_generate_refuses_before_any_work(tmp_path: Path) -> None:
    out = tmp_path / "run"
    asked = ["generate", str(tmp_path / "no-such-repository"), "--out", str(out), *WITHOUT]
    done = CliRunner().invoke(cli, [*asked, "--set", "sandbox.require=cgroups"])
    assert isinstance(done.exception, SandboxError)
    assert "cgroups is required" in str(done.exception)
    assert not out.exists()


def test_no_answer_is_not_a_good_one() -> None:
    """Where a tool is missing or the time is over, nothing is claimed."""
    config = NamespacesConfig(environment={"PATH": "/nowhere"})
    assert [(one.name, one.given) for one in asyncio.run(probe(config, ("network",)))] == [
        ("network", "unknown")
    ]
    with pytest.raises(SandboxError, match="there is no cat in the sandbox"):
        require(NamespacesConfig(environment={"PATH": "/nowhere"}, require="network"))
