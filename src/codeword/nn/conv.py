"""Convolutions of any rank, with the padding that keeps sizes exact."""

from typing import Any

import torch
from torch import Tensor, nn

CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}
TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}


def same(ndim: int, channels_in: int, channels_out: int, kernel: int) -> nn.Module:
    """A convolution of odd `kernel` that keeps the size."""
    conv: nn.Module = CONV[ndim](channels_in, channels_out, kernel, padding=kernel // 2)
    return conv


def down(ndim: int, channels_in: int, channels_out: int, stride: int) -> nn.Module:
    """A strided convolution, window twice the stride: size n (a multiple of stride) becomes n / stride."""
    if stride == 1:
        return same(ndim, channels_in, channels_out, 3)
    conv: nn.Module = CONV[ndim](channels_in, channels_out, 2 * stride, stride, (stride + 1) // 2)
    return conv


def up(ndim: int, channels_in: int, channels_out: int, stride: int) -> nn.Module:
    """A transposed convolution, window twice the stride: size n becomes n * stride."""
    if stride == 1:
        return same(ndim, channels_in, channels_out, 3)
    conv: nn.Module = TRANSPOSED[ndim](
        channels_in, channels_out, 2 * stride, stride, (stride + 1) // 2, output_padding=stride % 2
    )
    return conv


def channels_last(x: Tensor) -> Tensor:
    """The same numbers laid out for fast convolution, where the rank has such a layout."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
