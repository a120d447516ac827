"""Files as `datasets` 5.2.0 writes them: the schemas and JSON here are what it made.

It was `Dataset.to_parquet` and `DatasetDict.save_to_disk` of columns `Audio(sampling_rate=16000)`,
`ClassLabel(names=["no", "yes"])`, `Value("string")` twice and `Value("int32")`.
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from pipelines.beam.corpora.huggingface import HuggingFaceReader
from pipelines.beam.corpora.reader import Item
from trillsson.config import HuggingFaceCorpus

NOTE = (
    b'{"info": {"features": {"audio": {"sampling_rate": 16000, "_type": "Audio"}, '
    b'"label": {"names": ["no", "yes"], "_type": "ClassLabel"}, "speaker_id": {"dtype": "string", "_type": "Value"}, '
    b'"age": {"dtype": "int32", "_type": "Value"}, "text": {"dtype": "string", "_type": "Value"}}}}'
)
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema(
    [("audio", AUDIO), ("label", pa.int64()), ("speaker_id", pa.string()), ("age", pa.int32()), ("text", pa.string())],
    metadata={b"huggingface": NOTE},
)
STATE = {
    "_fingerprint": "be54c4869c68dd1e",
    "_format_columns": ["age", "audio", "label", "speaker_id", "text"],
    "_format_kwargs": {},
    "_format_type": None,
    "_output_all_columns": False,
    "_split": None,
}
Row = Mapping[str, Any]


def wav(number: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.full(1_600, number, np.int16), 16_000, format="WAV")
    return file.getvalue()


def row(number: int, **changes: Any) -> Row:
    audio = {"bytes": wav(number), "path": f"{number}.wav"}
    known = {"audio": audio, "label": number % 2, "speaker_id": f"s{number}", "age": 20 + number, "text": "hello"}
    return {**known, **changes}


def write_parquet(path: Path, rows: Sequence[Row], schema: pa.Schema = SCHEMA) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=2)


def save_to_disk(folder: Path, shards: Sequence[Sequence[Row]], **state: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data-{number:05d}-of-{len(shards):05d}.arrow" for number in range(len(shards))]
    for name, rows in zip(names, shards, strict=True):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, SCHEMA) as stream:
            for batch in pa.Table.from_pylist(rows, SCHEMA).to_batches(max_chunksize=2):
                stream.write_batch(batch)
    told = {"_data_files": [{"filename": name} for name in names], **STATE, **state}
    (folder / "state.json").write_text(json.dumps(told, indent=2))
    (folder / "dataset_info.json").write_text('{"features": {}}')


def reader_of(root: Path | str, **changes: Any) -> HuggingFaceReader:
    return HuggingFaceReader(HuggingFaceCorpus(**{"kind": "huggingface", "path": str(root), **changes}))


def items_of(root: Path, **changes: Any) -> list[Item]:
    return list(reader_of(root, **changes).items())
