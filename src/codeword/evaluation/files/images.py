"""Files of images: ours, PNG, WebP and JPEG, with one image a file and with all images side by side."""

from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

from codeword.codec import CompressOptions, Signal
from codeword.data import Dataset, evaluation_batches
from codeword.evaluation.files.amounts import Amounts, Progress
from codeword.evaluation.files.codeword_files import CodewordFiles
from codeword.evaluation.files.image_formats import LADDER, images_a_file, psnr_db, round_trip
from codeword.evaluation.measure.intervals import mean_metric
from codeword.evaluation.results import FileFormat, Metric
from codeword.model import Model

ONE_EACH = 100
"""Number of images that get one of our files each: the prior runs cell by cell for each of them, which is slow."""


class ImageFiles:
    """Files of the first `limit` images of a split, all of one size."""

    def __init__(self, model: Model, data: Dataset, limit: int | None, progress: Progress) -> None:
        self.data, self.progress = data, progress
        count, self.size = min(len(data), limit or len(data)), tuple(data.shape[1:])
        self.amounts = Amounts([float(prod(data.shape))] * count, "bit/dim")
        self.signals = [self._signal(i) for i in range(count)]
        self.left_out: dict[str, str] = {}

    def ours(self, files: CodewordFiles) -> Iterator[FileFormat]:
        """Our files: all images in one file, and one file for each of the first images."""
        for setting, one_each in (("one file", None), ("a file each", ONE_EACH)):
            written = files.write(setting, CompressOptions(), one_each=one_each)
            values = [psnr_db(x[None], self.data.take([i]).x) for i, x in enumerate(files.read(written))]
            yield written.entry.model_copy(update={"metrics": _quality(values)})

    def others(self) -> Iterator[FileFormat]:
        """PNG, WebP and JPEG at every setting."""
        sizes: list[list[int]] = [[] for _ in LADDER]
        values: list[list[Tensor]] = [[] for _ in LADDER]
        done, count = 0, len(self.signals)
        # One sheet of images at a time: all large images together may not fit in memory.
        for batch in evaluation_batches(self.data, images_a_file(self.size), limit=count):
            images = batch.x.to(torch.uint8)
            for k, form in enumerate(LADDER):
                form_sizes, decoded = round_trip(images, form)
                sizes[k] += form_sizes
                values[k].append(psnr_db(decoded, images))
                done += len(images)
                self.progress(done, count * len(LADDER))
        for k, form in enumerate(LADDER):
            yield self.amounts.entry(form, sizes[k], _quality(values[k]))

    def _signal(self, i: int) -> Signal:
        return Signal(str(i), self.size, lambda: [self.data.take([i]).x[0]])


def _quality(values: list[Tensor]) -> dict[str, Metric]:
    return {"psnr_db": mean_metric(torch.cat(values), "dB, mean over signals")}
