"""`sera functions`: what can be sampled, and why the rest is left out."""

from pathlib import Path

import click

from sera.cli.common import (
    FILE,
    complain,
    console,
    json_option,
    leave_out_option,
    print_json,
    sampling_options,
    table,
)
from sera.visible import one_line

_SHOWN = 15


@click.command(
    epilog="""\b
Examples:
  sera functions .
  sera functions https://example.org/team/project.git --revision v2.1
  sera functions . --include packages/core --exclude docs --exclude /noxfile.py
  sera functions . --set index.min_statements=8
  sera functions boltons-25.0.0.tar.gz --json | jq '.functions[].name'"""
)
@click.argument("repo")
@click.option("--revision", help="Commit, tag or branch to take instead of the working tree.")
@sampling_options
@leave_out_option
@click.option("--config", "file", type=FILE, help="Settings of sera generate in TOML.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="One of them; may be repeated.")
@json_option
def command(
    repo: str,
    file: Path | None,
    pairs: tuple[str, ...],
    revision: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    leave_out: tuple[str, ...],
    as_json: bool,
) -> None:
    """What can be sampled from REPO, and why the rest is left out.

    Read are Python and, with the extra `languages`, JavaScript, TypeScript, Go, Rust and Java. REPO is a
    directory, a git URL or path, or a source archive (.tar.gz, .zip). It is never modified. A GLOB is as a
    line of .gitignore.
    """
    from sera.generation.job import GenerateConfig
    from sera.repositories import index_functions, open_snapshot
    from sera.settings import load_config

    given = {
        "revision": revision,
        "index.include": include or None,
        "index.exclude": exclude or None,
        "leave_out": leave_out or None,
    }
    wanted = load_config(GenerateConfig, file, pairs, given)
    snapshot = open_snapshot(repo, revision=wanted.revision or None, leave_out=wanted.leave_out)
    if snapshot.notice:
        complain(snapshot.notice)
    index = index_functions(snapshot.tree, wanted.index)
    if as_json:
        print_json(
            {
                "snapshot": snapshot,
                "functions": index.sampleable,
                "languages": index.languages,
                "left_out": index.left_out,
                "skipped": index.skipped,
            }
        )
        return
    modules: dict[str, int] = {}
    for function in index.sampleable:
        modules[function.path] = modules.get(function.path, 0) + 1
    largest = sorted(modules.items(), key=lambda item: (-item[1], item[0]))
    out = console()
    listed = ", ".join(f"{count} {name}" for name, count in index.languages.items())
    out.print(f"{one_line(snapshot.name)}: {len(index.sampleable)} of {len(index.functions)} functions can be sampled, "
              f"from {len(modules)} modules" + (f": {listed}" if len(index.languages) > 1 else ""))  # fmt: skip
    if index.notice:
        out.print(index.notice)
    out.print(table("", ["functions", "module"], [(n, path) for path, n in largest[:_SHOWN]], ["functions"]))
    if len(largest) > _SHOWN:
        out.print(f"… and {len(largest) - _SHOWN} further modules; --json lists every function")
    for title, counts in (
        ("Functions left out", index.left_out),
        ("Files left out", {why: len(paths) for why, paths in index.skipped.items()}),
        ("Entries left out of the snapshot", snapshot.skipped),
    ):
        if counts:
            out.print(table(title, ["count", "reason"], [(n, why) for why, n in counts.items()], ["count"]))
