"""PixelCNN in 8-bit integers: features of all cells in parallel, and the cached walk."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.nn.causal import GatedLayer, shift
from codeword.nn.integers import GATE_BITS, Buffers, Gates, Matrix, Signal, weight_bits
from codeword.priors.exact import ExactPrior, bias_of, stream_bits_for, weight_of
from codeword.priors.state import CellState

if TYPE_CHECKING:
    from codeword.priors.pixelcnn import PixelCNN


class _Layer:
    """A `GatedLayer`: matrices with channels last, and biases (classes + 1, 2W) for each label.

    The residual stream is kept without the biases that earlier layers add to it; its signal `output` adds them. The
    last layer of the last stack has no residual.
    """

    def __init__(
        self,
        layer: GatedLayer,
        label_bias: Tensor,
        *,
        source: Signal,
        over: Signal | None,
        bias: Tensor,
        prior: ExactPrior,
    ) -> None:
        """`source` and `over` are the signals of its input and of the stack above; `bias` (W,) is the stream's."""
        self._layer, self._label_bias, self._source, self._over = layer, label_bias, source, over
        self._bias = bias_of(layer.conv) if layer.above is None else bias_of(layer.conv) + bias_of(layer.above)
        weight, own_bias = weight_of(layer.project_out).flatten(1), bias_of(layer.project_out)
        width = len(bias)
        self.residual, self.stream_bias = prior.residual(weight[:width]), bias + own_bias[:width]
        self.output = Signal()
        self.output.set_units(prior.stream_bits, self.stream_bias)
        self.skip, self.skip_bias = weight[width:], own_bias[width:]

    @cached_property
    def gates(self) -> Gates:
        """Made in the calibration, because its steps are those of the signals."""
        layer = self._layer
        second = None
        if layer.above is not None:
            assert self._over is not None
            second = (weight_of(layer.above).flatten(1), self._over)
        return Gates(weight_of(layer.conv).movedim(1, -1).flatten(1), self._source, second)

    def biases(self, label: Tensor) -> Tensor:
        """The biases (B, 2W) int32 of labels (B,), or one row for all."""
        return self.gates.biases(self._label_bias[label] + self._bias)


@dataclass(kw_only=True)
class ExactPixelCNNState(CellState):
    """Cached activations, so that a symbol costs one column of the network instead of the whole grid.

    `biases` (axis, layer, B, 2W) are those of each layer and label, and `entered` the embeddings (B, *G, W) of the
    cells so far. For an upper stack, `slabs` are the padded inputs (reach + 1, B, *slab, W) of each layer from the
    latest slabs, and of one more the outputs. For the last stack, whose slab is one cell, `taps` (layer, B, reach + 2,
    W) are the inputs in the window of the current cell and the output of the stack above, `windows` and `inputs` views
    of them for each layer, and `above` (layer, B, G, W) the outputs above of the line.
    """

    biases: list[list[Tensor]]
    entered: Tensor
    slabs: list[list[Tensor]]
    slab_buffers: list[Buffers]
    buffers: Buffers
    taps: Tensor
    windows: list[Tensor]
    inputs: list[Tensor]
    gates: Tensor
    above: Tensor


class ExactPixelCNN(ExactPrior):
    """`PixelCNN` in integers."""

    def __init__(self, prior: "PixelCNN") -> None:
        stacks = [[cast(GatedLayer, layer) for layer in cast(nn.ModuleList, stack)] for stack in prior.stacks]
        layers = [layer for stack in stacks for layer in stack]
        residuals = [weight_of(x.project_out).flatten(1)[: prior.width] for x in layers]
        super().__init__(prior, stream_bits=stream_bits_for(prior.width, residuals))
        self.width, self.reach, self.ndim = prior.width, prior.reach, prior.ndim
        label_biases = weight_of(prior.label_bias).unflatten(1, (self.ndim, len(stacks[0]), -1))
        self._stacks: list[list[_Layer]] = []
        for axis, stack in enumerate(stacks):
            source, bias, own = self.embedded, torch.zeros(self.width), []
            for n, layer in enumerate(stack):
                over = self._stacks[-1][n].output if axis else None
                own.append(_Layer(layer, label_biases[:, axis, n], source=source, over=over, bias=bias, prior=self))
                source, bias = own[-1].output, own[-1].stream_bias
            self._stacks.append(own)
        last = self._stacks[-1]
        skip = torch.cat([layer.skip for layer in last], 1)
        self._skip = Matrix(skip, weight_bits(skip))
        self.summary.set_units(self._skip.bits + GATE_BITS, torch.stack([x.skip_bias for x in last]).sum(0))
        self.calibrate(self.grid)

    def _features(self, embedded: Tensor, label: Tensor) -> Tensor:
        cells, above = embedded[..., 0].numel(), list[Tensor]()
        gates = torch.empty(len(self._stacks[-1]), cells, self.width, dtype=torch.int8)
        for axis, layers in enumerate(self._stacks):
            h = shift(embedded.movedim(-1, 1), axis).movedim(1, -1).contiguous()
            buffers, stream, outputs = self._memory(cells, axis), h.view(cells, -1), list[Tensor]()
            x = self.embedded.round(h, scratch=buffers.update)
            pads = [0, 0] + [self.reach, self.reach] * (self.ndim - axis - 1) + [self.reach, 0]
            for n, layer in enumerate(layers):
                windows = self._windows(F.pad(x, pads), axis)
                buffers.windows[:, : windows[(0,) * (self.ndim + 1)].numel()].view(windows.shape).copy_(windows)
                if axis:
                    buffers.windows[:, -self.width :] = above[n]
                layer.gates.open(buffers.windows, layer.biases(label), buffers, gates[n])
                if axis + 1 < self.ndim or n + 1 < len(layers):
                    stream += layer.residual.product(gates[n], buffers.update)
                    x = layer.output.round(h, scratch=buffers.update)
                    outputs.append(x.view(cells, -1))
            above = outputs
        return self._summary(gates).view(*embedded.shape[:-1], -1)

    def _windows(self, x: Tensor, axis: int) -> Tensor:
        """Padded inputs (B, *G, W) to a view of the windows (B, *G, K, ..., W) of the stack of an axis."""
        for a in range(axis, self.ndim):
            x = x.unfold(a + 1, self.reach + 1 if a == axis else 2 * self.reach + 1, 1)
        # From (B, *G, W, K, ...).
        return x.movedim(self.ndim + 1, -1)

    def _summary(self, gates: Tensor) -> Tensor:
        """The gates (layer, rows, W) of the last stack to the features (rows, W) int8."""
        rows = gates.transpose(0, 1).flatten(1)
        return self.summary.round(self._skip.product(rows, torch.empty(len(rows), self.width, dtype=torch.int32)))

    # The walk ------------------------------------------------------------------------------------

    def start(
        self, batch: int, label: Tensor | None = None, *, codes: int | None = None, grid: tuple[int, ...] | None = None
    ) -> ExactPixelCNNState:
        labels, reach, grid, layers = self._label(label, batch), self.reach, self.grid, len(self._stacks[-1])
        slabs = []
        for axis in range(self.ndim - 1):
            shape = (reach + 1, batch, *(n + 2 * reach for n in grid[axis + 1 :]), self.width)
            slabs.append([torch.zeros(shape, dtype=torch.int8) for _ in range(layers + 1)])
        taps = torch.zeros(layers, batch, reach + 1 + (self.ndim > 1), self.width, dtype=torch.int8)
        return ExactPixelCNNState(
            codes=codes or len(self.codebook_sizes),
            biases=[[layer.biases(labels) for layer in stack] for stack in self._stacks],
            entered=torch.zeros(batch, *grid, self.width, dtype=torch.int32),
            slabs=slabs,
            slab_buffers=[self._memory(batch * prod(grid[axis + 1 :]), axis) for axis in range(self.ndim - 1)],
            buffers=Buffers(batch, self.width),
            taps=taps,
            windows=list(taps.flatten(2)),
            inputs=list(taps[:, :, reach]),
            gates=torch.empty(layers, batch, self.width, dtype=torch.int8),
            above=torch.empty(layers, batch, grid[-1], self.width, dtype=torch.int8),
        )

    def _walk_cell(self, state: CellState, cell: int) -> Tensor:
        state, place = cast(ExactPixelCNNState, state), self._place(cell)
        if place[-1] == 0:
            self._begin_line(state, place)
        return self._walk_line(state, place)

    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        here: tuple[slice | int, ...] = (slice(None), *self._place(cell))
        cast(ExactPixelCNNState, state).entered[here] = embedded

    def _begin_line(self, state: ExactPixelCNNState, place: tuple[int, ...]) -> None:
        """Run the upper stacks for the line that starts at `place`, and clear the window of the line before."""
        above: list[Tensor] = []
        for axis in range(self.ndim - 1):
            # A slab spans all later axes, so it is computed once for all lines in it.
            if not any(place[axis + 1 : -1]):
                if axis and place[axis] == 0:
                    for slab in state.slabs[axis]:
                        slab.zero_()
                self._walk_slab(state, axis, place, above)
            outputs = [slab[self.reach][self._interior(axis)] for slab in state.slabs[axis][1:]]
            above = outputs if axis + 2 == self.ndim else [x.select(1, place[axis + 1]) for x in outputs]
        state.taps.zero_()
        if above:
            torch.stack(above, out=state.above)

    def _walk_slab(self, state: ExactPixelCNNState, axis: int, place: tuple[int, ...], above: list[Tensor]) -> None:
        """One slab of an upper stack, given the outputs (B, *slab, W) of each layer of the stack above."""
        reach, inputs, buffers = self.reach, state.slabs[axis], state.slab_buffers[axis]
        h, interior = self._before(state, axis, place), self._interior(axis)
        rows, stream = h.ndim - 2, h.view(-1, self.width)
        _advance(inputs[0])
        self.embedded.round(h, inputs[0][reach][interior], scratch=buffers.update)
        for n, layer in enumerate(self._stacks[axis]):
            window = inputs[n]
            for a in range(2, window.ndim - 1):
                window = window.unfold(a, 2 * reach + 1, 1)
            # (R, B, *slab, W, K, ...) to (B, *slab, R, K, ..., W).
            window = window.movedim(0, rows + 1).movedim(rows + 2, -1)
            buffers.windows[:, : window[(0,) * (rows + 1)].numel()].view(window.shape).copy_(window)
            if above:
                buffers.windows.view(*h.shape[:-1], -1)[..., -self.width :] = above[n]
            layer.gates.open(buffers.windows, state.biases[axis][n], buffers, buffers.gates)
            stream += layer.residual.product(buffers.gates, buffers.update)
            _advance(inputs[n + 1])
            layer.output.round(h, inputs[n + 1][reach][interior], scratch=buffers.update)

    def _walk_line(self, state: ExactPixelCNNState, place: tuple[int, ...]) -> Tensor:
        """One cell of the last stack; returns the features (B, W) int8."""
        h = self._before(state, self.ndim - 1, place)
        inputs = state.taps[:, :, : self.reach + 1]
        inputs[:, :, :-1] = inputs[:, :, 1:].clone()
        if self.ndim > 1:
            state.taps[:, :, -1] = state.above[:, :, place[-1]]
        self.embedded.round(h, state.inputs[0])
        gates, last = list(state.gates), len(state.gates) - 1
        for n, (layer, biases) in enumerate(zip(self._stacks[-1], state.biases[-1], strict=True)):
            layer.gates.open(state.windows[n], biases, state.buffers, gates[n])
            if n < last:
                h += layer.residual.product(gates[n], state.buffers.update)
                layer.output.round(h, state.inputs[n + 1])
        return self._summary(state.gates)

    def _before(self, state: ExactPixelCNNState, axis: int, place: tuple[int, ...]) -> Tensor:
        """A copy of the embeddings (B, *slab, W) of the slab before `place` along an axis; zeros at its start."""
        before: tuple[slice | int, ...] = (slice(None), *place[:axis], max(0, place[axis] - 1))
        found = state.entered[before].clone(memory_format=torch.contiguous_format)
        return found if place[axis] else found.zero_()

    def _memory(self, rows: int, axis: int) -> Buffers:
        taps = (self.reach + 1) * (2 * self.reach + 1) ** (self.ndim - 1 - axis) + (axis > 0)
        return Buffers(rows, self.width, inputs=taps * self.width)

    def _interior(self, axis: int) -> tuple[slice, ...]:
        """The places of a padded slab (B, *slab, W) that are not padding."""
        return (slice(None), *[slice(self.reach, -self.reach)] * (self.ndim - 1 - axis))

    def _place(self, cell: int) -> tuple[int, ...]:
        return tuple(map(int, np.unravel_index(cell, self.grid)))


def _advance(slabs: Tensor) -> None:
    """Move the latest slabs (slab, ...) one place back, which frees the last."""
    slabs[:-1] = slabs[1:].clone()
