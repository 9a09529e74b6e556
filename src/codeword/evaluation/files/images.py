"""Files of images: ours, PNG, WebP and JPEG, each image by itself and all side by side."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor

from codeword.codec import CompressOptions, Signal
from codeword.config import EvaluationConfig
from codeword.data import Dataset, evaluation_batches
from codeword.errors import UnsupportedError, UsageError
from codeword.evaluation.files.codeword_files import Amounts, Ours
from codeword.evaluation.files.image_formats import LADDER, images_a_picture, psnr_db, written
from codeword.evaluation.measure.intervals import mean_interval
from codeword.evaluation.results import FileFormat, Metric, metric
from codeword.model import Model

ONE_EACH = 100
"""How many images get a file of ours each: a walk along the prior for every one of them takes long."""


def measure_image_files(
    model: Model, data: Dataset, config: EvaluationConfig, *, progress: Callable[[int, int], None]
) -> tuple[list[FileFormat], dict[str, str]]:
    """Every format of a split of images of one size; and what was left out, with the reason. Raises DataError."""
    count, size = min(len(data), config.limit or len(data)), tuple(data.shape[1:])
    amounts = Amounts([float(prod(data.shape))] * count, "bit/dim")

    def signal(i: int) -> Signal:
        return Signal(str(i), size, lambda: [data.take([i]).x[0]])

    ours = Ours(model, [signal(i) for i in range(count)], amounts, progress)
    files, left_out = [], {}
    for setting, options, each in (
        ("one file", CompressOptions(), False),
        ("one file, portable", CompressOptions(portable=True), False),
        ("a file each", CompressOptions(), True),
    ):
        made = ours.write(setting, options, together=not each, most=ONE_EACH if each else None)
        found = ours.read(made, options)
        values = torch.cat([psnr_db(x[None], data.take([i]).x) for i, x in enumerate(found)])
        files.append(made.entry.model_copy(update={"metrics": {"psnr_db": _psnr(values)}}))
    try:
        files.append(ours.lossless("one file, lossless"))
    except (UsageError, UnsupportedError) as error:
        left_out["lossless files"] = str(error)
    return files + list(_others(data, amounts, count=count, progress=progress)), left_out


@dataclass
class _Sums:
    """What is known of one format so far: the bytes of its files, and the PSNR of each image."""

    sizes: list[int] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)


def _others(
    data: Dataset, amounts: Amounts, *, count: int, progress: Callable[[int, int], None]
) -> Iterator[FileFormat]:
    sums = [_Sums() for _ in LADDER]
    done = 0
    # A sheet of images at a time, so that large ones need not all be in memory.
    for batch in evaluation_batches(data, images_a_picture(tuple(data.shape[1:])), limit=count):
        images = batch.x.to(torch.uint8)
        for picture, known in zip(LADDER, sums, strict=True):
            sizes, found = written(images, picture)
            known.sizes += sizes
            if picture.lossless:
                assert torch.equal(found, images), f"{picture.title} is not lossless."
            else:
                known.values.append(psnr_db(found, images))
            done += len(images)
            progress(done, count * len(LADDER))
    for picture, known in zip(LADDER, sums, strict=True):
        size = sum(known.sizes)
        yield FileFormat(
            name=picture.title,
            setting=picture.setting,
            kind="lossless" if picture.lossless else "lossy",
            signals=count,
            files=len(known.sizes),
            bytes=size,
            rate=amounts.together(size) if picture.together else amounts.apart(known.sizes),
            metrics={} if picture.lossless else {"psnr_db": _psnr(torch.cat(known.values))},
        )


def _psnr(values: Tensor) -> Metric:
    return metric(mean_interval(values), "dB, mean over signals")
