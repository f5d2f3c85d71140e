"""How long transformers takes to tokenise messages one by one; `datasets.py` runs it.

    PEER/bin/python -P benchmarks/peer_transformers.py MESSAGES TOKENIZER TEMPLATE encode|template

Prints CPU seconds, wall seconds and tokens as a JSON list.
"""

import json
import sys
import time
from pathlib import Path

from transformers import PreTrainedTokenizerFast


def main() -> None:
    messages, file, template, way = sys.argv[1:]
    rows = [json.loads(line) for line in Path(messages).read_text("utf-8").split("\n")[:-1]]
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=file)
    tokenizer.chat_template = Path(template).read_text("utf-8")
    texts = [f"<|im_start|>{row['role']}\n{row['content']}<|im_end|>\n" for row in rows]
    tokenizer.encode("Begin.")
    cpu, wall = time.process_time(), time.perf_counter()
    if way == "encode":
        tokens = sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)
    else:
        tokens = sum(len(tokenizer.apply_chat_template([row])["input_ids"]) for row in rows)
    print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall, tokens]))


if __name__ == "__main__":
    main()
