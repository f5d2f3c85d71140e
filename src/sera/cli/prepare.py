"""`sera prepare`: build and try out the environment of a repository."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import (
    EXIT_FAILED,
    FILE,
    PATH,
    IntRange,
    complain,
    console,
    duration,
    json_option,
    leave_out_option,
    print_json,
    table,
)

if TYPE_CHECKING:
    from sera.environments import Environment, PrepareConfig


@click.command(
    epilog="""\b
Examples:
  sera prepare ./my-project
  sera prepare ./my-project --python 3.10 --set environment.extras='["test"]'
  sera prepare ./my-project --commits 5 --since 365d --out environments.json
  sera prepare project-1.0.tar.gz --set environment.packages='["pytest<8"]' --json
  sera prepare ./my-project --image my-project:env --base python:3.11
An environment is made once and found again by every later command, sera generate among them."""
)
@click.argument("repo")
@click.option("--config", "file", type=FILE, help="Settings in TOML.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
@click.option("--python", metavar="VERSION", help="The interpreter: a version such as 3.11, or a path.")
@click.option(
    "--commit",
    "revisions",
    multiple=True,
    metavar="REV",
    help="Take this commit, tag or branch; may be repeated.",
)
@click.option("--commits", type=IntRange(1), metavar="N", help="Take N commits, evenly spaced over --since.")
@click.option("--since", metavar="DAYS|DATE", help="How far back --commits reaches, as 365d or 2024-06-01.")
@leave_out_option
@click.option("--out", type=PATH, metavar="FILE", help="Write the list of environments there, as JSON.")
@click.option("--check", "only_check", is_flag=True, help="Build nothing: try out again what is prepared.")
@click.option(
    "--image", metavar="NAME", help="Build a container image of this name that holds the environment."
)
@click.option(
    "--base", metavar="IMAGE", help="What --image is built from: it brings all but Python, bash among it."
)
@click.option(
    "--engine",
    type=click.Choice(["docker", "podman"]),
    default="docker",
    show_default=True,
    help="What builds --image.",
)
@json_option
def command(
    repo: str,
    file: Path | None,
    pairs: tuple[str, ...],
    python: str | None,
    revisions: tuple[str, ...],
    commits: int | None,
    since: str | None,
    leave_out: tuple[str, ...],
    out: Path | None,
    only_check: bool,
    image: str | None,
    base: str | None,
    engine: str,
    as_json: bool,
) -> None:
    """Find out how REPO is installed and tested, build its environment, and try it out in a sandbox.

    The project's own code is never copied: it is linked to the working tree that a rollout sees. Its build runs in
    a sandbox without network; everything else is installed as wheels, which runs nothing on this machine.
    """
    from sera.environments import PrepareConfig
    from sera.environments.config import as_texts
    from sera.settings import load_config

    config = load_config(
        PrepareConfig,
        file,
        as_texts(pairs),
        {
            "environment.python": python,
            "commits": commits,
            "since": since,
            "leave_out": list(leave_out) or None,
        },
    )
    if revisions and config.commits:
        raise click.UsageError("--commit names commits, --commits chooses them: give one of the two")
    if bool(image) != bool(base):
        raise click.UsageError(
            "an image needs a name and something to be built from: give --image and --base"
        )
    if image and (config.commits or len(revisions) > 1):
        raise click.UsageError("--image is of one commit: name it with --commit")
    environments, failures = _all(repo, _revisions(repo, revisions, config), config, only_check)
    if out:
        _write(out, repo, environments)
    if image and base:
        _build_image(environments[0], engine, image, base)
    if as_json:
        print_json([*map(_summary, environments), *map(_failed, failures.items())])
    elif len(environments) == 1 and not failures:
        _print_one(environments[0])
    else:
        _print_many(environments, failures)
    if failures or not all(one.works for one in environments):
        raise click.exceptions.Exit(EXIT_FAILED)


def _build_image(environment: "Environment", program: str, image: str, base: str) -> None:
    """Build it, and say how it is used."""
    import asyncio

    from sera.environments.images import image_of
    from sera.sandboxes.containers.engine import Engine

    engine = Engine(program, program)
    complain(f"building {image} from {base} with {program}")
    asyncio.run(engine.image(base, "missing", ""))
    image_of(environment, engine, image, base)
    complain(
        f"{image} is built; use it with --environment {environment.tree.parent} "
        f"--set sandbox.backend={program} --set sandbox.image={image}"
    )


def _revisions(repo: str, named: tuple[str, ...], config: "PrepareConfig") -> list[str]:
    from sera.environments.commits import spaced_commits

    if config.commits:
        return spaced_commits(repo, config.commits, config.since, config.revision)
    return list(named) or [config.revision]


def _all(
    repo: str, revisions: list[str], config: "PrepareConfig", only_check: bool
) -> tuple[list["Environment"], dict[str, str]]:
    """The environments of all revisions; and of those that can have none, the reason. Of a single one that
    is an error."""
    from sera.errors import PrepareError

    environments, failures = [], {}
    for revision in revisions:
        try:
            environments.append(_one(repo, revision, config, only_check))
        except PrepareError as failure:
            if len(revisions) == 1:
                raise
            failures[revision] = str(failure)
            complain(f"{revision[:10]}: {failure}")
    return environments, failures


def _failed(failure: tuple[str, str]) -> dict[str, object]:
    """What a program is told of a commit without an environment."""
    return {"commit": failure[0], "works": False, "why_not": failure[1]}


def _one(repo: str, revision: str, config: "PrepareConfig", only_check: bool) -> "Environment":
    from sera.environments import prepare, try_again
    from sera.environments.commits import version_of
    from sera.repositories import open_snapshot

    snapshot = open_snapshot(repo, revision=revision or None, leave_out=config.leave_out)
    label = f"{snapshot.name} {snapshot.origin_commit[:10]}".strip()
    if snapshot.notice:
        complain(f"{label}: {snapshot.notice}")
    version = version_of(repo, snapshot.origin_commit)
    work = try_again if only_check else prepare
    return work(snapshot, config, version=version, told=lambda step: complain(f"{label}: {step}"))


def _write(out: Path, repo: str, environments: list["Environment"]) -> None:
    """The list of environments, for later stages: each with the path that `--environment` takes."""
    import msgspec

    from sera.errors import UsageError, boundary
    from sera.repositories.remotes import redacted

    listed = {"repository": redacted(repo), "environments": [_summary(one) for one in environments]}
    with boundary(UsageError, f"cannot write {out}"):
        out.write_bytes(msgspec.json.format(msgspec.json.encode(listed, enc_hook=str)) + b"\n")


def _summary(one: "Environment") -> dict[str, object]:
    """What a program wants to know; all of it stands in the record at `path`."""
    import msgspec

    checked = one.checked
    return {
        "path": one.tree.parent,
        "name": one.name,
        "version": one.version,
        "commit": one.origin_commit,
        "dirty": one.dirty,
        "tree_hash": one.tree_hash,
        "key": one.key,
        "digest": one.digest,
        "works": one.works,
        "why_not": one.why_not,
        "python": one.plan.interpreter.version,
        "prefix": one.prefix,
        "test_command": one.plan.test_command,
        "built": one.built,
        "imports": checked.imports,
        "packages": checked.packages,
        "collected": checked.collected,
        "counted": checked.counted,
        "unreadable": checked.unreadable,
        "passed": checked.passed,
        "failed": checked.failed,
        "skipped": checked.skipped,
        "missing": checked.missing,
        "timed_out": checked.timed_out,
        "troubles": msgspec.to_builtins(checked.troubles),
        "warnings": one.warnings,
        "seconds": one.seconds,
        "decisions": msgspec.to_builtins(one.plan.decisions),
    }


def _print_one(one: "Environment") -> None:
    out = console()
    out.print(f"{one.name} {one.version} at {one.origin_commit[:12] or one.source}")
    out.print(
        table(
            "How it is made",
            ["what", "choice", "why"],
            [(d.what, d.choice, d.why) for d in one.plan.decisions],
        )
    )
    for warning in one.warnings:
        out.print(f"! {warning}")
    checked = one.checked
    rows = [(f"import {name}", "yes" if works else "no") for name, works in checked.imports.items()]
    rows.append(("packages", str(len(checked.packages))))
    rows.append(("tests found", _found(one)))
    rows.append(("tests run", _ran(one)))
    out.print(table("What works, in a sandbox", ["what", "result"], rows))
    if checked.troubles:
        out.print(table("What does not", ["times", "cause", "cure", "first of them"],
                        [(t.times, t.cause, t.cure, t.what) for t in checked.troubles], ["times"]))  # fmt: skip
    out.print(f"tests: {' '.join(one.plan.test_command) or 'none'}")
    tests = ", no tests in this tree" if one.has_no_tests else ""
    state = f"ready{tests}" if one.works else f"not usable yet, as {one.why_not}"
    out.print(f"{state}: {one.tree.parent}, made in {duration(sum(one.seconds.values()))}; log: {one.log}")  # fmt: skip


def _print_many(environments: list["Environment"], failures: dict[str, str]) -> None:
    columns = [
        "commit",
        "python",
        "packages",
        "imported",
        "tests found",
        "tests run",
        "made in",
        "what does not work",
        "environment",
    ]
    rows = [
        (
            one.origin_commit[:12],
            one.plan.interpreter.version,
            one.plan.exclude_newer or "the newest",
            "yes" if one.checked.imported else "no",
            _found(one),
            _ran(one),
            duration(sum(one.seconds.values())),
            one.why_not or one.checked.told().removeprefix(": ") or "-",
            str(one.tree.parent),
        )
        for one in environments
    ]
    rows += [(commit[:12], "-", "-", "-", "-", "-", "-", why, "none") for commit, why in failures.items()]
    out = console()
    out.print(table("", columns, rows))
    out.print(f"{len(environments)} snapshots, {len({one.prefix for one in environments})} environments")


def _found(one: "Environment") -> str:
    checked = one.checked
    if checked.collected is None:
        return "none"
    broken = f", {checked.unreadable} files cannot be read" if checked.unreadable else ""
    return f"{checked.collected}{' by the source' if checked.counted == 'source' else ''}{broken}"


def _ran(one: "Environment") -> str:
    checked = one.checked
    told = f"{checked.ran}: {checked.passed} passed, {checked.failed} failed, {checked.skipped} skipped"
    told += f", {checked.missing} not run to their end" if checked.missing else ""
    return f"{told}, not all in time" if checked.timed_out else told
