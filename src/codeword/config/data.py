"""Data sets."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from codeword.config.base import Config, Fraction, NonNegative


def _in_order(ends: tuple[int, int]) -> tuple[int, int]:
    if ends[0] >= ends[1]:
        raise ValueError(f"the end must be above the start, {ends[0]}, not {ends[1]}")
    return ends


class SyntheticImagesConfig(Config):
    """Drawn scenes of ten classes; needs no files."""

    kind: Literal["synthetic-images"] = "synthetic-images"
    size: Annotated[int, Field(ge=8, le=256)] = 32
    """Height and width in pixels."""
    plain: bool = False
    """Draw grey shapes on black, which very small models keep recognisable, instead of coloured scenes."""
    variation: Fraction = 1.0
    """Share of the full range of colours, place, size and turn; at 0 all scenes of a class are the same."""
    train: PositiveInt = 8192
    """Number of images in the split, also for `valid` and `test`."""
    valid: PositiveInt = 512
    test: PositiveInt = 512


class Cifar10Config(Config):
    """CIFAR-10 in its official binary or Python layout: 45,000 / 5,000 / 10,000 images for train, valid and test."""

    kind: Literal["cifar10"] = "cifar10"
    root: Path | None = None
    """The folder of the data set or the one above it; by default $CODEWORD_DATA or the cache."""
    flip: bool = True
    """Mirror half of the training images."""


Range = Annotated[tuple[Annotated[int, Field(ge=0)], PositiveInt], AfterValidator(_in_order)]


class MnistConfig(Config):
    """Written digits of MNIST (LeCun et al. 1998) in its official files, as images of three equal channels."""

    kind: Literal["mnist"] = "mnist"
    root: Path | None = None
    """The folder of the files, or one above it; by default $CODEWORD_DATA or the cache."""
    files: Literal["train", "t10k"] = "t10k"
    """The official files of 60,000 or 10,000 images."""
    train: Range = (0, 8000)
    """First image of the split, and the one after its last, also for `valid` and `test`."""
    valid: Range = (8000, 9000)
    test: Range = (9000, 10000)


class ImageFolderConfig(Config):
    """A folder of image files; subfolders, if there are any, are the classes."""

    kind: Literal["image-folder"] = "image-folder"
    root: Path
    size: Annotated[int, Field(ge=8, le=4096)] = 32
    """Height and width in pixels after cropping and resizing."""
    crop: Literal["centre", "random"] = "centre"
    flip: bool = False
    valid_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1


class AudioConfig(Config):
    """Fields of every set of recordings: the training crops, and the conversion of samples to integers."""

    sample_rate: Annotated[int, Field(ge=1000, le=192_000)] = 16_000
    """Hz; recordings of another rate are resampled, channels are averaged."""
    crop_samples: Annotated[int, Field(ge=16, le=1 << 24)] = 16_000
    values: Literal[256, 65536] = 65536
    """65536 for linear 16-bit samples, 256 for mu-law."""
    speed: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Half of the training crops are resampled by up to this fraction, unlabelled, to imitate unseen voices."""
    gain_db: NonNegative = 0.0
    """Largest random gain of training crops, in both directions."""
    colour_db: Annotated[float, Field(ge=0, le=24)] = 0.0
    """Largest gain of a random smooth equaliser on training crops, which imitates other rooms and microphones."""


Selector = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,3}$")]
Selectors = Annotated[tuple[Selector, ...], Field(min_length=1)]


class LibriSpeechConfig(AudioConfig):
    """LibriSpeech in its official layout; the classes are the speakers of the training split.

    Each split names subsets, speakers, chapters or utterances by their path: `train-clean-100`, `train-clean-100/19`,
    `train-clean-100/19/198`. If two splits name the same recording, the longer path wins, so that a chapter can be held
    out of a subset.
    """

    kind: Literal["librispeech"] = "librispeech"
    root: Path | None = None
    """The folder that holds LibriSpeech/; by default $CODEWORD_DATA or the cache."""
    train: Selectors = ("train-clean-100",)
    valid: Selectors = ("dev-clean",)
    test: Selectors = ("test-clean",)
    alignments: Path | None = None
    """Phones of the utterances, in the tab format that `codeword align` writes, or a folder of TextGrids; by default
    `trans.phones.txt` in LibriSpeech/ or in its parent folder."""


class AudioFolderConfig(AudioConfig):
    """A folder of audio files; subfolders, if there are any, are the classes (speakers)."""

    kind: Literal["audio-folder"] = "audio-folder"
    root: Path
    valid_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1


class SourceConfig(Config):
    """Fields of every set of signals that lie in archives, in Parquet files or on the Hugging Face Hub."""

    source: str
    """`shards/{000..009}.tar` in the layout of WebDataset, a .parquet file or a folder of them, an http(s) address of
    either, `hf:owner/name` on the Hugging Face Hub, a folder of `datasets.save_to_disk`, or a folder of files."""
    split: str = "train"
    """The split of a data set of the Hugging Face Hub; it is divided further."""
    column: str | None = None
    """The column of the signals, where there are columns; by default the first one of their type."""
    label_column: str | None = None
    """The column of the classes; by default the first of type ClassLabel, or called label, speaker_id or speaker."""
    valid_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1


class ImageSourceConfig(SourceConfig):
    """Images in archives, in Parquet files or on the Hugging Face Hub, read where they are."""

    kind: Literal["images"] = "images"
    size: Annotated[int, Field(ge=8, le=4096)] = 32
    """Height and width in pixels after cropping and resizing."""
    crop: Literal["centre", "random"] = "centre"
    flip: bool = False


class AudioSourceConfig(AudioConfig, SourceConfig):
    """Recordings in archives, in Parquet files or on the Hugging Face Hub, read where they are."""

    kind: Literal["recordings"] = "recordings"


class SyntheticSpeechConfig(AudioConfig):
    """Syllables of four voices from a source-filter model, with known phones; needs no files."""

    kind: Literal["synthetic-speech"] = "synthetic-speech"
    says: Literal["syllables", "shapes"] = "syllables"
    """Random syllables, with voices as classes, or names of the shapes of drawn scenes, with these as classes."""
    train: PositiveInt = 256
    """Number of utterances in the split, also for `valid` and `test`."""
    valid: PositiveInt = 16
    test: PositiveInt = 16


class SpokenDigitsConfig(AudioConfig):
    """Spoken digits of the Free Spoken Digit Dataset (Jackson et al. 2018); the classes are the digits.

    Validation takes the recordings of the training speakers with numbers below `valid_below`, which the data set calls
    its test split; here the test is of other speakers.
    """

    kind: Literal["spoken-digits"] = "spoken-digits"
    root: Path | None = None
    """The folder of the data set, or one above it; by default $CODEWORD_DATA or the cache."""
    train: Annotated[tuple[str, ...], Field(min_length=1)] = ("george", "jackson", "lucas", "nicolas", "theo")
    """Speakers."""
    valid_below: Annotated[int, Field(ge=1)] = 5
    test: tuple[str, ...] = ("yweweler",)
    """Speakers, who are not those of training; without any, the test is that of validation."""

    @model_validator(mode="after")
    def _speakers_are_apart(self) -> Self:
        if both := set(self.train) & set(self.test):
            raise ValueError(f"train and test both name {', '.join(sorted(both))}; name each speaker once")
        return self


MOST_CODES = 64
"""Largest number of codes in a cell of tokens."""


class TokensConfig(Config):
    """Tokens that another tokenizer made: integers (*S), or (*S, K), in .npy, .npz or Parquet files or a data set.

    Where each file holds one signal, each signal is divided along its first axis: training, validation, test. Where a
    file holds several, they are divided as the files of a folder are.
    """

    kind: Literal["tokens"] = "tokens"
    root: Path
    """A file or a folder of files, `hf:owner/name` on the Hugging Face Hub, or a folder of its `datasets`."""
    column: str | None = None
    """The column of a data set that holds the tokens, or the only array of .npz files to read."""
    split: str = "train"
    """The split of a data set of the Hugging Face Hub, which is divided further."""
    crop: Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=3)]
    """Size *S of a training signal; the prior predicts within it."""
    codes: Annotated[int, Field(ge=1, le=MOST_CODES)] = 1
    """Number K of codes of each cell; above 1, it is the last axis of the arrays."""
    values: Annotated[int, Field(ge=2, le=65536)] | None = None
    """Number of different tokens; by default that of the tokenizer, if it has one, else found in the data."""
    valid_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1


class PairsConfig(Config):
    """Pairs of signals of one class, from the data of two recipes, each with its own tokenizer and prior."""

    kind: Literal["pairs"] = "pairs"
    first: str = "mnist"
    """A shipped recipe or the path of one, also for `second`; both have the same classes."""
    second: str = "spoken-digits"
    judges: tuple[str, str] | None = None
    """Recipes of classifiers of the same data, which read what is drawn; None measures no coherence."""
    shuffled: bool = False
    """Pair signals of any two classes, as a control: then one says nothing about the other."""


ImagesConfig = SyntheticImagesConfig | Cifar10Config | MnistConfig | ImageFolderConfig | ImageSourceConfig
RecordingsConfig = (
    LibriSpeechConfig | AudioFolderConfig | AudioSourceConfig | SpokenDigitsConfig | SyntheticSpeechConfig
)
DataConfig = Annotated[ImagesConfig | RecordingsConfig | TokensConfig | PairsConfig, Field(discriminator="kind")]
