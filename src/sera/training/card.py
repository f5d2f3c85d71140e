"""The model card of a checkpoint."""

from sera.training.contract import Job, Plan
from sera.visible import markdown, markdown_code, yaml

_CARD = """\
---
base_model: {base_model}
library_name: transformers
pipeline_tag: text-generation
tags: [coding-agent, sera]
---

# {student}, trained on {repositories}
{rehearsal}
{what} on {rows:,} trajectories of a coding agent ({tokens:,} tokens an epoch, {epochs:g} epochs, {steps:,}
steps) with `sera train`. The loss covers what the assistant says, and nothing else.
{loss}
## Serving

Serve it as it was trained, or it will do worse:

- chat template: `chat_template.jinja` in this folder (SHA-256 {template:.12}…): earlier turns stand as said
- tool calls: the format {format}; context: {context:,} tokens
- harness profile: `harness.json` in this folder ({harness:.12})

{weights}
Source of the data: {sources}. The licences of these repositories and of {student} apply.
"""


_ADAPTER = """\
`adapter/` holds the adapter alone, in PEFT's form, for a server that has {student} already. Here it is merged
in 32 bits; rounding that to 16 bits changes the weights by {rounding:.1%} of what the adapter does{bits}.

"""


def card(job: Job, plan: Plan, held_out: tuple[float | None, float | None], rounding: float | None) -> str:
    """Its text."""
    manifest, config = job.dataset.manifest, job.config
    before, after = held_out
    return _CARD.format(
        base_model=yaml(job.student.name),
        student=markdown(job.student.name),
        repositories=", ".join(sorted({markdown(source.repository) for source in manifest.sources})),
        what=f"An adapter (rank {config.lora.rank}), merged," if config.lora else "All weights, trained",
        rehearsal=f"\n**{manifest.rehearsal}.**\n" if manifest.rehearsal else "",
        rows=plan.rows,
        tokens=plan.tokens,
        epochs=config.epochs,
        steps=plan.steps,
        loss=f"On {plan.held_out:,} trajectories held out it went from {before:.4f} to {after:.4f}.\n"
        if before is not None and after is not None
        else "",
        template=job.reading.template.sha256,
        format=markdown_code(manifest.settings["format"]),
        context=min(config.sequence, job.student.shape.context),
        harness=job.profile.hash,
        weights=_adapter(job, rounding)
        + "`sera.json` holds settings and figures, `dataset.json` the manifest of the dataset.\n",
        sources=", ".join(
            markdown(f"{source.repository} at {source.version}") for source in manifest.sources
        ),
    )


def _adapter(job: Job, rounding: float | None) -> str:
    if rounding is None:
        return ""
    quantized = job.config.lora is not None and job.config.lora.quantized
    bits = ". It was trained over weights in 4 bits, and these are whole" if quantized else ""
    return _ADAPTER.format(student=markdown(job.student.name), rounding=rounding, bits=bits)
