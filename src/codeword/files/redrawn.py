"""Draw a part of a picture or a recording anew, or continue a recording."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.arguments import check_class
from codeword.codec.redraw import redraw_codes
from codeword.coding import decode_signal, encode_signal, leading_codes
from codeword.config import TokenizerConfig
from codeword.errors import UsageError
from codeword.files.paths import check_outputs, is_one_file
from codeword.media import Medium, medium_of
from codeword.model import Model
from codeword.nn.grids import extended
from codeword.nn.walk import Choose


@dataclass(frozen=True)
class Redrawing:
    """Settings of `redraw_file`, which draws the part `mask` of a signal, or `seconds` that follow it, `count` times.

    Attributes:
        mask: as `Medium.mask` takes it; None to continue the signal.
        seconds: the length of the continuation.
        count: the number of drawn signals.
        label: the class that conditions prior and decoder, where these have classes.
        guidance: how much the label counts, as for `codeword.priors.redraw`.
        codes: the number of leading codes of each cell; None for all.
    """

    mask: str | None = None
    seconds: float | None = None
    count: int = 1
    label: int | None = None
    guidance: float = 1.0
    codes: int | None = None


@torch.no_grad()
def redraw_file(
    model: Model,
    source: Path,
    out: Path,
    asked: Redrawing,
    choose: Choose,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Draw a part of the signal of a file, or what follows it, and write it to `out`; returns the paths.

    `out` is a file, or for several drawn signals a folder. What is not drawn stays as it is, but for a cross-fade of
    one cell at the borders.

    Raises:
        UsageError: the file is of another medium, the mask or the length is unusable, or an output exists.
        UnsupportedError: the model has no trained prior, or one that does not serve this number of codes.
        DataError: the file cannot be read.
    """
    tokenizer, config = model.tokenizer, model.tokenizer.config
    medium = medium_of(config)
    if source.suffix.lower() not in medium.suffixes:
        raise UsageError(f"The model draws {medium.plural}, and {source} is none, by its suffix; give another model.")
    # One file each, also of images, of which other samples share a picture.
    paths = [out] if is_one_file(out, medium, asked.count, None) else Medium.sample_paths(medium, out, asked.count)
    check_outputs(paths, inputs=[source], force=force)
    check_class(asked.label, max(model.prior.classes, tokenizer.classes))
    label = torch.full((asked.count,), asked.label) if asked.label is not None and model.prior.classes else None
    if asked.guidance != 1 and label is None:
        raise UsageError("The guidance needs a class of the prior; give the label too, or leave the guidance out.")
    x = torch.cat(list(medium.read(source, config)), 1).long()
    mask = _mask(medium, config, tuple(x.shape[1:]), asked)
    codes = encode_signal(tokenizer, x)[..., : leading_codes(tokenizer, asked.codes)]
    size = tuple(mask.shape)
    # The codes and values that a continuation adds are drawn, so that any will do here.
    codes, x = extended(codes, tokenizer.grid(size)), extended(x, size, first=1)
    cells = extended(mask, tuple(n * tokenizer.hop for n in tokenizer.grid(size)))
    for axis in range(cells.ndim):
        cells = cells.unflatten(axis, (-1, tokenizer.hop)).any(axis + 1)
    many = codes.expand(asked.count, *codes.shape)
    weight = _cross_fade(mask, tokenizer.hop)
    drawn_codes = redraw_codes(model, many, cells, choose, label=label, guidance=asked.guidance, progress=progress)
    for path, one in zip(paths, drawn_codes, strict=True):
        decoder_label = asked.label if tokenizer.classes else None
        drawn = torch.cat(list(decode_signal(tokenizer, one, size=size, label=decoder_label)), 1)
        mixed = (x + weight * (drawn.long() - x)).round().to(drawn.dtype)
        medium.write(path, [mixed], config, replace=force)
    return paths


def _mask(medium: Medium, config: TokenizerConfig, size: tuple[int, ...], asked: Redrawing) -> Tensor:
    """The values (*S) bool to draw of a signal of `size`, or of that signal with its continuation."""
    if asked.mask is not None:
        mask = medium.mask(asked.mask, size, config)
        if not mask.any():
            lengths = [f"{axis} {n}" for axis, n in zip(medium.axes, size, strict=True)]
            if config.sample_rate is not None:
                lengths = [f"{size[0] / config.sample_rate:.2f} s"]
            raise UsageError(
                f"The mask {asked.mask} marks nothing of this {medium.singular.split()[-1]} ({', '.join(lengths)}); "
                f"give a part of it."
            )
        return mask
    if asked.seconds is None:
        raise UsageError("To continue a signal, give the length of the continuation in seconds.")
    added = medium.size_of(asked.seconds, config)
    return extended(torch.zeros(size, dtype=torch.bool), (size[0] + added[0],), value=True)


def _cross_fade(mask: Tensor, hop: int) -> Tensor:
    """The weight (*S) of what is drawn: 1 in the mask, and from there down to 0 over `hop` values along each axis."""
    weight = mask.float()
    half = hop // 2
    for pool in (F.max_pool1d, partial(F.avg_pool1d, count_include_pad=False)):
        for axis in range(mask.ndim):
            rows = weight.movedim(axis, -1)
            pooled = pool(rows.reshape(-1, 1, rows.shape[-1]), 2 * half + 1, stride=1, padding=half)
            weight = pooled.view(rows.shape).movedim(-1, axis)
    return weight
