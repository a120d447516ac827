"""Makes the generated corpus on disk, then hands it to the folder reader like a user's own."""

from pathlib import Path

from pipelines.beam.corpora.reader import About
from trillsson.config import FolderCorpus, GeneratedCorpus
from trillsson.digests import SHORT
from trillsson.progress import bar

ABOUT = About(
    name="synthetic speech by espeak-ng, for trying out",
    get="nothing to download: pip install 'trillsson[quickstart]'; `prepare` makes it, below a local workdir",
    licence="espeak-ng is GPL-3.0; that does not cover the audio it makes",
    size="scale 1.0: 110 minutes, about 3,000 clips of seven tasks",
    layout="<workdir>/generated/<digest>/<task>/<split>/<label>-<nnn>.flac|.wav\n"
    "<workdir>/generated/<digest>/labels.csv",
)


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
