"""Files of tokens as a data set: crops of their grids."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from codeword.config import TokensConfig
from codeword.data.base import Batch, Dataset, Split
from codeword.data.files.tree import open_folder
from codeword.errors import DataError
from codeword.media.tokens import TOKEN_SUFFIXES, open_tokens


class TokenFiles(Dataset):
    """One split of files of tokens, in crops int64 (K, *crop).

    Along its first axis, which is mostly time, each file is divided: the first part is for training, the next for
    validation, the last for testing. The signals are the crops side by side; with a generator, a crop starts anywhere.

    Raises:
        DataError: a file is missing or invalid, or no file has a crop for this split.
    """

    in_memory = True

    def __init__(self, config: TokensConfig, split: Split) -> None:
        self._crop = config.crop
        self.shape = (config.codes, *config.crop)
        root = config.root.expanduser()
        names = open_folder(root, TOKEN_SUFFIXES, kind="tokens").names if root.is_dir() else ("",)
        self._crops: list[tuple[NDArray[np.integer], tuple[int, ...]]] = []
        for path in map(root.joinpath, names):
            tokens = open_tokens(path, ndim=len(config.crop), codes=config.codes, values=config.values)
            test = round(len(tokens) * (1 - config.test_fraction))
            valid = round(len(tokens) * (1 - config.test_fraction - config.valid_fraction))
            part = {"train": tokens[:valid], "valid": tokens[valid:test], "test": tokens[test:]}[split]
            starts = (range(0, n - crop + 1, crop) for n, crop in zip(part.shape[:-1], self._crop, strict=True))
            self._crops += [(part, start) for start in product(*starts)]
        if not self._crops:
            raise DataError(
                f"{config.root} has no {split} crop of {list(config.crop)} tokens; give more tokens or a smaller crop."
            )

    def __len__(self) -> int:
        return len(self._crops)

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        crops = []
        for index in indices:
            tokens, start = self._crops[index]
            if generator is not None:
                most = [n - crop for n, crop in zip(tokens.shape[:-1], self._crop, strict=True)]
                start = tuple(int(torch.randint(m + 1, (), generator=generator)) for m in most)
            region = tuple(slice(s, s + crop) for s, crop in zip(start, self._crop, strict=True))
            crops.append(torch.from_numpy(tokens[region].astype(np.int64)).movedim(-1, 0))
        return Batch(torch.stack(crops), torch.zeros(len(crops), dtype=torch.int64))
