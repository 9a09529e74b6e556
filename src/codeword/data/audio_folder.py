"""Any folder of audio files as a data set: broken files are named and skipped, never a crash."""

from codeword.config import AudioFolderConfig
from codeword.data.base import Split
from codeword.data.files.manifest import measure
from codeword.data.files.tree import classes_of, names_below, names_of_split, some
from codeword.data.recordings import Recording, Recordings
from codeword.errors import DataError
from codeword.media.audio import AUDIO_SUFFIXES


class AudioFolder(Recordings):
    """One split of the audio files below a folder; a recording's name is its path there.

    The first-level subfolders are the speakers, and those of the training split the classes; where there are no
    subfolders, or where files also lie beside them, the speaker is "" and `classes` is empty. A file's split
    follows from its relative path alone, so it is the same on every machine and stays when files are added.

    Raises:
        DataError: the folder is missing, or holds no readable audio for this split.
    """

    def __init__(self, config: AudioFolderConfig, split: Split) -> None:
        root = config.root.expanduser()
        if not root.is_dir():
            raise DataError(f"There is no folder {root}; set data.root to the folder that holds the audio.")
        names = sorted(names_below(root, AUDIO_SUFFIXES))
        if not names:
            raise DataError(
                f"{root} holds no audio (no file ends in .wav, .flac or another suffix that libsndfile reads); "
                f"set data.root to the folder that holds it."
            )
        folders = classes_of(root, names)
        mine = names_of_split(names, root, config, split)
        measured = measure(root, mine, sample_rate=config.sample_rate)
        if not measured.samples:
            raise DataError(
                f"None of the {len(mine):,} recordings of the {split} split in {root} can be read "
                f"({some(measured.skipped)}); replace them."
            )

        def speaker(name: str) -> str:
            return name.partition("/")[0] if folders else ""

        training = names_of_split(names, root, config, "train")
        super().__init__(
            config,
            [Recording(name, root / name, speaker(name), n) for name, n in measured.samples.items()],
            classes=tuple(sorted({speaker(name) for name in training})) if folders else (),
            skipped=measured.skipped,
        )
