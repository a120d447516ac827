"""Parquet files and Arrow streams read alike: columns in batches, or one cell, without what lies beside it."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.beam.corpora.containers import LocalFile, Recent

if TYPE_CHECKING:
    from pyarrow import RecordBatch, Schema

BATCH = 1_000
"""Rows that are in memory at once where audio is left out."""

AUDIO_BATCH = 64
"""Rows of one piece of a row group's audio: a piece cannot hold 2 GiB or more."""


class Table(Protocol):
    """A file of rows. What Arrow cannot read raises `pyarrow.ArrowException` or `OSError`."""

    @property
    def schema(self) -> "Schema":
        """Its Arrow schema."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    def batches(self, columns: Sequence[str]) -> Iterator["RecordBatch"]:
        """Yields columns, in order, a thousand rows or so at a time.

        Args:
            columns: names; a child of a struct is `struct.child`, for which the struct comes with that child only,
                or with others as well.
        """

    def cell(self, column: str, row: int) -> Any:
        """Returns one cell as Python has it, or None if it is null. Several threads may call it at once.

        Raises:
            IndexError: there are fewer rows.
        """


class ParquetTable:
    """A Parquet file. `cell` reads a row group's column whole, and keeps the last two.

    Args:
        file: its path.
    """

    def __init__(self, file: LocalFile) -> None:
        from pyarrow.parquet import ParquetFile

        self._file = file
        with ParquetFile(file.path) as opened:
            self._schema = opened.schema_arrow
            metadata = opened.metadata
            rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._starts = [0, *accumulate(rows)]
        self._groups: Recent[tuple[str, int], Any] = Recent(2)

    @property
    def schema(self) -> "Schema":
        return self._schema

    @property
    def rows(self) -> int:
        return int(self._starts[-1])

    def batches(self, columns: Sequence[str]) -> Iterator["RecordBatch"]:
        from pyarrow.parquet import ParquetFile

        with ParquetFile(self._file.path) as opened:
            yield from opened.iter_batches(BATCH, columns=list(columns), use_threads=False)

    def cell(self, column: str, row: int) -> Any:
        if row >= self._starts[-1]:
            raise IndexError(row)
        group = bisect_right(self._starts, row) - 1
        cells = self._groups.get((column, group), lambda: self._column(column, group))
        return cells[row - self._starts[group]].as_py()

    def _column(self, column: str, group: int) -> Any:
        from pyarrow import chunked_array
        from pyarrow.parquet import ParquetFile

        with ParquetFile(self._file.path) as opened:
            batches = opened.iter_batches(AUDIO_BATCH, row_groups=[group], columns=[column], use_threads=False)
            return chunked_array([batch.column(column) for batch in batches])


class ArrowTable:
    """A file of Arrow's streaming format, mapped into memory: only what is asked for is read.

    Args:
        file: its path.
    """

    def __init__(self, file: LocalFile) -> None:
        import pyarrow

        self._file = file  # Holds a copy as long as it is mapped.
        self._table = pyarrow.ipc.open_stream(pyarrow.memory_map(str(file.path))).read_all()

    @property
    def schema(self) -> "Schema":
        return self._table.schema

    @property
    def rows(self) -> int:
        return int(self._table.num_rows)

    def batches(self, columns: Sequence[str]) -> Iterator["RecordBatch"]:
        names = [name.partition(".")[0] for name in columns]
        yield from self._table.select(names).to_batches(max_chunksize=BATCH)

    def cell(self, column: str, row: int) -> Any:
        return self._table.column(column)[row].as_py()


def open_table(file: LocalFile) -> Table:
    """Opens a file by its name: `.arrow`, else Parquet.

    Raises:
        pyarrow.ArrowException: it is neither, or damaged.
        OSError: it cannot be read.
    """
    return ArrowTable(file) if file.path.suffix == ".arrow" else ParquetTable(file)
