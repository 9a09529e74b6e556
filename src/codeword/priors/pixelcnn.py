"""Gated PixelCNN over codes, with an exact parallel log-probability and a cached walk."""

from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import PixelCNNConfig, PriorModelConfig
from codeword.nn.causal import GatedLayer, gate, shift
from codeword.nn.conv import channels_last
from codeword.priors.cell import CellPrior, CellState


@dataclass(kw_only=True)
class PixelCNNState(CellState):
    """Cached activations, so that a symbol costs one column of the network instead of the whole grid.

    For an upper stack, the padded input (B, W, *slab) of each layer. For the last stack, whose slab is a single cell,
    the padded line (B, G + reach, W) of each layer, its convolution as a matrix in `weights`, and `drives` (G, B, 2W):
    the part of its pre-activation that does not depend on the current line. `outputs` are those of the upper stacks for
    their current slabs.
    """

    label: Tensor
    slabs: list[list[Tensor]]
    lines: list[Tensor]
    weights: list[Tensor]
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

    def _cell_features(self, codes: Tensor, label: Tensor) -> Tensor:
        embedded = channels_last(self._embedded(codes).movedim(-1, 1))
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

    # The walk ------------------------------------------------------------------------------------

    def start(self, batch: int, label: Tensor | None = None) -> PixelCNNState:
        device = self.head.weight.device
        layers, reach = len(self._layers()[0]), self.reach
        slabs = []
        for axis in range(self.ndim - 1):
            later = [n + 2 * reach for n in self.grid[axis + 1 :]]
            shape = (batch, self.width, *[1] * axis, self.grid[axis] + reach, *later)
            slabs.append([torch.zeros(shape, device=device) for _ in range(layers)])
        lines = [torch.zeros(batch, self.grid[-1] + reach, self.width, device=device) for _ in range(layers)]
        weights = [
            cast(Tensor, layer.conv.weight).flatten(2).transpose(1, 2).flatten(1).t().contiguous()
            for layer in self._layers()[-1]
        ]
        return PixelCNNState(label=self._label(label, batch), slabs=slabs, lines=lines, weights=weights)

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
                here = inputs[0].movedim(1, -1)
                for n in (*[0] * axis, place[axis] + 1 + self.reach, *later):
                    here = here[:, n]
                here.copy_(embedded)
        if place[-1] + 1 < self.grid[-1]:
            state.lines[0][:, place[-1] + 1 + self.reach] = embedded

    def _begin_line(self, state: PixelCNNState, place: tuple[int, ...]) -> None:
        """Run the upper stacks for the line that starts at `place`, and clear the cache of the line before."""
        biases = self._biases(state.label)
        above: list[Tensor] = []
        for axis, inputs in enumerate(state.slabs):
            # A slab spans all later axes, so it is computed once for all lines in it.
            if not any(place[axis + 1 : -1]):
                if axis and place[axis] == 0:
                    for slab in inputs:
                        slab.zero_()
                state.outputs[axis] = self._walk_slab(axis, inputs, place[axis], biases[axis], above)
            above = [h.narrow(axis + 3, place[axis + 1], 1) for h in state.outputs[axis]]
        outputs = state.outputs.get(self.ndim - 2, [])
        state.drives = []
        for n, (layer, bias) in enumerate(zip(self._layers()[-1], biases[-1], strict=True)):
            state.lines[n].zero_()
            drive = bias[:, :, None] + cast(Tensor, layer.conv.bias)[:, None]
            if layer.above is not None:
                drive = drive + layer.above(outputs[n]).flatten(2)
            state.drives.append(drive.expand(-1, -1, self.grid[-1]).permute(2, 0, 1).contiguous())

    def _walk_slab(
        self, axis: int, inputs: list[Tensor], index: int, biases: Tensor, above: list[Tensor]
    ) -> list[Tensor]:
        """One slab of an upper stack; returns the output (B, W, *slab) of each of its layers."""
        outputs = []
        for n, (layer, bias) in enumerate(zip(self._layers()[axis], biases, strict=True)):
            window = inputs[n].narrow(axis + 2, index, self.reach + 1)
            drive = layer.conv(window) + bias.view(*bias.shape, *[1] * self.ndim)
            if layer.above is not None:
                drive = drive + layer.above(above[n])
            here = window.narrow(axis + 2, self.reach, 1)
            inside = (slice(None),) * (axis + 3) + (slice(self.reach, -self.reach),) * (self.ndim - axis - 1)
            h, _ = layer.finish(here[inside], drive)
            outputs.append(h)
            if n + 1 < len(inputs):
                inputs[n + 1].narrow(axis + 2, index + self.reach, 1)[inside] = h
        return outputs

    def _walk_line(self, state: PixelCNNState, column: int) -> Tensor:
        """One cell of the last stack, as plain matrix products; returns the sum of the skips (B, W)."""
        skips: Tensor | None = None
        layers = self._layers()[-1]
        for n, layer in enumerate(layers):
            line = state.lines[n]
            window = line[:, column : column + self.reach + 1].flatten(1)
            drive = torch.addmm(state.drives[n][column], window, state.weights[n])
            out = F.linear(
                gate(drive), cast(Tensor, layer.project_out.weight).flatten(1), cast(Tensor, layer.project_out.bias)
            )
            residual, skip = out.chunk(2, 1)
            skips = skip if skips is None else skips + skip
            if n + 1 < len(layers):
                state.lines[n + 1][:, column + self.reach] = line[:, column + self.reach] + residual
        assert skips is not None
        return skips

    # Small parts ---------------------------------------------------------------------------------

    def _layers(self) -> list[list[GatedLayer]]:
        return [list(cast(list[GatedLayer], stack)) for stack in self.stacks]

    def _biases(self, label: Tensor) -> Tensor:
        """Labels (B,) to the biases of every layer (axis, layer, B, 2W)."""
        biases: Tensor = self.label_bias(label).view(len(label), self.ndim, -1, 2 * self.width)
        return biases.permute(1, 2, 0, 3)

    def _place(self, cell: int) -> tuple[int, ...]:
        return tuple(map(int, np.unravel_index(cell, self.grid)))
