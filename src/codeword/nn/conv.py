"""Convolutions of any rank, padded so that sizes are exact multiples."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv1d(nn.Conv1d):
    """A 1-D convolution computed as a 2-D one of height 1, whose channels_last kernels are two to five times faster."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        stride, padding, dilation = (1, *self.stride), (0, *map(int, self.padding)), (1, *self.dilation)
        return F.conv2d(x.unsqueeze(2), weight.unsqueeze(2), bias, stride, padding, dilation, self.groups).squeeze(2)


class ConvTranspose1d(nn.ConvTranspose1d):
    """The transposed twin of `Conv1d`."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert output_size is None
        stride, padding, dilation = (1, *self.stride), (0, *map(int, self.padding)), (1, *self.dilation)
        x, weight, extra = x.unsqueeze(2), self.weight.unsqueeze(2), (0, *self.output_padding)
        return F.conv_transpose2d(x, weight, self.bias, stride, padding, extra, self.groups, dilation).squeeze(2)


CONV: dict[int, Callable[..., nn.Module]] = {1: Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Callable[..., nn.Module]] = {1: ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}

POOL: dict[int, Callable[..., nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
NORM: dict[int, Callable[..., nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def same(ndim: int, channels_in: int, channels_out: int, kernel: int, *, groups: int = 1) -> nn.Module:
    """A convolution of odd `kernel` that keeps the size."""
    return CONV[ndim](channels_in, channels_out, kernel, padding=kernel // 2, groups=groups)


def down(ndim: int, channels_in: int, channels_out: int, stride: int) -> nn.Module:
    """A strided convolution, window twice the stride: size n (a multiple of stride) becomes n / stride."""
    if stride == 1:
        return same(ndim, channels_in, channels_out, 3)
    return CONV[ndim](channels_in, channels_out, 2 * stride, stride, (stride + 1) // 2)


def up(ndim: int, channels_in: int, channels_out: int, stride: int) -> nn.Module:
    """A transposed convolution, window twice the stride: size n becomes n * stride."""
    if stride == 1:
        return same(ndim, channels_in, channels_out, 3)
    conv: nn.Module = TRANSPOSED[ndim](
        channels_in, channels_out, 2 * stride, stride, (stride + 1) // 2, output_padding=stride % 2
    )
    return conv


def channels_last(x: Tensor) -> Tensor:
    """The same tensor (B, C, *S) in the memory layout of fast convolutions."""
    if x.ndim == 3:
        return x.unsqueeze(2).contiguous(memory_format=torch.channels_last).squeeze(2)
    return x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)


def reach(module: nn.Module) -> float:
    """Receptive-field radius of a sequence of convolutions, in cells of the input; an upper bound."""
    cell, seen = 1.0, 0.0
    for part in module.modules():
        if isinstance(part, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            cell /= int(part.stride[-1])
            seen += cell * (part.kernel_size[-1] - 1) * part.dilation[-1]
        elif isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            seen += cell * (part.kernel_size[-1] - 1) * part.dilation[-1]
            cell *= int(part.stride[-1])
    return seen
