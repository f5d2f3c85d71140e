"""What inference servers read from the text a student writes: calls, reasoning and the rest.

The rules of vLLM's and SGLang's parsers, written anew from reading them, each by its server's name.
`docs/proofs.md` names the versions. A text is safe to train on if all of them read the same from it.
"""

from sera.formats.servers.calls import CLOSE, OPEN, Call, CannotRead, Parser, Tools, nulls, properties
from sera.formats.servers.hermes import HERMES
from sera.formats.servers.schema import schemas_of, undefined
from sera.formats.servers.turn import read_turn, same_calls, split_turn
from sera.formats.servers.xml import XML

__all__ = [
    "CLOSE",
    "HERMES",
    "OPEN",
    "XML",
    "Call",
    "CannotRead",
    "Parser",
    "Tools",
    "nulls",
    "properties",
    "read_turn",
    "same_calls",
    "schemas_of",
    "split_turn",
    "undefined",
]
