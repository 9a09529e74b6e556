"""Two processes share one codebook: what they learn is what one process learns from both their data."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file

from codeword.config import VectorQuantizerConfig
from codeword.quantizers import VectorQuantizer


def learned(rank: int, ranks: int, revive_below: float) -> dict[str, torch.Tensor]:
    """The quantizer's state after some steps, each of which reads this rank's share of the same data."""
    torch.manual_seed(0)
    config = VectorQuantizerConfig(codebook_sizes=(16,), dim=4, init="uniform", decay=0.9, revive_below=revive_below)
    quantizer = VectorQuantizer(config)
    for step in range(8):
        z = torch.randn(64, 4, generator=torch.Generator().manual_seed(step)) + 2
        # Each rank draws differently, as in training; revival must agree all the same.
        quantizer(z[rank::ranks], generator=torch.Generator().manual_seed(100 * step + rank))
    return quantizer.state_dict()


def one_of_two(rank: int, folder: str, revive_below: float) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    save_file(learned(rank, 2, revive_below), f"{folder}/{rank}.safetensors")
    dist.destroy_process_group()


@pytest.mark.parametrize("revive_below", [0.0, 0.2])
def test_two_ranks_hold_one_codebook(revive_below: float, tmp_path: Path) -> None:
    mp.spawn(one_of_two, (str(tmp_path), revive_below), nprocs=2)
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    alone = learned(0, 1, revive_below)
    if revive_below == 0:
        torch.testing.assert_close(first, dict(alone), atol=1e-5, rtol=1e-4)
