"""The Free Spoken Digit Dataset (Jackson et al. 2018): recordings named digit_speaker_number."""

import re
from pathlib import Path

from codeword.config import SpokenDigitsConfig
from codeword.data.base import Split
from codeword.data.files.manifest import recording_lengths
from codeword.data.files.root import data_root
from codeword.data.files.tree import names_below, unreadable
from codeword.data.recordings import Recording, Recordings
from codeword.errors import DataError

FOLDER = "free-spoken-digit-dataset"
CLASSES = tuple("0123456789")
_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_/]+)_(?P<number>\d+)\.(flac|wav)")


class SpokenDigits(Recordings):
    """One split of the recordings; their classes are the digits, and the name is that of the file.

    Raises:
        DataError: the folder is missing, or holds no readable recording for this split.
    """

    speed_changes_class = False

    def __init__(self, config: SpokenDigitsConfig, split: Split) -> None:
        folder = _find(data_root(config.root))
        apart = split == "test" and bool(config.test)
        wanted = config.test if apart else config.train
        names = []
        for name in names_below(folder, {".flac", ".wav"}):
            found = _NAME.fullmatch(name)
            if found is None or found["speaker"] not in wanted:
                continue
            if apart or (int(found["number"]) < config.valid_below) == (split != "train"):
                names.append(name)
        if not names:
            raise DataError(f"{folder} holds no recording of {', '.join(wanted)} for {split}; change data.{split}.")
        lengths = recording_lengths(folder, sorted(names), sample_rate=config.sample_rate)
        broken = unreadable(names, lengths, root=folder, kind="recordings", split=split)
        super().__init__(
            config,
            [Recording(Path(name).stem, folder / name, name[0], n) for name, n in lengths.items()],
            classes=CLASSES,
            skipped=broken,
        )


def _find(root: Path) -> Path:
    """The folder of the recordings. Raises DataError."""
    for folder in (root, root / FOLDER, root / "digits" / FOLDER):
        if (folder / "recordings").is_dir():
            return folder / "recordings"
    raise DataError(
        f"There is no folder {FOLDER} in {root}; put https://github.com/Jakobovski/free-spoken-digit-dataset there, or "
        f"set CODEWORD_DATA or data.root."
    )
