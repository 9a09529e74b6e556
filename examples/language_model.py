"""A small language model of tokens: `python examples/language_model.py tokens/`.

The package `datasets` (pip install 'codeword[tokens]') reads the shards of `codeword tokenize`, as in any other
trainer. Every tenth row is held out; its loss is printed in bits per code, next to that of a uniform model.
"""

import json
import sys
from math import log2
from pathlib import Path

import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from datasets import load_dataset
from torch import Tensor, nn

CONTEXT, BATCH, STEPS = 256, 32, 400


class LanguageModel(nn.Module):
    """Symbols (B, T) to logits (B, T, V) of each next symbol."""

    def __init__(self, symbols: int, *, width: int = 128, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.symbol = nn.Embedding(symbols, width)
        self.place = nn.Embedding(CONTEXT, width)
        block = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.logits = nn.Linear(width, symbols)

    def forward(self, symbols: Tensor) -> Tensor:
        length = symbols.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        x = self.symbol(symbols) + self.place.weight[:length]
        return self.logits(self.blocks(x, mask=mask, is_causal=True))


def crop(codes: Tensor, offsets: Tensor, start: int) -> Tensor:
    """Flat codes (N,) of a row to symbols (CONTEXT + 1,) from cell `start` on; 0 is the start symbol, -1 is padding.

    Each of the K codes of a cell has its own range of symbols, at its offset.
    """
    cells = codes.view(-1, len(offsets))[start:] + offsets
    symbols = F.pad(cells.flatten()[:CONTEXT], (1, 0), value=0)
    return F.pad(symbols, (0, CONTEXT + 1 - len(symbols)), value=-1)


def bits(model: LanguageModel, symbols: Tensor) -> Tensor:
    """Mean cost of symbols (B, CONTEXT + 1) in bits per symbol."""
    symbols = symbols[:, : int((symbols >= 0).sum(1).max())]
    logits = model(symbols[:, :-1].clamp(min=0))
    return F.cross_entropy(logits.flatten(0, 1), symbols[:, 1:].flatten(), ignore_index=-1) / torch.tensor(2.0).log()


def main(folder: Path) -> None:
    """Train on the shards of a folder."""
    paths = sorted(str(path) for path in folder.glob("*.parquet"))
    codebook_sizes = json.loads(pq.read_schema(paths[0]).metadata[b"codeword"])["codebook_sizes"]
    offsets = 1 + torch.tensor([0, *codebook_sizes[:-1]]).cumsum(0)
    rows = load_dataset("parquet", data_files=paths, split="train").with_format("torch")["codes"]
    held_out, seen = list(rows)[::10], [codes for i, codes in enumerate(rows) if i % 10]
    held_out_symbols = torch.stack([crop(codes, offsets, 0) for codes in held_out[:256]])

    torch.manual_seed(0)
    model = LanguageModel(1 + sum(codebook_sizes))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=STEPS)
    uniform = sum(map(log2, codebook_sizes)) / len(codebook_sizes)
    print(f"{len(seen):,} rows; a uniform model costs {uniform:.2f} bits per code")
    for step in range(1, STEPS + 1):
        batch = [seen[i] for i in torch.randint(len(seen), (BATCH,)).tolist()]
        spare = [max(0, (len(codes) - CONTEXT) // len(codebook_sizes)) for codes in batch]
        starts = [int(torch.randint(most + 1, ())) for most in spare]
        symbols = torch.stack([crop(c, offsets, start) for c, start in zip(batch, starts, strict=True)])
        optimiser.zero_grad()
        loss = bits(model.train(), symbols)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            with torch.no_grad():
                print(f"step {step}: {loss:.3f} bits per code, held out {bits(model.eval(), held_out_symbols):.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
