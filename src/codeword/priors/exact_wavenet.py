"""WaveNet in 8-bit integers: features of all cells in parallel, and the cached walk."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import Tensor

from codeword.nn.dilated import delay
from codeword.nn.integers import GATE_BITS, Buffers, Gates, Matrix, Signal, integers, power, weight_bits
from codeword.priors.exact import ExactPrior, stream_bits_for, weight_of
from codeword.priors.state import CellState

if TYPE_CHECKING:
    from codeword.priors.wavenet import WaveNet

_CALIBRATION_LENGTH = 256
_LABEL_BITS = 12


@dataclass(kw_only=True)
class ExactWaveNetState(CellState):
    """The features (B, S) int8 of the next cell, and the past inputs of all layers.

    Each layer keeps its last d inputs in a ring buffer; all rings lie in one tensor (sum of d, B, W) int8, and `slots`
    are the places of the oldest. `taps` (layer, B, 2, W) are the inputs of the past and of now, `windows` and `inputs`
    views of them for each layer, and `biases` (B, 2W) those of each layer.
    """

    biases: list[Tensor]
    rings: Tensor
    slots: Tensor
    taps: Tensor
    windows: list[Tensor]
    inputs: list[Tensor]
    gates: Tensor
    buffers: Buffers
    features: Tensor


class _Layer:
    """One layer: weights (2W, 2W) of its inputs of the past and of now, their signal, and the residual, if any."""

    def __init__(self, window: Tensor, source: Signal, residual: Matrix | None) -> None:
        self._window, self.source, self.residual = window, source, residual

    @cached_property
    def gates(self) -> Gates:
        """Made in the calibration, because its steps are those of the signals."""
        return Gates(self._window, self.source)


class ExactWaveNet(ExactPrior):
    """`WaveNet` in integers."""

    any_grid: ClassVar[bool] = True

    def __init__(self, prior: "WaveNet") -> None:
        stack = prior.stack
        weights = {name: weight.detach().float().cpu() for name, weight in stack.named_parameters()}
        residuals = [weights[f"residual.{i}.weight"] for i in range(len(stack.residual))]
        super().__init__(prior, stream_bits=stream_bits_for(stack.width, residuals))
        self.width, self.dilations = stack.width, stack.dilations
        signals = [self.embedded, *(Signal() for _ in residuals)]
        for signal in signals:
            signal.set_units(self.stream_bits)
        self._layers = [
            _Layer(torch.cat([weights[f"past.{i}.weight"], weights[f"now.{i}.weight"]], 1), signal, residual)
            for i, (signal, residual) in enumerate(zip(signals, [*map(self.residual, residuals), None], strict=True))
        ]
        self._skip = Matrix(weights["skip.weight"], weight_bits(weights["skip.weight"]))
        self.summary.set_units(self._skip.bits + GATE_BITS, weights["skip.bias"])
        self._labels, self._bias = _rounded(weight_of(prior.label_embedding)), weights["bias"]
        self._condition = Matrix(weights["condition.weight"], weight_bits(weights["condition.weight"]))
        self._ends = torch.tensor(self.dilations).cumsum(0)
        self._begins = self._ends - torch.tensor(self.dilations)
        self.calibrate((_CALIBRATION_LENGTH,))

    def _biases(self, label: Tensor) -> tuple[Tensor, ...]:
        """Labels (B,) to the biases (B, 2W) float32 of each layer."""
        table, bits = self._labels
        sums = torch.empty(len(label), self._bias.numel(), dtype=torch.int32)
        scale = power(-self._condition.bits - bits)
        biases = torch.addcmul(self._bias.flatten(), self._condition.product(table[label], sums).float(), scale)
        return biases.view(len(label), *self._bias.shape).unbind(1)

    def _features(self, embedded: Tensor, label: Tensor) -> Tensor:
        h = delay(embedded, 1)
        cells = h[..., 0].numel()
        stream, buffers = h.view(cells, -1), Buffers(cells, self.width)
        gates = torch.empty(len(self._layers), cells, self.width, dtype=torch.int8)
        layers = zip(self._layers, self.dilations, self._biases(label), strict=True)
        for n, (layer, dilation, biases) in enumerate(layers):
            x = layer.source.round(h)
            windows = torch.cat([delay(x, dilation), x], -1).flatten(0, 1)
            layer.gates.open(windows, layer.gates.biases(biases), buffers, gates[n])
            if layer.residual is not None:
                stream += layer.residual.product(gates[n], buffers.update)
        return self._summary(gates).view(*embedded.shape[:-1], -1)

    def _summary(self, gates: Tensor) -> Tensor:
        """The gates (layer, rows, W) to the features (rows, S) int8."""
        rows = gates.transpose(0, 1).flatten(1)
        sums = torch.empty(len(rows), len(self._skip.bits), dtype=torch.int32)
        return self.summary.round(self._skip.product(rows, sums))

    # The walk ------------------------------------------------------------------------------------

    def start(
        self, batch: int, label: Tensor | None = None, *, codes: int | None = None, grid: tuple[int, ...] | None = None
    ) -> ExactWaveNetState:
        layers, biases = len(self._layers), self._biases(self._label(label, batch))
        taps = torch.zeros(layers, batch, 2, self.width, dtype=torch.int8)
        state = ExactWaveNetState(
            codes=codes or len(self.codebook_sizes),
            biases=[layer.gates.biases(x) for layer, x in zip(self._layers, biases, strict=True)],
            rings=torch.zeros(sum(self.dilations), batch, self.width, dtype=torch.int8),
            slots=self._begins.clone(),
            taps=taps,
            windows=list(taps.flatten(2)),
            inputs=list(taps[:, :, 1]),
            gates=torch.empty(layers, batch, self.width, dtype=torch.int8),
            buffers=Buffers(batch, self.width),
            features=torch.empty(0),
        )
        self._step(state, torch.zeros(batch, self.width, dtype=torch.int32))
        return state

    def _walk_cell(self, state: CellState, cell: int) -> Tensor:
        return cast(ExactWaveNetState, state).features

    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        self._step(cast(ExactWaveNetState, state), embedded)

    def _step(self, state: ExactWaveNetState, h: Tensor) -> None:
        """Append the input h (B, W) int32, which is overwritten, and compute the features of the next cell."""
        state.taps[:, :, 0] = state.rings.index_select(0, state.slots)
        gates = list(state.gates)
        for n, layer in enumerate(self._layers):
            layer.source.round(h, state.inputs[n])
            layer.gates.open(state.windows[n], state.biases[n], state.buffers, gates[n])
            if layer.residual is not None:
                h += layer.residual.product(gates[n], state.buffers.update)
        state.rings.index_copy_(0, state.slots, state.taps[:, :, 1])
        state.slots += 1
        torch.where(state.slots == self._ends, self._begins, state.slots, out=state.slots)
        state.features = self._summary(state.gates)


def _rounded(table: Tensor) -> tuple[Tensor, int]:
    """A table of numbers to integers of 8 bits, and their bits."""
    signal, units = Signal(), torch.full(table.shape[1:], _LABEL_BITS)
    signal.set_units(units)
    rounded = signal.round(integers(table, units))
    assert signal.bits is not None
    return rounded, signal.bits
