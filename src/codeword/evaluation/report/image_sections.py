"""Sections of a report on images: reconstructions, code maps, the codebook, samples."""

from itertools import product

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from codeword.evaluation.report.figures import Note, Section, mosaic_figure
from codeword.evaluation.report.image_signals import ReportImages, decode_codewords
from codeword.tokenizer import Tokenizer

ERROR_AMPLIFICATION = 4
CODEWORDS_SHOWN = 1024

_LARGEST_PICTURE = 256  # Pixels of the longer side; larger images are reduced to it, to keep the page small.
_LARGEST_ROW = 1280  # Pixels: total width of the pictures in a row.
_PATCH_PIXELS = (16, 32)  # Smallest and largest side of a codeword in the mosaic, whose gap is at least one pixel.
_LUMINANCE = torch.tensor([0.299, 0.587, 0.114])


def image_sections(images: ReportImages) -> list[Section]:
    """Sections on 2-D signals in reading order; images without three channels are shown in grey."""
    sections = [
        Section(
            "reconstructions",
            "Reconstructions",
            f"The first images of the {images.split} split, not selected. Below each image are its reconstruction and "
            f"the error, amplified {ERROR_AMPLIFICATION} times: mid-grey is no error, and brighter pixels are too "
            "bright in the reconstruction.",
            lambda: _reconstructions(images),
        ),
        Section("code-maps", "Images as codes", _code_map_caption(images), lambda: _code_maps(images)),
        Section("codebook", "The codebook", _codebook_caption(images), lambda: _codebook(images)),
        Section(
            "samples",
            "Samples",
            f"Codes drawn from the prior and decoded. {images.sampling}",
            lambda: mosaic_figure(_rows(pictures_of(images.tokenizer, images.samples), 12)),
        ),
    ]
    if images.class_names:
        sections.append(
            Section(
                "samples-by-class",
                "Samples of each class",
                "The prior is conditioned on the class. From top to bottom: "
                + ", ".join(images.class_names)
                + f". {images.sampling}{images.judged}",
                lambda: _samples_by_class(images),
            )
        )
    return sections


def _reconstructions(images: ReportImages) -> Figure:
    size = tuple(images.x.shape[2:])
    original = pictures_of(images.tokenizer, images.x)
    decoded = pictures_of(images.tokenizer, images.tokenizer.decode(images.codes, size=size))
    error = (0.5 + ERROR_AMPLIFICATION * (decoded - original)).clamp(0, 1)
    stacked = [_rows(pictures, 8) for pictures in (original, decoded, error)]
    blocks = torch.stack(stacked, 1).flatten(0, 1)
    labels = ["original", "reconstruction", f"error × {ERROR_AMPLIFICATION}"] * len(stacked[0])
    return mosaic_figure(blocks, row_labels=labels)


def _code_map_caption(images: ReportImages) -> str:
    codebook_sizes = images.tokenizer.quantizer.codebook_sizes
    across = " × ".join(map(str, images.tokenizer.grid(tuple(images.x.shape[2:]))))
    codes, own = f"cells of {len(codebook_sizes)} codes", "codes"
    if len(codebook_sizes) == 1:
        codes, own = f"codes below {codebook_sizes[0]:,}", "codeword"
    return (
        f"The decoder reconstructs an image only from {across} {codes}. The middle row shows each cell in the mean "
        f"colour of its {own}, decoded without other neighbours; the decoder also uses the neighbouring cells."
    )


def _code_maps(images: ReportImages) -> Figure:
    shown = min(4, len(images.x))
    x, codes = images.x[:shown], images.codes[:shown]
    size = tuple(x.shape[2:])
    distinct, index = codes.flatten(0, -2).unique(dim=0, return_inverse=True)
    # The mean colour of each distinct code (n, 3), then pictures (shown, 3, *G) with one pixel for each cell.
    colours = _as_rgb(images.tokenizer, decode_codewords(images.tokenizer, distinct)).mean((2, 3))
    cells = colours[index].view(*codes.shape[:-1], 3).movedim(-1, 1)
    hop = images.tokenizer.hop
    maps = cells.repeat_interleave(hop, 2).repeat_interleave(hop, 3)[..., : size[0], : size[1]]
    originals = pictures_of(images.tokenizer, x)
    decoded = pictures_of(images.tokenizer, images.tokenizer.decode(codes, size=size))
    pictures = torch.stack([originals, _reduced(maps), decoded])
    labels = ["original", "codes", "reconstruction"]
    hop_pixels = hop * originals.shape[-1] / size[1]
    return mosaic_figure(pictures, row_labels=labels, notes=_code_numbers(codes, cells, hop_pixels))


def _code_numbers(codes: Tensor, cells: Tensor, hop_pixels: float) -> list[Note]:
    """The number of each code on its cell of the maps; none for several codes a cell or more than 10 cells a side."""
    count, *grid, k = codes.shape
    if k > 1 or max(grid) > 10:
        return []
    notes = []
    for image, i, j in product(range(count), range(grid[0]), range(grid[1])):
        colour = "black" if float(_LUMINANCE @ cells[image, :, i, j]) > 0.5 else "white"
        x, y = ((cell + 0.5) * hop_pixels - 0.5 for cell in (j, i))
        notes.append(Note(1, image, x, y, str(int(codes[image, i, j, 0])), colour, 6))
    return notes


def _codebook_caption(images: ReportImages) -> str:
    codebook_sizes = images.tokenizer.quantizer.codebook_sizes
    shown = min(codebook_sizes[0], CODEWORDS_SHOWN)
    caption = (
        f"The {shown:,} most frequent of {codebook_sizes[0]:,} codewords"
        if shown < codebook_sizes[0]
        else f"All {shown:,} codewords"
    )
    if len(codebook_sizes) > 1:
        caption += f" of the first of {len(codebook_sizes)} codes, with the most frequent codeword in the others"
    return (
        caption
        + ", each decoded without other neighbours: dark to bright from top to bottom, blue to red from left to "
        f"right. A red dot marks a codeword that does not occur in the first {images.counted:,} images."
    )


def _codebook(images: ReportImages) -> Figure:
    counts = images.counts[0]
    # Sorted by index: the order of equally frequent codewords is not significant.
    first = counts.argsort(descending=True, stable=True)[:CODEWORDS_SHOWN].sort().values
    codes = torch.tensor([int(c.argmax()) for c in images.counts]).repeat(len(first), 1)
    codes[:, 0] = first
    patches = _as_rgb(images.tokenizer, decode_codewords(images.tokenizer, codes))
    colours = patches.mean((2, 3))
    columns = min(32, max(8, round((2 * len(first)) ** 0.5)), len(first))
    warmth = colours[:, 0] - colours[:, 2]
    by_luminance = (colours @ _LUMINANCE).argsort().split(columns)
    order = torch.cat([row[warmth[row].argsort()] for row in by_luminance])
    least, most = _PATCH_PIXELS
    hop = patches.shape[-1]
    sized = F.adaptive_avg_pool2d(patches[order], min(hop, most))
    enlarged = -(-least // hop)
    sized = sized.repeat_interleave(enlarged, 2).repeat_interleave(enlarged, 3)
    middle = (sized.shape[-1] - 1) / 2
    notes = [
        Note(i // columns, i % columns, middle, middle, "●", "#d0021b", 4)
        for i, used in enumerate((counts[first[order]] > 0).tolist())
        if not used
    ]
    return mosaic_figure(_rows(sized, columns), notes=notes)


def _samples_by_class(images: ReportImages) -> Figure:
    classes, each = images.samples_by_class.shape[:2]
    pictures = pictures_of(images.tokenizer, images.samples_by_class.flatten(0, 1)).unflatten(0, (classes, each))
    fitting = max(1, _LARGEST_ROW // pictures.shape[-1])
    return mosaic_figure(pictures[:, :fitting], row_labels=images.class_names)


def _as_rgb(tokenizer: Tokenizer, x: Tensor) -> Tensor:
    """Integers (N, C, H, W) to colours (N, 3, H, W) in [0, 1]; other than three channels become grey."""
    intensity = x.float() / (tokenizer.config.values - 1)
    return intensity if x.shape[1] == 3 else intensity.mean(1, keepdim=True).expand(-1, 3, -1, -1)


def pictures_of(tokenizer: Tokenizer, x: Tensor) -> Tensor:
    """Integers (N, C, H, W) to pictures (N, 3, h, w) in [0, 1], which are reduced if they are large."""
    return _reduced(_as_rgb(tokenizer, x))


def _reduced(pictures: Tensor) -> Tensor:
    height, width = pictures.shape[-2:]
    if max(height, width) <= _LARGEST_PICTURE:
        return pictures
    scale = _LARGEST_PICTURE / max(height, width)
    return F.adaptive_avg_pool2d(pictures, (max(1, round(height * scale)), max(1, round(width * scale))))


def _rows(pictures: Tensor, columns: int) -> Tensor:
    """(N, 3, H, W) to (rows, columns, 3, H, W), fewer for large pictures; the last row is padded with white."""
    columns = min(columns, len(pictures), max(1, _LARGEST_ROW // pictures.shape[-1]))
    missing = -len(pictures) % columns
    padded = F.pad(pictures, [0, 0, 0, 0, 0, 0, 0, missing], value=1.0)
    return padded.view(-1, columns, *pictures.shape[1:])
