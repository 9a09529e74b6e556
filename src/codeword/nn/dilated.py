"""Dilated causal gated layers: the network of WaveNet (van den Oord et al. 2016), in parallel and step by step.

Channels are last, so that every layer is a few matrix products: one-dimensional convolutions are two to three times
slower.
"""

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.linear import Linear


class DilatedStack(nn.Module):
    """Residual layers with a window of two, at t - d and t, and skip connections from all of them.

    Layer i, of dilation d, computes from its input h (van den Oord et al. 2016, eq. 2 and fig. 4)

        g[t] = tanh(a) * sigmoid(b)    with    (a, b) = P h[t - d] + N h[t] + C condition + L local[t] + bias

    and passes h + R g to the next layer; the output is the sum of S g over all layers. Before the start h is zero in
    every layer. The output at t depends on `receptive_field` places including t; a strictly causal model shifts its
    input by one.
    """

    def __init__(
        self, dilations: tuple[int, ...], *, width: int, skip_width: int, condition: int = 0, local: int = 0
    ) -> None:
        """`condition` and `local` are numbers of channels; 0 means that there is no such input."""
        super().__init__()
        layers = len(dilations)
        self.dilations, self.width, self.skip_width = dilations, width, skip_width
        self.receptive_field = 1 + sum(dilations)
        self.past = nn.ModuleList(Linear(width, 2 * width, bias=False) for _ in dilations)
        self.now = nn.ModuleList(Linear(width, 2 * width, bias=False) for _ in dilations)
        self.bias = nn.Parameter(torch.zeros(layers, 2 * width))
        self.condition = Linear(condition, layers * 2 * width, bias=False) if condition else None
        self.local = nn.ModuleList(Linear(local, 2 * width, bias=False) for _ in (dilations if local else ()))
        # No bias, because the next layer has one; no residual after the last layer, because nothing reads it.
        self.residual = nn.ModuleList(Linear(width, width, bias=False) for _ in dilations[1:])
        self.skip = Linear(layers * width, skip_width)

    def forward(self, h: Tensor, *, condition: Tensor | None = None, local: Tensor | None = None) -> Tensor:
        """Input (B, T, W), condition (B, C) and local (B, T, C') to the sum of the skips (B, T, S)."""
        biases = self.biases(condition)
        if local is not None:
            local = _lowered(local).contiguous()
        gates = []
        for i, dilation in enumerate(self.dilations):
            # The residual stream itself stays in float32, because half precision loses small additions.
            seen = _lowered(h)
            drive = self.now[i](seen)
            drive = drive + delay(self.past[i](seen), dilation) + biases[:, i, None].to(drive.dtype)
            if local is not None:
                drive = drive + self.local[i](local)
            signal, openness = drive.chunk(2, -1)
            gates.append(torch.tanh(signal) * torch.sigmoid(openness))
            if i < len(self.residual):
                h = h + self.residual[i](gates[i])
        return cast(Tensor, self.skip(torch.cat(gates, -1)))

    def biases(self, condition: Tensor | None) -> Tensor:
        """Condition (B, C) to the biases of every layer (B, layer, 2W); one row for all if there is no condition."""
        biases: Tensor = self.bias[None]
        if self.condition is not None:
            assert condition is not None
            biases = biases + self.condition(condition).unflatten(1, self.bias.shape)
        return biases


def delay(h: Tensor, places: int) -> Tensor:
    """Shift h (B, T, W) later by a number of places, with zeros before the start."""
    kept = max(h.shape[1] - places, 0)
    return F.pad(h[:, :kept], (0, 0, h.shape[1] - kept, 0))


class _Layer(NamedTuple):
    """One layer of the walk: its weights, and views of the buffers that all layers share."""

    now: Tensor
    residual: Tensor | None
    h: Tensor
    drive: Tensor
    signal: Tensor
    openness: Tensor
    gate: Tensor
    following: Tensor | None


class DilatedWalk:
    """A `DilatedStack` evaluated one place at a time, at a constant cost per step.

    Each layer keeps its last d inputs in a ring buffer; all rings lie in one tensor (sum of d, B, W). The contribution
    of the past to all layers is one batched product, since it does not depend on this step. With
    sigmoid(b) = (1 + tanh(b / 2)) / 2 and these halves put into the weights, each layer needs four operations; their
    number determines the cost of a step at batch size 1. Weights are copied at the start, and no gradient flows.
    """

    def __init__(self, stack: DilatedStack, batch: int, *, condition: Tensor | None = None) -> None:
        weights = {name: weight.detach() for name, weight in stack.named_parameters()}
        layers, width = len(stack.dilations), stack.width
        like = weights["bias"]
        half = torch.ones(2 * width, device=like.device)
        half[width:] = 0.5
        self._biases = (stack.biases(condition).detach() * half).transpose(0, 1).expand(-1, batch, -1)
        self._past = torch.stack([weights[f"past.{i}.weight"].t() * half for i in range(layers)])
        self._local = (
            torch.cat([weights[f"local.{i}.weight"].t() * half for i in range(layers)], 1) if stack.local else None
        )
        self._skip, self._skip_bias = (weights["skip.weight"] / 2).t().contiguous(), weights["skip.bias"]
        dilations = torch.tensor(stack.dilations, device=like.device)
        self._ends = dilations.cumsum(0)
        self._begins = self._ends - dilations
        self._slots = self._begins.clone()
        self._rings = like.new_zeros(sum(stack.dilations), batch, width)
        self._inputs, self._drives = (like.new_zeros(layers, batch, width), like.new_zeros(layers, batch, 2 * width))
        gates = like.new_zeros(batch, layers, width)
        self._gates = gates.flatten(1)
        now = [(weights[f"now.{i}.weight"].t() * half).contiguous() for i in range(layers)]
        residual = [(weights[f"residual.{i}.weight"].t() / 2).contiguous() for i in range(layers - 1)]
        signals, opennesses = self._drives.chunk(2, -1)
        views, following = (self._inputs, self._drives, signals, opennesses, gates.unbind(1)), [*self._inputs[1:], None]
        self._layers = [_Layer(*parts) for parts in zip(now, [*residual, None], *views, following, strict=True)]

    def drives(self, local: Tensor) -> Tensor:
        """Local conditioning (B, T, C) to the drives of T steps, for `step`: (T, layer, B, 2W)."""
        assert self._local is not None
        added = local.detach().float() @ self._local
        return cast(Tensor, added.unflatten(2, (len(self._layers), -1)).permute(1, 2, 0, 3) + self._biases)

    @torch.no_grad()
    def step(self, h: Tensor, drives: Tensor | None = None) -> Tensor:
        """The next input (B, W) to the sum of the skips at its place (B, S); `drives` are those of that place."""
        torch.baddbmm(
            self._biases if drives is None else drives,
            self._rings.index_select(0, self._slots),
            self._past,
            out=self._drives,
        )
        self._inputs[0] = h
        for layer in self._layers:
            layer.drive.addmm_(layer.h, layer.now).tanh_()
            # This is twice the gate; the weights that read it hold the factor 1/2.
            torch.addcmul(layer.signal, layer.signal, layer.openness, out=layer.gate)
            if layer.residual is not None:
                torch.addmm(layer.h, layer.gate, layer.residual, out=cast(Tensor, layer.following))
        self._rings.index_copy_(0, self._slots, self._inputs)
        self._slots += 1
        torch.where(self._slots == self._ends, self._begins, self._slots, out=self._slots)
        return torch.addmm(self._skip_bias, self._gates, self._skip)


def _lowered(h: Tensor) -> Tensor:
    """`h` in the type of autocast, converted once instead of in each product that reads it."""
    kind = h.device.type
    return h.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else h
