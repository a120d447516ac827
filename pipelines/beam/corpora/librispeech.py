"""LibriSpeech: 1,000 hours of read English, cut into utterances."""

import re
from collections.abc import Iterator, Mapping

from pipelines.beam.corpora.reader import About, Item, item_of
from pipelines.beam.corpora.subsets import SubsetReader, misplaced
from trillsson.audio import is_audio
from trillsson.config import LibriSpeechCorpus
from trillsson.errors import InputError
from trillsson.splits import normalise_split
from trillsson.storage import FileInfo, open_storage

ABOUT = About(
    name="LibriSpeech",
    get="openslr.org/12, open: any of dev-clean, dev-other, test-clean, test-other, train-clean-100, train-clean-360, "
    "train-other-500 (.tar.gz); all unpack to one folder LibriSpeech/",
    licence="CC BY 4.0",
    size="982 h, 292,367 FLAC files, 60 GB; dev-clean alone 5.4 h, 0.3 GB",
    layout="<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<utterance>.flac\n"
    "SPEAKERS.TXT (optional: label gender)\nCHAPTERS.TXT (optional: label book)",
)

LAYOUT = "<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<utterance>.flac"
_UTTERANCE = re.compile(r"(train|dev|test)-[^/]+/([0-9]+)/([0-9]+)/\2-\3-[0-9]+\.flac")
_SUBSET = re.compile(r"(train|dev|test)-[^/]+/")
_GENDER_FIELD = 1
_BOOK_FIELD = 5


class LibriSpeechReader(SubsetReader):
    """Reads a `LibriSpeechCorpus`. Labels: `speaker`, `chapter`, and `gender` (F or M) and `book` where they are known.

    Audio in a subset that does not bear the name of an utterance is a reject `unlisted`. What lies in other folders,
    such as original-mp3/, is no part of this corpus. Lists of utterances are not read, so that none can be `missing`.
    """

    def __init__(self, spec: LibriSpeechCorpus) -> None:
        super().__init__(spec.path, spec.subsets, layout=LAYOUT)

    def _items(self, files: Iterator[FileInfo]) -> Iterator[Item]:
        genders = self._column("SPEAKERS.TXT", _GENDER_FIELD)
        books = self._column("CHAPTERS.TXT", _BOOK_FIELD)
        for file in files:
            named = _UTTERANCE.fullmatch(file.path)
            if named:
                split, speaker, chapter = named.groups()
                labels = {
                    "speaker": speaker,
                    "gender": genders.get(speaker, ""),
                    "chapter": chapter,
                    "book": books.get(chapter, ""),
                }
                yield item_of(
                    file.path,
                    file,
                    speaker=speaker,
                    split=normalise_split(split, where=file.path),
                    labels={name: value for name, value in labels.items() if value},
                )
            elif _SUBSET.match(file.path) and is_audio(file.path):
                yield misplaced(file, LAYOUT)

    def _column(self, table: str, field: int) -> Mapping[str, str]:
        """Maps the id that begins each line of a table to one of its other fields; no table, no ids."""
        data = open_storage(self._root).read(table) or b""
        known = {}
        # Only titles and names can be other than ASCII, and they are not looked at.
        for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1):
            if not line.strip() or line.startswith(";"):
                continue
            # Names and titles hold the separator too (speaker 60 is "|CBW|Simon"), but they come last.
            fields = [cell.strip() for cell in line.split("|")]
            if len(fields) <= field:
                raise InputError(
                    f"{self._root}/{table} line {number} has {len(fields)} fields, not {field + 1} or more; "
                    "get the table again or remove it"
                )
            known[fields[0]] = fields[field]
        return known
