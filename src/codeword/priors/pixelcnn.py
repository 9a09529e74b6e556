"""Gated PixelCNN over codes, with an exact parallel log-probability and a cached walk."""

from dataclasses import dataclass, field
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from codeword.config import PixelCNNConfig, PriorModelConfig
from codeword.nn.causal import GatedLayer, shift
from codeword.nn.conv import channels_last
from codeword.priors.base import Prior
from codeword.priors.cell import CellPrior
from codeword.priors.exact_pixelcnn import ExactPixelCNN
from codeword.priors.state import CellState


class _Layer(NamedTuple):
    """Weights of one layer of a walk, as matrices of channels last: (inputs, outputs).

    Those of the openness hold a factor 1/2, and those that read twice the gate another one, as in `DilatedWalk`.
    """

    window: Tensor
    bias: Tensor
    above: Tensor | None
    project_out: Tensor
    project_bias: Tensor


@dataclass(kw_only=True)
class PixelCNNState(CellState):
    """Cached activations, so that a symbol costs one column of the network instead of the whole grid.

    For an upper stack, the padded input (B, *slab, W) of each layer, and in `outputs` the output of each layer for the
    current slab. For the last stack, whose slab is a single cell, the padded line (B, G + reach, W) of each layer, the
    part of its drive that does not depend on the current line in `drives` (G, B, 2W), and twice the gates of the
    current cell (B, layers, W). `skip` and `skip_bias` give the sum of the skips from all gates.
    """

    layers: list[list[_Layer]]
    slabs: list[list[Tensor]]
    lines: list[Tensor]
    gates: Tensor
    skip: Tensor
    skip_bias: Tensor
    drives: list[Tensor] = field(default_factory=list)
    outputs: dict[int, list[Tensor]] = field(default_factory=dict)


class PixelCNN(CellPrior):
    """One stack of gated layers for each axis, each fed by the stack before, without a blind spot at any rank.

    On a 2-D grid these are the vertical and the horizontal stack of van den Oord et al. 2016; a sequence has
    only the latter. With classes, each layer's bias depends on the label (eq. 4 there).
    """

    def __init__(self, config: PriorModelConfig) -> None:
        architecture = config.architecture
        assert isinstance(architecture, PixelCNNConfig)
        ndim, width = len(config.grid), architecture.width
        super().__init__(config, width=width, features=width, head_width=architecture.head_width)
        self.width, self.reach, self.ndim = width, architecture.kernel // 2, ndim
        self.stacks = nn.ModuleList(
            nn.ModuleList(GatedLayer(ndim, axis, width, architecture.kernel) for _ in range(architecture.layers))
            for axis in range(ndim)
        )
        self.label_bias = nn.Embedding(self.classes + 1, ndim * architecture.layers * 2 * width)
        nn.init.zeros_(self.label_bias.weight)

    def _cell_features(self, embedded: Tensor, label: Tensor) -> Tensor:
        embedded = channels_last(embedded.movedim(-1, 1))
        biases = self._biases(label)
        above: list[Tensor | None] = [None] * len(cast(nn.ModuleList, self.stacks[0]))
        skips = torch.zeros_like(embedded)
        for axis, stack in enumerate(self._layers()):
            h = shift(embedded, axis)
            outputs: list[Tensor | None] = []
            for layer, coming, bias in zip(stack, above, biases[axis], strict=True):
                h, skip = layer(h, coming, bias.view(*bias.shape, *[1] * self.ndim))
                outputs.append(h)
                if skip is not None:
                    skips = skips + skip
            above = outputs
        return skips.movedim(1, -1)

    def exact(self) -> Prior:
        return ExactPixelCNN(self)

    # The walk ------------------------------------------------------------------------------------

    def start(
        self, batch: int, label: Tensor | None = None, *, codes: int | None = None, grid: tuple[int, ...] | None = None
    ) -> PixelCNNState:
        layers, reach, width, device = self._layers(), self.reach, self.width, self.head.weight.device
        biases = self._biases(self._label(label, batch))
        slabs = []
        for axis in range(self.ndim - 1):
            later = [n + 2 * reach for n in self.grid[axis + 1 :]]
            shape = (batch, self.grid[axis] + reach, *later, width)
            slabs.append([torch.zeros(shape, device=device) for _ in layers[axis]])
        skips, skip_biases = zip(*(_affine(layer.project_out) for layer in layers[-1]), strict=True)
        return PixelCNNState(
            codes=codes or len(self.codebook_sizes),
            layers=[
                [self._walked(layer, bias) for layer, bias in zip(*parts, strict=True)]
                for parts in zip(layers, biases, strict=True)
            ],
            slabs=slabs,
            lines=[torch.zeros(batch, self.grid[-1] + reach, width, device=device) for _ in skips],
            gates=torch.zeros(batch, len(skips), width, device=device),
            skip=torch.cat([weight.flatten(1)[width:].t() / 2 for weight in skips]),
            skip_bias=torch.stack([bias[width:] for bias in skip_biases]).sum(0),
        )

    def _walked(self, layer: GatedLayer, label_bias: Tensor) -> _Layer:
        """The weights of a layer for the walk; `label_bias` (B, 2W) becomes part of the bias."""
        half = torch.ones(2 * self.width, device=label_bias.device)
        half[self.width :] = 0.5
        (window, bias), (project_out, project_bias) = _affine(layer.conv), _affine(layer.project_out)
        bias, above = label_bias + bias, None
        if layer.above is not None:
            weight, bias_above = _affine(layer.above)
            bias, above = bias + bias_above, weight.flatten(1).t() * half
        return _Layer(
            (window.movedim(1, -1).flatten(1).t() * half).contiguous(),
            bias * half,
            above,
            (project_out.flatten(1)[: self.width].t() / 2).contiguous(),
            project_bias[: self.width],
        )

    def _walk_cell(self, state: CellState, cell: int) -> Tensor:
        state, place = cast(PixelCNNState, state), self._place(cell)
        if place[-1] == 0:
            self._begin_line(state, place)
        return self._walk_line(state, place[-1])

    def _enter(self, state: CellState, cell: int, embedded: Tensor) -> None:
        state, place = cast(PixelCNNState, state), self._place(cell)
        # Shifted by one along each stack's own axis, as in the parallel form.
        for axis, inputs in enumerate(state.slabs):
            if place[axis] + 1 < self.grid[axis]:
                later = [n + self.reach for n in place[axis + 1 :]]
                inputs[0].movedim(0, -2)[(place[axis] + 1 + self.reach, *later)] = embedded
        if place[-1] + 1 < self.grid[-1]:
            state.lines[0][:, place[-1] + 1 + self.reach] = embedded

    def _begin_line(self, state: PixelCNNState, place: tuple[int, ...]) -> None:
        """Run the upper stacks for the line that starts at `place`, and clear the cache of the line before."""
        above: list[Tensor] = []
        for axis, inputs in enumerate(state.slabs):
            # A slab spans all later axes, so it is computed once for all lines in it.
            if not any(place[axis + 1 : -1]):
                if axis and place[axis] == 0:
                    for slab in inputs:
                        slab.zero_()
                state.outputs[axis] = self._walk_slab(state.layers[axis], inputs, place[axis], above)
            above = state.outputs[axis]
            if axis + 2 < self.ndim:
                above = [h.select(1, place[axis + 1]) for h in above]
        state.drives = []
        for n, layer in enumerate(state.layers[-1]):
            state.lines[n].zero_()
            drive = layer.bias[:, None].expand(-1, self.grid[-1], -1)
            if layer.above is not None:
                drive = drive + above[n] @ layer.above
            state.drives.append(drive.transpose(0, 1).contiguous())

    def _walk_slab(self, layers: list[_Layer], inputs: list[Tensor], index: int, above: list[Tensor]) -> list[Tensor]:
        """One slab of an upper stack; returns the output (B, *slab, W) of each of its layers."""
        outputs, reach = [], self.reach
        interior: tuple[slice, ...] = (slice(None), *[slice(reach, -reach)] * (inputs[0].ndim - 3))
        for n, layer in enumerate(layers):
            window = inputs[n][:, index : index + reach + 1]
            h = window[:, reach][interior]
            rows = (*h.shape[:-1], -1)
            for axis in range(2, window.ndim - 1):
                window = window.unfold(axis, 2 * reach + 1, 1)
            # (B, R, *slab, W, K, ...) to (B, *slab, R, K, ..., W).
            slab = h.ndim - 2
            window = window.movedim(1, slab + 1).movedim(slab + 2, -1).reshape(rows)
            drive = window @ layer.window + layer.bias.view(len(h), *[1] * slab, -1)
            if layer.above is not None:
                drive = drive + above[n] @ layer.above
            gate = _twice_gate(drive)
            outputs.append(h + (gate @ layer.project_out + layer.project_bias))
            if n + 1 < len(inputs):
                inputs[n + 1][:, index + reach][interior] = outputs[n]
        return outputs

    def _walk_line(self, state: PixelCNNState, column: int) -> Tensor:
        """One cell of the last stack; returns the sum of the skips (B, W)."""
        here = column + self.reach
        for n, layer in enumerate(state.layers[-1]):
            line = state.lines[n]
            drive = torch.addmm(state.drives[n][column], line[:, column : here + 1].flatten(1), layer.window)
            state.gates[:, n] = gate = _twice_gate(drive)
            if n + 1 < len(state.lines):
                h = torch.addmm(line[:, here] + layer.project_bias, gate, layer.project_out)
                state.lines[n + 1][:, here] = h
        return torch.addmm(state.skip_bias, state.gates.flatten(1), state.skip)

    # Small parts ---------------------------------------------------------------------------------

    def _layers(self) -> list[list[GatedLayer]]:
        return [list(cast(list[GatedLayer], stack)) for stack in self.stacks]

    def _biases(self, label: Tensor) -> Tensor:
        """Labels (B,) to the biases of every layer (axis, layer, B, 2W)."""
        biases: Tensor = self.label_bias(label).view(len(label), self.ndim, -1, 2 * self.width)
        return biases.permute(1, 2, 0, 3)

    def _place(self, cell: int) -> tuple[int, ...]:
        return tuple(map(int, np.unravel_index(cell, self.grid)))


def _affine(part: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight (outputs, inputs, *taps) and bias (outputs,) of a convolution, without gradient."""
    return cast(Tensor, part.weight).detach(), cast(Tensor, part.bias).detach()


def _twice_gate(drive: Tensor) -> Tensor:
    """Drives (..., 2W) with the openness halved, which are overwritten, to twice the gates (..., W)."""
    signal, openness = drive.tanh_().chunk(2, -1)
    return torch.addcmul(signal, signal, openness)
