"""`dataset_info.json`, in which TensorFlow Datasets announces the files of a data set and the rows in each."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.beam.corpora.tfds_features import library
from trillsson.config.mistakes import explain
from trillsson.errors import InputError

Rows = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]


class SplitInfo(BaseModel):
    """One split: its name, rows of each file, and how the files are called; the library's own way if that is empty."""

    model_config = ConfigDict(frozen=True)

    name: Text
    lengths: tuple[Rows, ...] | None = Field(None, alias="shardLengths")
    template: str = Field("", alias="filepathTemplate")


class Info(BaseModel):
    """What is read of the file; keys that are not listed here count for nothing."""

    model_config = ConfigDict(frozen=True)

    name: Text
    format: str = Field("tfrecord", alias="fileFormat")
    splits: tuple[SplitInfo, ...] = ()


def parse_info(content: Any, *, where: str) -> Info:
    """Checks the content of the file.

    Args:
        content: as JSON values.
        where: the file's URI.

    Raises:
        InputError: it is not what the library writes; says where in it.
    """
    try:
        return Info.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the whole"
        raise InputError(f"{where}: {key}: {explain(first)}; prepare the data set anew") from error


def split_files(info: Info, split: SplitInfo, *, where: str) -> Iterator[tuple[str, int]]:
    """Yields the path, below the data set's folder, and the rows of each file of a split.

    Raises:
        InputError: the split does not tell them.
    """
    if split.lengths is None:
        raise InputError(f"{where} has no shardLengths for {split.name}; prepare the data set anew")
    template = library().core.ShardedFileTemplate
    for number, rows in enumerate(split.lengths):
        try:
            named = template(
                data_dir=".",
                template=split.template,
                dataset_name=info.name,
                split=split.name,
                filetype_suffix=info.format,
            )
            name = named.relative_filepath(shard_index=number, num_shards=len(split.lengths))
        except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
            told = f"filepathTemplate {split.template!r} of {split.name}"
            raise InputError(f"{where} has {told}, which names no file; prepare the data set anew") from error
        yield str(name), rows
