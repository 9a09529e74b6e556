"""Collectives for values that must agree on all ranks; they do nothing in a single process."""

import torch.distributed as dist
from torch import Tensor


def _active() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_ranks(*tensors: Tensor) -> None:
    """Replace each tensor by its sum over all ranks, in place."""
    if _active():
        for tensor in tensors:
            dist.all_reduce(tensor)


def maximum_over_ranks(tensor: Tensor) -> None:
    """Replace each number by its maximum over all ranks, in place."""
    if _active():
        dist.all_reduce(tensor, dist.ReduceOp.MAX)


def copy_from_first_rank(tensor: Tensor) -> Tensor:
    """Rank 0's values, on every rank."""
    if _active():
        tensor = tensor.contiguous()
        dist.broadcast(tensor, 0)
    return tensor
