"""The callback of a walk, shared by priors (over codes) and likelihoods (over the values of a signal)."""

from collections.abc import Callable

from torch import Tensor

Choose = Callable[[Tensor, int], Tensor]
"""Logits (B, ..., n) of step i of a walk to the choices (B, ...): drawn, written to a file, or read from one.

A likelihood's walk over values offers probabilities instead."""
