"""What readers share whose corpus is a folder of subsets, such as `train-clean-100/` or `small/`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from pipelines.beam.corpora.reader import FileReader, Item, unlisted, wrong_layout
from trillsson.storage import FileInfo, join, open_storage


class SubsetReader(FileReader, ABC):
    """Base of readers of such a corpus: each subset that is wanted is listed once and must hold something.

    Args:
        path: root of the corpus, a folder or `gs://` prefix.
        subsets: the folders that are wanted; None: what there is.
        layout: what is expected below the corpus, such as `<subset>/<speaker>/<name>.flac`.
    """

    def __init__(self, path: str, subsets: tuple[str, ...] | None, *, layout: str) -> None:
        super().__init__(path)
        self._folders = ("",) if subsets is None else tuple(sorted(set(subsets)))
        self._layout = layout

    def items(self) -> Iterator[Item]:
        storage = open_storage(self._root)
        for folder in self._folders:
            as_expected = False
            for item in self._items(storage.scan(folder)):
                as_expected |= item.reject != "unlisted"
                yield item
            if not as_expected:
                where = join(self._root, folder) if folder else self._root
                expected = self._layout.removeprefix("<subset>/") if folder else self._layout
                # Listed again rather than remembered: a large corpus has too many paths to keep for an error.
                found = [path.removeprefix(f"{folder}/") for path in storage.list(folder)]
                raise wrong_layout(where, expected=expected, found=found)

    @abstractmethod
    def _items(self, files: Iterator[FileInfo]) -> Iterator[Item]:
        """Yields the items of one listing. Audio that is not where it belongs is a reject `unlisted`."""


def misplaced(file: FileInfo, layout: str) -> Item:
    """Returns the reject of audio that the corpus's layout has no place for."""
    return unlisted(file.path, file, f"it is not {layout}")
