"""The rows as Parquet: the columns of the native rows, typed, `messages` a list of structs.

Arguments of tool calls and the `tools` column stay JSON text. As structs, every call would be given the
parameters of all the others, as nulls, and trainers would render those; as text they are what was
written, and both Axolotl and TRL read them. Row groups are small, so that a reader needs little memory.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sera.datasets.exchange.contract import BuiltDataset, Options, Row
from sera.datasets.lines import json_line
from sera.errors import DatasetError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_BYTES = 32_000_000
"""Size of a row group, in bytes of JSON."""
FILE = "train.parquet"


def write_parquet(dataset: BuiltDataset, folder: Path, options: Options) -> Counter[str]:  # noqa: ARG001 - the contract
    with ParquetFile(folder / FILE) as file:
        for group in groups(dataset.rows(), GROUP_BYTES):
            file.append(group)
    return Counter()


def groups(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Consecutive rows, as many as make `size` bytes of JSON, at least one."""
    group: list[Row] = []
    held = 0
    for row in rows:
        group.append(row)
        held += len(json_line(row))
        if held >= size:
            yield group
            group, held = [], 0
    if group:
        yield group


class ParquetFile:
    """A Parquet file under way. Its schema is that of the first row; every row must fit it."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow.parquet
        except ImportError as missing:
            raise UsageError('Parquet needs a library: pip install "sera[parquet]"') from missing
        self._pyarrow = pyarrow
        self._path = path
        self._writer: Any = None

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def append(self, rows: list[Row]) -> None:
        """Write one row group."""
        if self._writer is None:
            self._schema = self._schema_of(rows[0])
            self._writer = self._pyarrow.parquet.ParquetWriter(self._path, self._schema, compression="zstd")
        for row in rows:
            if row.keys() != set(self._schema.names):
                raise DatasetError(
                    f"row {row.get('id')} has other columns than the first: build the dataset again"
                )
        try:
            table = self._pyarrow.Table.from_pylist(rows, schema=self._schema)
        except (self._pyarrow.ArrowInvalid, self._pyarrow.ArrowTypeError) as problem:
            raise DatasetError(f"a row has other types than the first: {problem}") from problem
        self._writer.write_table(table, row_group_size=len(rows))

    def _schema_of(self, row: Row) -> "pa.Schema":
        pa = self._pyarrow
        columns = [
            (name, self._messages(value) if name == "messages" else self._type(value))
            for name, value in row.items()
        ]
        return pa.schema(columns)

    def _messages(self, messages: list[Row]) -> "pa.DataType":
        pa = self._pyarrow
        text = pa.string()
        call = pa.struct(
            [("id", text), ("type", text), ("function", pa.struct([("name", text), ("arguments", text)]))]
        )
        known = {"tool_calls": pa.list_(call)}
        return pa.list_(
            pa.struct([(name, known.get(name) or self._type(value)) for name, value in messages[0].items()])
        )

    def _type(self, value: object) -> "pa.DataType":
        pa = self._pyarrow
        if isinstance(value, list):
            return pa.list_(self._type(value[0]) if value else pa.string())
        if isinstance(value, dict):
            return pa.struct([(name, self._type(item)) for name, item in value.items()])
        types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
        if type(value) not in types:
            raise DatasetError(f"a column with {value!r} has no type in Parquet")
        return types[type(value)]
