"""For Axolotl: rows with nothing but their messages, and the part of its configuration that reads them.

Axolotl's `chatml` prints role and content and nothing else, so structured calls would vanish without a
word; only datasets with calls in the text are taken. Each message carries `train`, which
`message_field_training` makes the mask. Paths in the stanza are relative: run Axolotl in this folder, or
change `path`.
"""

from collections import Counter
from pathlib import Path

from sera.datasets.exchange.contract import BuiltDataset, Options
from sera.datasets.lines import json_line
from sera.datasets.manifest import ROWS

STANZA = "axolotl.yaml"
_STANZA = """\
# The data's part of an Axolotl configuration. Each message says itself whether it is trained.
chat_template: chatml
sequence_len: {max_tokens}
sample_packing: false
train_on_inputs: false
datasets:
  - path: {rows}
    ds_type: json
    type: chat_template
    field_messages: messages
    message_property_mappings:
      role: role
      content: content
    roles:
      system: [system]
      user: [user]
      assistant: [assistant]
    roles_to_train: [assistant]
    message_field_training: train
    train_on_eos: turn
"""


def write_axolotl(dataset: BuiltDataset, folder: Path, options: Options) -> Counter[str]:  # noqa: ARG001 - the contract
    with (folder / ROWS).open("wb") as file:
        for row in dataset.rows():
            messages = [{key: turn[key] for key in ("role", "content", "train")} for turn in row["messages"]]
            file.write(json_line({"messages": messages}))
    stanza = _STANZA.format(rows=ROWS, max_tokens=int(dataset.manifest.settings["max_tokens"]))
    (folder / STANZA).write_text(stanza, "utf-8")
    return Counter()
