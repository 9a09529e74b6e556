"""Linear maps in float32, by the faster of PyTorch's two libraries for products of matrices on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# PyTorch uses MKL, which on processors of AMD leaves out AVX-512 and so takes 2.2 times as long as oneDNN.
_HAS_ONEDNN = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
# Below this many numbers the call of oneDNN costs more than it gains.
_FEWEST_INPUTS = 8192


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Inputs x (..., n), weight (m, n) and bias (m,) to (..., m), as `F.linear` up to rounding."""
    if (
        _HAS_ONEDNN
        and not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.numel() >= _FEWEST_INPUTS
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    ):
        # The operator that `torch.compile` makes of a linear layer; it has no gradient.
        return torch.as_tensor(torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""))
    return F.linear(x, weight, bias)


class Linear(nn.Linear):
    """`nn.Linear` by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
