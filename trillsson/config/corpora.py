"""Specs of corpora: one class a layout. Each says where the corpus is and what of it is wanted."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trillsson.config.base import Spec, matching

Folder = Annotated[str, matching(r"[^/]*[^/.][^/]*", "the name of a folder, without /")]
"""The name of a folder: no path."""

SpeechSubset = Annotated[str, matching(r"(train|dev|test)-[^/]+", "the name of a subset, such as train-clean-100")]
"""The name of a subset of LibriSpeech."""


DatasetName = Annotated[
    str, matching(r"\w+(/[\w.-]+)?(:\d+\.\d+\.\d+)?", "a data set's name, such as crema_d, name/config or name:1.0.0")
]
"""The name of a data set of TensorFlow Datasets."""


class CorpusSpec(Spec):
    """What every corpus that is read has: where it is, and how many rejects are borne."""

    kind: str
    path: str = Field(min_length=1, description="folder or gs:// prefix of the corpus")
    max_reject_fraction: float = Field(0.0, ge=0, lt=1, description="prepare fails above this share of rejects")


class GeneratedCorpus(Spec):
    """Speech made on the spot by espeak-ng: seven labelled tasks, the same bytes for the same seed."""

    kind: Literal["generated"]
    seed: int = Field(0, description="another one makes other clips")
    scale: float = Field(1.0, gt=0, le=4, description="1.0 is about 3,000 clips, 110 minutes")


class FolderCorpus(CorpusSpec):
    """A folder of audio files and the folders in it, with an optional table of labels: CSV, or one JSON object a line.

    A pattern's `*` matches any characters, `/` too, as in the shell's `case`.
    """

    kind: Literal["folder"]
    include: tuple[str, ...] = Field(("*",), min_length=1, description="patterns of the paths that are wanted")
    exclude: tuple[str, ...] = Field((), description="patterns of the paths that are not")
    csv: str | None = Field(None, description="labels, relative to path; the first column is each file's path")
    jsonl: str | None = Field(None, description="labels, relative to path; `path` is each file's path")
    labels: tuple[str, ...] | None = Field(None, description="columns to keep; all if not given")
    speaker: str | None = Field(None, description="column that names the speaker")
    split: str | None = Field(None, description="column that names the split")

    @model_validator(mode="after")
    def _one_table(self) -> "FolderCorpus":
        if self.csv and self.jsonl:
            raise ValueError(f"csv {self.csv!r} and jsonl {self.jsonl!r} are both given; keep one")
        for key, value in (("speaker", self.speaker), ("split", self.split), ("labels", self.labels)):
            if value and not (self.csv or self.jsonl):
                raise ValueError(f"{key} names columns, and there is no table; give csv or jsonl, or leave it out")
        return self


class LibriSpeechCorpus(CorpusSpec):
    """LibriSpeech as its archives unpack: `<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<utterance>.flac`.

    A subset's name tells its split: train-*, dev-* or test-*.
    """

    kind: Literal["librispeech"]
    subsets: tuple[SpeechSubset, ...] | None = Field(
        None, min_length=1, description="such as train-clean-100; all that are there if not given"
    )


class LibriLightCorpus(CorpusSpec):
    """Libri-light as its archives unpack: `<subset>/<speaker>/<book>/<name>.flac`, each with a `<name>.json` beside it.

    Its clips are speech only, by the voice activity that the JSON tells.
    """

    kind: Literal["librilight"]
    subsets: tuple[Folder, ...] | None = Field(
        None, min_length=1, description="such as small; every folder of the corpus if not given"
    )


class AudioSetCorpus(CorpusSpec):
    """AudioSet: published lists of segments of YouTube videos, and a folder of what could be downloaded of them.

    A selected label selects all below it in the ontology, so `Speech` also selects `Conversation`.
    """

    kind: Literal["audioset"]
    max_reject_fraction: float = Field(
        0.5, ge=0, lt=1, description="prepare fails above this share of rejects; a third of the videos is gone"
    )
    segments: tuple[str, ...] = Field(
        ("balanced_train_segments.csv", "unbalanced_train_segments.csv", "eval_segments.csv"),
        min_length=1,
        description="lists of segments, relative to path; a name with `eval` is test, one with `train` is train",
    )
    audio: str = Field("", description="folder of the audio, relative to path; found at any depth below it")
    cut: bool = Field(True, description="files hold their segment only; false: each holds its whole video")
    labels: tuple[str, ...] | None = Field(
        None, min_length=1, description="segments with any of these names or ids (/m/09x0r); all if not given"
    )
    ontology: str | None = Field(None, description="ontology.json, relative to path; tells names, and what is below")
    class_labels: str | None = Field(None, description="class_labels_indices.csv, relative to path; tells names only")

    @model_validator(mode="after")
    def _names_can_be_told(self) -> "AudioSetCorpus":
        if self.ontology and self.class_labels:
            raise ValueError(
                f"ontology {self.ontology!r} and class_labels {self.class_labels!r} are both given; keep one"
            )
        names = [label for label in self.labels or () if not label.startswith("/")]
        if names and not (self.ontology or self.class_labels):
            raise ValueError(
                f"labels has the name {names[0]!r}; give ontology or class_labels, or its id, such as /m/09x0r"
            )
        return self


class VoxCelebCorpus(CorpusSpec):
    """VoxCeleb1: 1,251 speakers in interviews, for speaker identification."""

    kind: Literal["voxceleb"]
    split_file: str | None = Field(
        "iden_split.txt", min_length=1, description="the official split, relative to path; null: files have no split"
    )


class ASVspoofCorpus(CorpusSpec):
    """ASVspoof 2019, logical access: human speech, and speech synthesised or converted to fool a verifier."""

    kind: Literal["asvspoof"]


Emotion = Literal["ang", "dis", "exc", "fea", "fru", "hap", "neu", "oth", "sad", "sur"]
"""IEMOCAP's words for an emotion. Its `xxx`, on which no two annotators agreed, is none."""

Session = Annotated[int, Field(ge=1, le=5)]
"""A recording session of IEMOCAP: one woman and one man, who are in no other."""


class IEMOCAPCorpus(CorpusSpec):
    """IEMOCAP: acted and improvised dialogues of ten actors, cut into turns that were rated for emotion."""

    kind: Literal["iemocap"]
    emotions: tuple[Emotion, ...] = Field(
        ("ang", "hap", "neu", "sad"), min_length=1, description="emotions to label; other turns have no emotion label"
    )
    merge_excited: bool = Field(True, description="exc counts as hap, as in the usual set of four, 5,531 turns")
    validation_sessions: tuple[Session, ...] = Field((), description="sessions whose split is validation")
    test_sessions: tuple[Session, ...] = Field((5,), description="sessions whose split is test; the others are train")

    @model_validator(mode="after")
    def _one_meaning(self) -> "IEMOCAPCorpus":
        if self.merge_excited and "exc" in self.emotions:
            raise ValueError("emotions names 'exc', which merge_excited counts as hap; set merge_excited: false")
        if both := sorted(set(self.validation_sessions) & set(self.test_sessions)):
            raise ValueError(f"session {both[0]} is in validation_sessions and in test_sessions; keep one")
        return self


class ContainerCorpus(CorpusSpec):
    """A corpus whose files hold many recordings each, with what is known of them in columns beside the audio."""

    speaker: str | None = Field(None, description="column that names the speaker; `speaker_id`, if there is one")
    labels: tuple[str, ...] | None = Field(
        None, description="columns to keep as labels; every class, text, number and bool if not given"
    )
    splits: dict[str, Literal["train", "validation", "test", ""]] | None = Field(
        None,
        description="the corpus's word for a split -> ours, or `` for none; splits that are not named are left out",
    )


class TfdsCorpus(ContainerCorpus):
    """A data set that TensorFlow Datasets has prepared; its `columns` are features. `path` is the `data_dir`."""

    kind: Literal["tfds"]
    dataset: DatasetName = Field(
        examples=["crema_d"],
        description="name, name/config, name:1.0.0 or name/config:1.0.0; the newest version there if none is given",
    )
    audio: str = Field("audio", min_length=1, description="feature that holds the audio")
    sample_rate: int | None = Field(None, gt=0, description="Hz, for a data set that does not say")


class HuggingFaceCorpus(ContainerCorpus):
    """A Hugging Face data set on disk: Parquet files, as the Hub has them, or folders made by `save_to_disk`.

    A pattern's `*` matches any characters, `/` too, as in the shell's `case`.
    """

    kind: Literal["huggingface"]
    files: tuple[str, ...] = Field(("*",), min_length=1, description="patterns of the paths that are wanted")
    audio: str | None = Field(None, min_length=1, description="column that holds the audio; the only one if not given")


Corpus = Annotated[
    GeneratedCorpus
    | FolderCorpus
    | LibriSpeechCorpus
    | LibriLightCorpus
    | AudioSetCorpus
    | VoxCelebCorpus
    | ASVspoofCorpus
    | IEMOCAPCorpus
    | TfdsCorpus
    | HuggingFaceCorpus,
    Field(discriminator="kind"),
]
