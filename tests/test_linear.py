"""A linear map is that of PyTorch, whichever library computes it."""

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from codeword.linear import Linear, linear


@given(rows=st.integers(0, 70), inputs=st.sampled_from([1, 17, 256]), outputs=st.sampled_from([1, 5, 300]))
def test_it_is_that_of_pytorch(rows: int, inputs: int, outputs: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    x, weight = torch.randn(2, rows, inputs, generator=generator), torch.randn(outputs, inputs, generator=generator)
    bias = torch.randn(outputs, generator=generator)
    for some in (None, bias):
        with torch.no_grad():
            found = linear(x, weight, some)
        torch.testing.assert_close(found, F.linear(x, weight, some), rtol=1e-4, atol=1e-4)


def test_inputs_in_any_layout() -> None:
    x, weight = torch.randn(4, 96, 64).transpose(1, 2), torch.randn(192, 48).t()
    with torch.no_grad():
        torch.testing.assert_close(linear(x, weight[:, :96]), F.linear(x, weight[:, :96]), rtol=1e-4, atol=1e-4)


def test_a_layer_has_gradients_and_half_precision() -> None:
    layer = Linear(256, 300)
    layer(torch.ones(64, 256)).sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.ones(64, 256)).dtype == torch.bfloat16
    with torch.no_grad():
        assert layer.double()(torch.ones(64, 256, dtype=torch.float64)).dtype == torch.float64
