"""Gated causal convolutions: the layers of PixelCNN, one stack for each axis of the grid."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.nn.conv import CONV, same


class GatedLayer(nn.Module):
    """One residual layer of the stack of one axis (van den Oord et al. 2016, Gated PixelCNN, eq. 2 and fig. 2).

    Along its own axis the convolution sees only earlier places, along later axes both sides, along earlier axes only
    its own place: the stacks of those axes see the rest, and their output is `above`. The input of the first layer is
    shifted by one, so that a place does not see itself.
    """

    def __init__(self, ndim: int, axis: int, width: int, kernel: int) -> None:
        super().__init__()
        self.axis, self.reach = axis, kernel // 2
        extent = [1] * axis + [self.reach + 1] + [kernel] * (ndim - axis - 1)
        self.conv = CONV[ndim](width, 2 * width, extent)
        self.above = same(ndim, width, 2 * width, 1) if axis else None
        self.last = axis == ndim - 1
        # Each layer of the last stack has a skip connection to the output.
        self.project_out = same(ndim, width, 2 * width if self.last else width, 1)
        pads = [(0, 0)] * axis + [(self.reach, 0)] + [(self.reach, self.reach)] * (ndim - axis - 1)
        # F.pad names the axes from the last to the first.
        self.pads = [n for pair in reversed(pads) for n in pair]

    def forward(self, h: Tensor, above: Tensor | None, bias: Tensor) -> tuple[Tensor, Tensor | None]:
        """Input h and `above` (B, W, *G), bias broadcastable to (B, 2W, *G), to the next h and the skip (B, W, *G)."""
        drive = self.conv(F.pad(h, self.pads)) + bias
        if self.above is not None:
            drive = drive + self.above(above)
        signal, openness = drive.chunk(2, 1)
        out = self.project_out(torch.tanh(signal) * torch.sigmoid(openness))
        if not self.last:
            return h + out, None
        residual, skip = out.chunk(2, 1)
        return h + residual, skip


def shift(h: Tensor, axis: int) -> Tensor:
    """Shift h (B, C, *G) by one along grid axis `axis`: place i gets the value of i - 1, place 0 gets zeros."""
    pads = [0, 0] * (h.ndim - 3 - axis) + [1, 0]
    return F.pad(h, pads).narrow(axis + 2, 0, h.shape[axis + 2])
