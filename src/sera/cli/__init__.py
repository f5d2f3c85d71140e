"""The command line: one file per command, each parses, calls a stage and prints.

Commands are loaded when they are needed, so `sera --help` does not wait for any of them. Exit codes:
0 done, 1 the job failed or is not finished, 2 wrong use, 130 interrupted.
"""

import json
import os
import signal
import sys

import click

from sera.cli.common import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, complain
from sera.cli.lazy import LazyGroup
from sera.errors import SeraError, UsageError
from sera.processors import wait_without_spinning

COMMANDS = {
    "doctor": "What this machine gives to a run: every protection tried, and what is missing.",
    "functions": "What can be sampled from a repository, and why the rest is left out.",
    "prepare": "Build a repository's environment, and try it out in a sandbox.",
    "estimate": "What a run will cost, take and yield, before anything is spent.",
    "generate": "Run the teacher over a repository's functions and record every rollout.",
    "status": "How far a run is: states, reasons, recall, tokens, time left.",
    "show": "List a run's pairs, or one of them from prompt to patch.",
    "pause": "Let a run under way ask its teacher nothing more for a while.",
    "resume": "Let a paused run go on.",
    "stop": "End a run under way after its present steps, or when nearly all is done.",
    "requeue": "Do some of a run's tasks anew.",
    "drop": "Give some of a run's tasks up.",
    "recall": "Compare two patches line by line.",
    "verify": "Recompute recall on two files of predictions.",
    "dataset": "Build a training set from runs, and look at it.",
    "evaluate": "How many tasks of a repository a model resolves, and how sure that is.",
    "train": "Train a student on a dataset, and finish its checkpoint.",
    "loss": "How well a student foretells conversations that it was not trained on.",
    "specialize": "All of it in one command: from a repository to a trained student, and the evidence.",
    "teacher": "Serve a model yourself: the launch command, and a check of the endpoint.",
    "model": "Weights on this machine: what can be had, fetch them, serve them.",
    "tasks": "Make tasks of a repository for an evaluation: bugs put into it, and bugs of its history.",
    "gc": "Remove what sandboxes of killed processes have left on this machine.",
    "rehearse": "Serve the rehearsal teacher as an OpenAI-compatible endpoint.",
}
_MODULES = dict.fromkeys(("pause", "resume", "stop", "requeue", "drop"), "control")
"""Commands that share a file."""


@click.command(
    cls=LazyGroup,
    package=__name__,
    members=COMMANDS,
    modules=_MODULES,
    heading="Commands, in the order of the work",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  sera functions ./my-project
  sera prepare ./my-project
  sera generate ./my-project --out run --functions 20
  sera status run
  sera dataset build run --out data""",
)
@click.version_option(package_name="sera")
def cli() -> None:
    """Turns a code repository into training data for a coding agent specialised to it.

    A teacher model changes the repository twice: once from a vague prompt about a function, once from
    the issue text written from the first attempt. The two patches are compared line by line, and the
    trajectories become a training set.
    """


def main() -> None:
    """The entry point. An interrupt that comes while the process is on its way out changes nothing any more."""
    wait_without_spinning()  # before any library is loaded
    try:
        code = _outcome()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def _outcome() -> int:
    """Run the command: every expected failure becomes one sentence and an exit code."""
    code: int | None
    try:
        code = cli.main(args=_arguments(), standalone_mode=False)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.ClickException as problem:
        problem.show()
        code = problem.exit_code
    except (click.Abort, KeyboardInterrupt):
        sys.unraisablehook = lambda _: None  # of what was being made just then, such as an event loop
        complain("interrupted; everything finished so far is saved")
        code = EXIT_INTERRUPTED
    except UsageError as problem:
        complain(_redacted(problem))
        code = EXIT_USAGE
    except SeraError as problem:
        complain(_redacted(problem))
        code = EXIT_FAILED
    except BrokenPipeError:
        sys.stderr.close()
        code = EXIT_FAILED
    return code or 0


def _redacted(problem: SeraError) -> str:
    """What it says, without what may have come into it that this machine's environment calls secret, and without
    tokens of a known shape, such as one that was typed in the wrong place."""
    from sera.redaction import RedactionConfig, make_redactor

    return make_redactor(RedactionConfig()).clean(str(problem))


def _arguments() -> list[str] | None:
    """Those of a stage of `sera specialize` with a secret among them; None: those of the command line."""
    given = os.environ.pop("SERA_ARGUMENTS", "")  # `sera.settings.ARGUMENTS`, which is slow to import
    return [str(word) for word in json.loads(given)] if given else None
