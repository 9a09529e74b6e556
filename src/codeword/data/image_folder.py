"""A folder of image files as a data set; broken files are listed and skipped."""

from concurrent.futures import ThreadPoolExecutor
from itertools import compress

from torch import Tensor

from codeword.config import ImageFolderConfig
from codeword.data.base import Split
from codeword.data.files.tree import open_folder, unreadable
from codeword.data.pictures import THREADS, Pictures
from codeword.errors import DataError
from codeword.media.images import IMAGE_SUFFIXES, read_image, read_image_size


class ImageFolder(Pictures):
    """One split of the images below a folder.

    The first-level subfolders, sorted, are the classes. Without subfolders, or if the folder itself holds images as
    well, `classes` is empty and every label is 0. The splits depend only on the relative paths, so they are the same on
    every machine; a file that is added may move a few others, but none from train to test.

    Raises:
        DataError: the folder is missing, or holds no readable image for this split.
    """

    def __init__(self, config: ImageFolderConfig, split: Split) -> None:
        folder = open_folder(config.root, IMAGE_SUFFIXES, kind="images")
        self._root, self.classes = folder.root, folder.classes()
        names = folder.names_of(split, config)
        with ThreadPoolExecutor(THREADS) as pool:
            readable = list(compress(names, pool.map(self._has_good_header, names)))
        super().__init__(
            config, readable, unreadable(names, set(readable), root=folder.root, kind="images", split=split)
        )

    def picture(self, i: int) -> Tensor:
        return read_image(self._root / self._names[i])

    def label(self, i: int) -> int:
        return self.classes.index(self._names[i].partition("/")[0]) if self.classes else 0

    def _has_good_header(self, name: str) -> bool:
        try:
            read_image_size(self._root / name)
        except DataError:
            return False
        return True
