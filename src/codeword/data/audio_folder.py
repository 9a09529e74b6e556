"""A folder of audio files as a data set; broken files are listed and skipped."""

from codeword.config import AudioFolderConfig
from codeword.data.base import Split
from codeword.data.files.manifest import recording_lengths
from codeword.data.files.tree import open_folder, unreadable
from codeword.data.recordings import Recording, Recordings
from codeword.media.audio_files import AUDIO_SUFFIXES


class AudioFolder(Recordings):
    """One split of the audio files below a folder; the name of a recording is its path relative to the folder.

    The first-level subfolders are the speakers, and those of the training split the classes. Without subfolders, or if
    the folder itself holds files as well, the speaker is "" and `classes` is empty. The splits depend only on the
    relative paths, so they are the same on every machine; a file that is added may move a few others, but none from
    train to test.

    Raises:
        DataError: the folder is missing, or holds no readable audio for this split.
    """

    def __init__(self, config: AudioFolderConfig, split: Split) -> None:
        folder = open_folder(config.root, AUDIO_SUFFIXES, kind="audio")
        has_classes = bool(folder.classes())
        names = folder.names_of(split, config)
        lengths = recording_lengths(folder.root, names, sample_rate=config.sample_rate)

        def speaker(name: str) -> str:
            return name.partition("/")[0] if has_classes else ""

        training = {speaker(name) for name in folder.names_of("train", config)}
        super().__init__(
            config,
            [Recording(name, folder.root / name, speaker(name), n) for name, n in lengths.items()],
            classes=tuple(sorted(training)) if has_classes else (),
            skipped=unreadable(names, lengths, root=folder.root, kind="recordings", split=split),
        )
