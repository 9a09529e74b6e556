"""Gated causal convolutions: the layers of PixelCNN, one stack for each axis of the grid."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.nn.conv import CONV, same


class GatedLayer(nn.Module):
    """One residual layer of the stack of one axis (van den Oord et al. 2016, Gated PixelCNN, eq. 2 and fig. 2).

    Along its own axis the convolution reaches back only; along later axes it reaches both ways; along earlier
    axes not at all, for that is the business of the stacks before, whose output comes in as `above`.
    Strictness (a place must not see itself) is had by shifting the first layer's input by one.
    """

    def __init__(self, ndim: int, axis: int, width: int, kernel: int) -> None:
        super().__init__()
        self.axis, self.reach = axis, kernel // 2
        extent = [1] * axis + [self.reach + 1] + [kernel] * (ndim - axis - 1)
        self.conv = CONV[ndim](width, 2 * width, extent)
        self.above = same(ndim, width, 2 * width, 1) if axis else None
        self.last = axis == ndim - 1
        # The last stack also feeds the output directly, by a skip connection from each layer.
        self.project_out = same(ndim, width, 2 * width if self.last else width, 1)
        pads = [(0, 0)] * axis + [(self.reach, 0)] + [(self.reach, self.reach)] * (ndim - axis - 1)
        # F.pad names the axes from the last to the first.
        self.pads = [n for pair in reversed(pads) for n in pair]

    def forward(self, h: Tensor, above: Tensor | None, bias: Tensor) -> tuple[Tensor, Tensor | None]:
        """From h and `above` (B, W, *G), bias broadcastable to (B, 2W, *G), to the next h and the skip (B, W, *G)."""
        drive = self.conv(F.pad(h, self.pads)) + bias
        if self.above is not None:
            drive = drive + self.above(above)
        return self.finish(h, drive)

    def finish(self, h: Tensor, drive: Tensor) -> tuple[Tensor, Tensor | None]:
        """The gate, the residual connection and the skip."""
        out = self.project_out(gate(drive))
        if not self.last:
            return h + out, None
        residual, skip = out.chunk(2, 1)
        return h + residual, skip


def gate(drive: Tensor, dim: int = 1) -> Tensor:
    """The tanh of one half of the channels times the sigmoid of the other. (B, 2W, ...) to (B, W, ...)."""
    signal, openness = drive.chunk(2, dim)
    return torch.tanh(signal) * torch.sigmoid(openness)


def shift(h: Tensor, axis: int) -> Tensor:
    """Move h (B, C, *G) by one along grid axis `axis`: place i gets what stood at i - 1, place 0 gets zeros."""
    pads = [0, 0] * (h.ndim - 3 - axis) + [1, 0]
    return F.pad(h, pads).narrow(axis + 2, 0, h.shape[axis + 2])
