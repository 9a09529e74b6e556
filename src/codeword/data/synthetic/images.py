"""Drawn scenes: one of ten textured shapes in front of sky and ground, for first runs and tests without files.

The scenes are detailed enough to show a collapsed codebook or a prior that has learned nothing, and small enough to be
learned in a minute.
"""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from codeword.config import SyntheticImagesConfig
from codeword.data.base import Batch, Dataset, Split
from codeword.data.synthetic.shapes import SHAPES, Plane, Shape

# Number of parameters of an image, uniform in [0, 1), drawn from its own generator.
_PARAMETERS = 24

# Pixels drawn at a time: small enough that the planes of one chunk stay in the processor's cache.
_CHUNK_PIXELS = 1 << 17


class SyntheticImages(Dataset):
    """One split of drawn uint8 (3, size, size) scenes, held in memory.

    Image i of a split depends on i, the split, the size and `plain` alone, not on the number of images; its label is
    i mod 10, so that consecutive images are balanced. `take` does not augment.
    """

    classes = tuple(SHAPES)
    in_memory = True

    def __init__(self, config: SyntheticImagesConfig, split: Split) -> None:
        count = getattr(config, split)
        self.shape = (3, config.size, config.size)
        parameters = np.array(
            [
                np.random.default_rng([get_args(Split).index(split), i]).random(_PARAMETERS, np.float32)
                for i in range(count)
            ]
        )
        images = np.empty((count, *self.shape), np.uint8)
        step = max(1, _CHUNK_PIXELS // config.size**2)
        for label, shape in enumerate(SHAPES.values()):
            for first in range(label, count, len(SHAPES) * step):
                rows = slice(first, first + len(SHAPES) * step, len(SHAPES))
                images[rows] = _draw(parameters[rows], shape, config)
        self._images = torch.from_numpy(images)
        self._labels = torch.arange(count) % len(SHAPES)

    def __len__(self) -> int:
        return len(self._images)

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        rows = torch.as_tensor(indices, dtype=torch.int64)
        return Batch(self._images.index_select(0, rows), self._labels.index_select(0, rows))


def _draw(parameters: Plane, shape: Shape, config: SyntheticImagesConfig) -> NDArray[np.uint8]:
    """Draw images (n, 3, size, size) from parameters (n, _PARAMETERS): background, shadow of the shape, shape.

    If `config.plain`, the same shape is grey, darker where it has its second colour, on black.
    """
    size, vary = config.size, np.float32(config.variation)
    # Each parameter is (n, 1, 1, 1), each plane below (n, 1, size, size), each colour (n, 3, 1 or size, ...).
    p = iter(((1 - vary) / 2 + vary * parameters).T[:, :, None, None, None])
    centres = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
    x, y = centres[None, :], centres[:, None]

    sky_hue = next(p)
    ground_hue = sky_hue + 0.2 + 0.3 * next(p)
    horizon = -0.2 + 0.8 * next(p) + 0.15 * next(p) * np.sin(3 * x + 6.28 * next(p))
    is_ground = _cover(horizon - y, size)
    sky = _colour(sky_hue, 0.25 + 0.3 * next(p), 0.72 + 0.15 * next(p) + 0.18 * y)
    waves = np.sin((3 + 8 * next(p)) * x + (10 + 8 * next(p)) * y + 6.28 * next(p))
    ground = _colour(ground_hue, 0.45, 0.4 + 0.2 * next(p) - 0.1 * y + 0.05 * waves)
    canvas = _mix(sky, ground, is_ground)

    radius = 0.42 + 0.25 * next(p)
    room = 1.02 - radius
    left, top = x - room * (2 * next(p) - 1), y - room * (2 * next(p) - 1)
    turn = shape.turn * (2 * next(p) - 1)
    cosine, sine = np.cos(turn) / radius, np.sin(turn) / radius

    def rotate(dx: Plane, dy: Plane) -> tuple[Plane, Plane]:
        return cosine * dx + sine * dy, cosine * dy - sine * dx

    shadow = shape.distance(*rotate(left - 0.08, top - 0.1)) * radius
    canvas *= 1 - 0.45 * np.clip(0.5 - shadow / 0.25, 0, 1)

    u, v = rotate(left, top)
    # The hue differs much from those of the background, so that every shape is visible.
    hue = sky_hue + 0.5 + 0.35 * (next(p) - 0.5)
    first = _colour(hue, 0.75, 0.85 + 0.1 * next(p))
    second = _colour(hue + 0.12 + 0.2 * next(p), 0.7, 0.3 + 0.2 * next(p))
    texture, cover = shape.texture(u, v), _cover(shape.distance(u, v) * radius, size)
    canvas = _mix(canvas, _mix(first, second, texture), cover)
    if config.plain:
        canvas = np.broadcast_to(cover * (1 - 0.8 * texture), canvas.shape)
    pixels: NDArray[np.uint8] = np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8)
    return pixels


def _cover(distance: Plane, size: int) -> Plane:
    """The part of each pixel inside a shape, from 0 to 1, for antialiasing. `distance` is the distance to the edge."""
    return np.asarray(np.clip(0.5 - distance * (size / 2), 0, 1))


def _mix(under: Plane, over: Plane, opacity: Plane) -> Plane:
    return np.asarray(under + (over - under) * opacity)


def _colour(hue: Plane, saturation: Plane | float, value: Plane) -> Plane:
    """RGB (n, 3, ...) of a hue in turns, and a saturation and value from 0 to 1, each (n, 1, ...)."""
    turns = hue - np.arange(3, dtype=np.float32)[:, None, None] / 3
    vivid = 0.5 + 0.5 * np.cos(2 * np.pi * turns)
    return np.asarray((1 - saturation + saturation * vivid) * value, np.float32)
