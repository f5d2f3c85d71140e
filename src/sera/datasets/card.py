"""The dataset card, `README.md`: what a person, and the Hugging Face Hub, read first.

What a repository, a teacher or a run calls itself stands in it as text, whatever it is; the front matter
holds nothing of theirs.
"""

from collections.abc import Iterable, Sequence

from sera.datasets.manifest import MANIFEST, REJECTED, ROWS, Manifest
from sera.datasets.sample import teacher_name
from sera.visible import markdown, markdown_code

_CARD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: {rows_file}
task_categories:
- text-generation
tags:
- code
- agent
- sera
---

# {title}
{rehearsal}
{rows} conversations of a coding agent that worked on {repositories}, written by soft verified generation: \
a teacher model changes something near a function (T1), its change is retold as a pull request, and it \
works again from that text alone (T2). Recall is the share of T1's changed lines that T2 has too.

## Sources

{sources}

Teachers: {teachers}. Harness profile: {profile}; serve the student with the same one.

## Licence

The rows quote the code of the repositories above, whose licences apply to those parts, and the output of
the teachers, whose terms apply to theirs. Before publishing, name the licence here and as `license:` at
the top.

## Load

```python
from datasets import load_dataset
{loading}```

In each row `messages` is the conversation. Train on the messages with `train` true only; an assistant
turn without it holds a call that is malformed or not defined, and is there as context. Every row is at
most {max_tokens} tokens long, {cut_rows} are cut to that at an assistant turn, and with ordered truncation
the rows stand in the order of `ratio`, whole conversations first.

## Counts

{counts}

{untrained} assistant turns are not trained on. Tokens: {total} in all, {mean} a row on average, {longest} in
the longest. `{rejected_file}` names every sample that was not taken, with its reason.{altered}

{recipe}## Settings

{settings}

`{manifest_file}` holds all of this as data, with the checksum of each file.
"""


def render_card(manifest: Manifest) -> str:
    """The card's text, from the manifest alone."""
    repositories = ", ".join(sorted({markdown(source.repository) for source in manifest.sources}))
    models = sorted({markdown(teacher_name(teacher) or "unnamed") for teacher in manifest.teachers})
    return _CARD.format(
        title=f"Training data for {repositories}",
        rehearsal=f"\n**{manifest.rehearsal}.**\n" if manifest.rehearsal else "",
        rows=manifest.rows,
        repositories=repositories,
        sources=_table(
            ("repository", "commit", "run", "licence"),
            ((one.repository, one.version, one.run, one.licence) for one in manifest.sources),
        ),
        teachers=", ".join(models),
        profile=markdown_code(manifest.profile),
        max_tokens=markdown(manifest.settings["max_tokens"]),
        cut_rows=manifest.cut_rows,
        counts=_table(("stage", "outcome", "samples"), _outcomes(manifest)),
        untrained=manifest.untrained_turns,
        total=manifest.tokens.total,
        mean=manifest.tokens.mean,
        longest=manifest.tokens.max,
        altered=f" {markdown(told_alteration(manifest))}." if manifest.altered else "",
        recipe=_recipe(manifest),
        settings=_table(("setting", "value"), ((key, str(value)) for key, value in _settings(manifest))),
        rows_file=ROWS,
        loading=loading("json", ROWS),
        rejected_file=REJECTED,
        manifest_file=MANIFEST,
    )


def loading(form: str, files: str) -> str:
    """The line of the card that reads the rows, with the line breaks around it: no name has any."""
    return f'\nrows = load_dataset("{form}", data_files="{files}", split="train")\n'


def told_alteration(manifest: Manifest) -> str:
    """What the student's tokenizer does to texts, in a sentence."""
    return (
        f"The tokenizer changes the text of {manifest.altered:,} rows before it reads it, so that the student"
        f" neither sees nor writes it as it was: in the first of them {manifest.alteration}"
    )


def _outcomes(manifest: Manifest) -> Iterable[Sequence[str]]:
    for stage, count in manifest.counts.items():
        yield stage, "selected", str(count.selected)
        for reason, samples in count.rejected.items():
            yield stage, reason, str(samples)


def _recipe(manifest: Manifest) -> str:
    """What each part of the recipe asked for and got; nothing where there was none."""
    if manifest.recipe is None:
        return ""
    rows = [
        (part.part, part.filters, part.run, "all" if part.wanted is None else str(part.wanted), str(part.got))
        for part in manifest.recipe.parts
    ]
    table = _table(("part", "filters", "run", "wanted", "got"), rows)
    return f"## Recipe\n\n{table}\n\nSeed of the choice between equals: {manifest.recipe.seed}.\n\n"


def _settings(manifest: Manifest) -> Iterable[tuple[str, object]]:
    for key, value in manifest.settings.items():
        yield key, ", ".join(value) if isinstance(value, list | tuple) else value
    yield "tokenizer (SHA-256)", manifest.tokenizer


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *(map(markdown, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
