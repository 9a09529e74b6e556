"""Ten kinds of textured shapes as signed distance functions.

A distance function takes the coordinates u and v of points, arrays of any shape, and returns their distances to the
edge of the shape, negative inside. The shape fills about the unit disc; v points down. The distances are exact within a
factor of two, which is enough for an edge of one pixel. Formulas after Inigo Quilez, "2D distance functions".

A texture takes the same coordinates and returns the proportion of the shape's second colour, 0 to 1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]


class Shape(NamedTuple):
    """A kind of shape: its distance function and its texture, both element-wise."""

    distance: Callable[[Plane, Plane], Plane]
    texture: Callable[[Plane, Plane], Plane]
    turn: float
    """Largest rotation in both directions, in radians; it is small if a rotated shape would look like another kind."""


def _box(u: Plane, v: Plane, half_width: float, half_height: float) -> Plane:
    du, dv = np.abs(u) - half_width, np.abs(v) - half_height
    return np.hypot(np.maximum(du, 0), np.maximum(dv, 0)) + np.minimum(np.maximum(du, dv), 0)


def _polygon(u: Plane, v: Plane, corners: int, depth: float) -> Plane:
    """A star with tips at radius 1 and notches at radius `depth`; with depth = cos(pi / corners) a regular polygon."""
    sector = 2 * np.pi / corners
    angle = np.arctan2(u, -v)
    angle = np.abs(angle - sector * np.rint(angle / sector))
    radius = np.hypot(u, v)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    # The edge runs from the tip (1, 0) to the notch, on the border of the sector.
    notch_x, notch_y = depth * np.cos(sector / 2), depth * np.sin(sector / 2)
    length = np.hypot(1 - notch_x, notch_y)
    return np.asarray(((x - 1) * notch_y + y * (1 - notch_x)) / length, np.float32)


def _heart(u: Plane, v: Plane) -> Plane:
    x, y = np.abs(u) / 1.55, (0.8 - v) / 1.55
    lobe = np.hypot(x - 0.25, y - 0.75) - np.sqrt(2) / 4
    diagonal = np.maximum(x + y, 0) / 2
    tip = np.minimum(x**2 + (y - 1) ** 2, (x - diagonal) ** 2 + (y - diagonal) ** 2)
    distance = np.where(x + y > 1, lobe, np.sqrt(tip) * np.sign(x - y))
    return np.asarray(1.55 * distance, np.float32)


def _crescent(u: Plane, v: Plane) -> Plane:
    # One disc minus another. The third term, the line through both tips, removes nothing; it corrects the distance
    # beyond the tips, where the shadow would otherwise show the whole second disc.
    return np.maximum(
        np.maximum(np.hypot(u, v) - 0.95, 0.75 - np.hypot(u - 0.5, v + 0.1)), 0.98 * u - 0.196 * v - 0.588
    )


def _step(value: Plane, softness: float = 0.12) -> Plane:
    """0 for negative and 1 for positive values, with a linear transition around 0 against aliasing."""
    return np.asarray(np.clip(value / (2 * softness) + 0.5, 0, 1))


def _lit(u: Plane, v: Plane) -> Plane:
    """Shading of a surface with light from the upper left, 0 to 1."""
    return np.asarray(np.clip(0.15 + 0.75 * np.hypot(u + 0.35, v + 0.4), 0, 1))


SHAPES = {
    "disc": Shape(lambda u, v: np.hypot(u, v) - 0.9, lambda u, v: _lit(u, v) ** 1.5, 0.2),
    "square": Shape(
        lambda u, v: _box(u, v, 0.78, 0.78), lambda u, v: _step(0.5 - np.maximum(np.abs(u), np.abs(v))), 0.35
    ),
    "triangle": Shape(lambda u, v: _polygon(u, v + 0.1, 3, 0.5), lambda u, v: np.clip(0.5 + 0.6 * v, 0, 1), 0.5),
    "ring": Shape(
        lambda u, v: np.abs(np.hypot(u, v) - 0.7) - 0.24,
        lambda u, v: np.clip(np.abs(np.hypot(u, v) - 0.7) * 4, 0, 1),
        3.2,
    ),
    "cross": Shape(
        lambda u, v: np.minimum(_box(u, v, 0.95, 0.3), _box(u, v, 0.3, 0.95)),
        lambda u, v: 0.8 * _step(np.abs(u) - np.abs(v)),
        0.6,
    ),
    "star": Shape(lambda u, v: _polygon(u, v, 5, 0.42), lambda u, v: np.clip(1 - 1.5 * np.hypot(u, v), 0, 1), 0.6),
    "crescent": Shape(_crescent, lambda u, v: _step(0.5 - np.hypot(u, v)), 0.5),
    "heart": Shape(_heart, lambda u, v: np.clip(1.6 * np.hypot(u + 0.35, v + 0.35) - 0.6, 0, 1) * 0.7, 0.35),
    "stripes": Shape(lambda u, v: _box(u, v, 0.65, 0.4) - 0.3, lambda u, v: _step(np.sin(9.5 * u), 0.3), 3.2),
    "checker": Shape(
        lambda u, v: _box(u, v, 0.85, 0.85), lambda u, v: _step(np.sin(5.55 * u) * np.sin(5.55 * v), 0.15), 0.8
    ),
}
