"""Makes the generated corpus on disk, then hands it to the folder reader like a user's own."""

from pathlib import Path

from trillsson.config import FolderCorpus, GeneratedCorpus
from trillsson.digests import SHORT
from trillsson.progress import bar


def materialise(corpus: GeneratedCorpus, workdir: Path) -> FolderCorpus:
    """Generates the corpus below `workdir`, or finds it there, and returns the folder corpus that reads it.

    Raises:
        InputError: the speech synthesiser is not installed.
    """
    from trillsson.generated.corpus import LABELS, generate, identity
    from trillsson.generated.tasks import TASKS

    folder = workdir / "generated" / identity(corpus)[:SHORT]
    if not (folder / LABELS).exists():
        with bar("generate speech", 0, unit="clips") as progress:

            def advance(done: int, total: int) -> None:
                progress.total = total
                progress.update(done - progress.n)

            generate(corpus, folder, progress=advance)
    return FolderCorpus(
        kind="folder", path=str(folder), csv=LABELS, labels=tuple(TASKS), speaker="speaker", split="split"
    )
