"""Laws of exact priors: close to the trained prior, and equal logits, bit for bit, however they are computed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.golden import GOLDEN
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import codeword
from codeword.config import PixelCNNConfig, PriorConfig, PriorModelConfig, TransformerConfig, WaveNetConfig
from codeword.errors import UnsupportedError
from codeword.nn import integers as nn_integers
from codeword.nn.integers import Buffers, Gates, Matrix, Signal, integers, softmax_weights, weight_bits
from codeword.priors import Prior, build_prior, make_exact, walk

PRIORS: dict[str, tuple[PriorConfig, tuple[int, ...]]] = {
    "pixelcnn-1d": (PixelCNNConfig(layers=3, width=8, kernel=5, head_width=12), (9,)),
    "pixelcnn-2d": (PixelCNNConfig(layers=3, width=8, kernel=3, head_width=12), (4, 5)),
    "pixelcnn-3d": (PixelCNNConfig(layers=2, width=8, kernel=3, head_width=12), (2, 3, 4)),
    "wavenet": (WaveNetConfig(dilations=(1, 2, 4), width=8, skip_width=10, head_width=12), (9,)),
}
_TRANSFORMER = TransformerConfig(layers=2, width=8, heads=2, hidden=12, head_width=12)
PRIORS |= {"transformer-1d": (_TRANSFORMER, (9,)), "transformer-2d": (_TRANSFORMER, (4, 5))}
PRIORS |= {
    f"{name} of one or two codes": PRIORS[name]
    for name in ("pixelcnn-2d", "wavenet", "transformer-1d", "transformer-2d")
}


def build(name: str, *, spread: float = 1.0, seed: int = 0) -> Prior:
    """A prior with random weights, `spread` times as wide as at the start of a training."""
    architecture, grid = PRIORS[name]
    torch.manual_seed(seed)
    served_codes = (1,) if "one or two" in name else ()
    config = PriorModelConfig(
        architecture=architecture, grid=grid, codebook_sizes=(7, 5), classes=3, served_codes=served_codes
    )
    prior = build_prior(config).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1).mul_(spread)
    return prior


def random_codes(prior: Prior, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.stack([torch.randint(n, (batch, *prior.grid), generator=generator) for n in prior.codebook_sizes], -1)


def walked_logits(prior: Prior, codes: Tensor, label: Tensor | None) -> list[Tensor]:
    """The logits (B, n) of every symbol."""
    flat, logits = codes.flatten(1), []
    walk(prior, len(codes), lambda x, i: (logits.append(x.clone()), flat[:, i])[1], label=label, codes=codes.shape[-1])
    return logits


@pytest.mark.parametrize("name", PRIORS)
@given(data=st.data(), seed=st.integers(0, 1000), spread=st.sampled_from([0.5, 1.0, 3.0, 30.0]))
def test_one_signal_alone_many_together_and_all_symbols_in_parallel_give_the_same_bits(
    name: str, data: st.DataObject, seed: int, spread: float
) -> None:
    prior = make_exact(build(name, spread=spread, seed=seed))
    sizes = data.draw(st.sampled_from(prior.served_codes), label="codes")
    codes, label = (
        random_codes(prior, 5)[..., :sizes],
        data.draw(st.sampled_from([None, torch.tensor([0, 1, 2, 1, 0])])),
    )
    together = walked_logits(prior, codes, label)
    alone = walked_logits(prior, codes[2:3], None if label is None else label[2:3])
    assert all(torch.equal(a[2:3], b) for a, b in zip(together, alone, strict=True))
    with torch.no_grad():
        parallel = [x.flatten(1, -2) for x in prior.all_logits(codes, label)]  # type: ignore[union-attr, operator]
        one = list(prior.all_logits(codes[2:3], None if label is None else label[2:3]))  # type: ignore[operator]
    for i, logits in enumerate(together):
        assert torch.equal(logits, parallel[i % sizes][:, i // sizes])
        assert torch.equal(logits[2:3], one[i % sizes].flatten(1, -2)[:, i // sizes])


@pytest.mark.parametrize("name", PRIORS)
def test_it_is_close_to_the_trained_prior(name: str) -> None:
    prior = build(name)
    exact = make_exact(prior)
    for n in prior.served_codes:
        codes = random_codes(prior, 16)[..., :n]
        with torch.no_grad():
            torch.testing.assert_close(exact.log_prob(codes), prior.log_prob(codes), rtol=0.01, atol=0.05)


@pytest.mark.parametrize("name", PRIORS)
def test_the_trained_prior_is_not_changed(name: str) -> None:
    prior = build(name)
    before = {name: value.clone() for name, value in prior.state_dict().items()}
    codes = random_codes(prior, 2)
    expected = prior.log_prob(codes)
    make_exact(prior)
    assert all(torch.equal(before[name], value) for name, value in prior.state_dict().items())
    assert torch.equal(prior.log_prob(codes), expected)


# Sums and products of integers, whose order does not matter. `addcmul` multiplies by powers of two, and `mul` too.
SUMS_AND_PRODUCTS = {
    *("_int_mm", "add", "addcmul", "bitwise_left_shift", "bitwise_right_shift", "bmm", "mm", "mul", "neg", "sub", "sum")
}
# Of float64, which IEEE 754 rounds correctly.
ROUNDED = {"div", "sqrt"}
COMPARISONS = {"all", "amax", "aminmax", "clamp", "eq", "frexp", "ge", "lt", "round", "where"}
MOVES = {
    *(
        "arange",
        "_local_scalar_dense",
        "_to_copy",
        "_unsafe_view",
        "alias",
        "cat",
        "clone",
        "constant_pad_nd",
        "copy",
        "detach",
        "embedding",
        "empty",
        "expand",
        "fill",
        "index_copy",
        "index_select",
    ),
    *(
        "index",
        "lift_fresh",
        "masked_fill",
        "new_zeros",
        "ones",
        "ones_like",
        "permute",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "stack",
        "t",
        "transpose",
        "unbind",
    ),
    *("unfold", "unsqueeze", "view", "zero", "zeros", "zeros_like"),
}


class Trace(TorchDispatchMode):
    """The names of all operations of PyTorch that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.add(func.overloadpacket.__name__.rstrip("_"))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", PRIORS)
def test_the_path_from_codes_to_frequencies_has_exact_operations_alone(name: str) -> None:
    prior = make_exact(build(name))
    n = prior.served_codes[0]
    codes = random_codes(prior, 3)
    flat = codes[..., :n].flatten(1)

    def choose(logits: Tensor, i: int) -> Tensor:
        softmax_weights(logits)
        return flat[:, i]

    with Trace() as trace:
        walk(prior, 3, choose, label=torch.tensor([0, 1, 2]), codes=n)
        list(prior.logits_in_order(codes[..., :n], torch.tensor([0, 1, 2])))  # type: ignore[operator]
    exact = SUMS_AND_PRODUCTS | COMPARISONS | MOVES | (ROUNDED if "transformer" in name else set())
    assert trace.names <= exact
    with Trace() as trace:
        walk(build(name), 3, choose, codes=n)
    assert not trace.names <= exact, "the trained prior needs functions that differ between machines"


@given(
    rows=st.integers(1, 20),
    inputs=st.sampled_from([1, 7, 64, 384, 2100, 5000]),
    outputs=st.integers(1, 9),
    worst=st.booleans(),
    overlapping=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_products_are_exact_in_integers_and_in_floats(
    rows: int, inputs: int, outputs: int, worst: bool, overlapping: bool, seed: int
) -> None:
    """The largest sums too, which older instruction sets would saturate with larger weights."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randint(-63, 64, (outputs, inputs), generator=generator).float()
    x = torch.randint(-127, 128, (rows, inputs), generator=generator, dtype=torch.int8)
    if worst:
        weight, x = torch.full_like(weight, 63), torch.full_like(x, 127)
    if overlapping:
        # As the windows of a sequence lie in memory.
        x = x.flatten().as_strided(x.shape, (1, 1)) if rows + inputs - 1 <= x.numel() else x
    bits, expected = torch.zeros(outputs, dtype=torch.int64), x.long() @ weight.long().t()
    for has_units in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nn_integers, "has_integer_units", lambda has_units=has_units: has_units)
            found = Matrix(weight, bits).product(x, torch.empty(rows, outputs, dtype=torch.int32))
        assert torch.equal(found.long(), expected)


@pytest.mark.parametrize("name", PRIORS)
def test_machines_without_integer_units_compute_the_same_logits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codes, found = random_codes(build(name), 9), []
    for has_units in (True, False):
        monkeypatch.setattr(nn_integers, "has_integer_units", lambda has_units=has_units: has_units)
        prior = make_exact(build(name))
        found.append([*walked_logits(prior, codes, None), *prior.all_logits(codes)])  # type: ignore[operator]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@given(st.floats(2**-30, 2000, width=32), st.integers(0, 1000))
def test_weights_take_all_bits_that_fit(largest: float, seed: int) -> None:
    weight = torch.randn(3, 5, generator=torch.Generator().manual_seed(seed))
    weight *= largest / weight.abs().amax(1, keepdim=True)
    bits = weight_bits(weight)
    steps = weight.abs().amax(1).double() * 2.0 ** bits.double()
    assert float(steps.max()) < 63.01 or int(bits.min()) == -4
    assert float(steps.min()) > 31 or int(bits.max()) == 16


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50))
def test_gates_are_near_the_trained_ones(values: list[float]) -> None:
    """Through a layer that passes its two inputs on, rounded to the steps of a signal."""
    signal = Signal()
    signal.set_units(torch.full((2,), 16))
    numbers = torch.tensor([values, values[::-1]]).T.clamp(-9, 9).contiguous()
    x = signal.round(integers(numbers, torch.full((2,), 16)))
    gates, out = Gates(torch.eye(2), signal), torch.empty(len(x), 1, dtype=torch.int8)
    gates.open(x, gates.biases(torch.zeros(1, 2)), Buffers(len(x), 1), out)
    rounded = x * 2.0**-signal.known_bits
    expected = torch.tanh(rounded[:, :1]) * torch.sigmoid(rounded[:, 1:])
    assert float((out / 128 - expected).abs().max()) < 0.03


@pytest.mark.parametrize("size", [2, 512, 4096, 70_000])
def test_weights_of_symbols_are_whole_and_their_sum_is_exact(size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for spread in (0.0, 0.1, 3.0, 1000.0):
        logits = (torch.randn(4, size, generator=generator) * spread * 64).round() / 64
        weights = softmax_weights(logits.clone())
        assert torch.equal(weights, weights.floor())
        assert float(weights.min()) >= 1
        assert int(weights.long().sum(1).max()) < 1 << 24
        probabilities = weights / weights.sum(1, keepdim=True)
        torch.testing.assert_close(probabilities, logits.softmax(1), atol=0.01 + size / (1 << 20), rtol=0)


def test_weights_that_are_not_finite_or_too_large_are_refused() -> None:
    for value in (float("nan"), float("inf"), 1e30):
        prior = build("wavenet")
        with torch.no_grad():
            prior.head.weight[0, 0] = value  # type: ignore[index, union-attr]
        with pytest.raises(UnsupportedError, match="train it again"):
            make_exact(prior)


# Other machines --------------------------------------------------------------------------------------

# A hash of the logits of both shipped priors, and of a transformer with weights of a formula, for the codes of a seed.
PROGRAM = """
import hashlib, json, sys, torch
from codeword.nn import integers as nn_integers
from codeword.nn.integers import Buffers, Gates, Matrix, Signal, integers, softmax_weights, weight_bits
from codeword.config import PriorModelConfig, TransformerConfig
from codeword.pretrained import load_pretrained
from codeword.priors import build_prior, make_exact, walk

threads, lanes = map(int, sys.argv[1:])
torch.set_num_threads(threads)
torch.set_flush_denormal(threads == 8)
transformer = build_prior(
    PriorModelConfig(architecture=TransformerConfig(layers=3), grid=(6, 5), codebook_sizes=(512, 512), classes=2)
)
with torch.no_grad():
    for n, p in enumerate(transformer.parameters(), 1):
        steps = torch.arange(p.numel()).mul(2654435761 + 2 * n).remainder(1 << 32).sub(1 << 31) >> 16
        p.copy_((steps / 2**15 / p.shape[-1] ** 0.5).view(p.shape))
trained = {"images": load_pretrained("images").prior, "speech": load_pretrained("speech").prior}
found = {}
for name, grid in (("images", (8, 8)), ("speech", (12,)), ("transformer", (8, 6))):
    prior = make_exact(trained.get(name, transformer))
    sizes = prior.codebook_sizes
    count = 8 * len(sizes) * torch.Size(grid).numel()
    codes, rows = torch.arange(count).mul(2654435761).remainder(512).view(8, -1), [[] for _ in range(8)]
    for start in range(0, 8, lanes):
        own = codes[start : start + lanes]

        def choose(logits, i):
            for row, logits_of_row, weights in zip(rows[start:], logits, softmax_weights(logits), strict=False):
                row.append(logits_of_row.numpy().tobytes() + weights.numpy().tobytes())
            return own[:, i]

        walk(prior, lanes, choose, grid=grid)
    found[name] = hashlib.sha256(b"".join(map(b"".join, rows))).hexdigest()
print(json.dumps(found))
"""
_OLD = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


@pytest.mark.parametrize(
    ("settings", "threads", "lanes"),
    [
        ({}, 1, 8),
        pytest.param({}, 2, 1, marks=pytest.mark.slow),
        pytest.param({}, 8, 4, marks=pytest.mark.slow),
        pytest.param(_OLD, 1, 8, marks=pytest.mark.slow),
        pytest.param(_AVX2, 2, 2, marks=pytest.mark.slow),
        pytest.param({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, 1, 8, marks=pytest.mark.slow),
        pytest.param({"ONEDNN_DEFAULT_FPMATH_MODE": "STRICT", "MKL_CBWR": "COMPATIBLE"}, 1, 8, marks=pytest.mark.slow),
    ],
)
def test_every_instruction_set_number_of_threads_and_of_lanes_gives_the_golden_logits(
    settings: dict[str, str], threads: int, lanes: int
) -> None:
    assert logits_of(sys.executable, settings, threads, lanes) == json.loads((GOLDEN / "exact.json").read_text())


@pytest.mark.slow
def test_another_version_of_torch_gives_the_golden_logits() -> None:
    """In a second environment, whose Python CODEWORD_OTHER_PYTHON names; CONTRIBUTING.md says how to make it."""
    python = os.environ.get("CODEWORD_OTHER_PYTHON")
    if python is None:
        pytest.skip("CODEWORD_OTHER_PYTHON names no Python with another version of torch")
    version = subprocess.check_output([python, "-c", "import torch; print(torch.__version__)"], text=True).strip()
    assert version != torch.__version__
    source = {"PYTHONPATH": str(Path(codeword.__file__).parents[1])}
    assert logits_of(python, source, 1, 8) == json.loads((GOLDEN / "exact.json").read_text())


def logits_of(python: str, settings: dict[str, str], threads: int, lanes: int) -> dict[str, str]:
    """The hashes that `PROGRAM` prints."""
    ran = subprocess.run(
        [python, "-c", PROGRAM, str(threads), str(lanes)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(ran.stdout)
    return found
