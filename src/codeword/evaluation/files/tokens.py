"""Files of tokens: ours, and those of compressors of bytes, with all signals in one file."""

from collections.abc import Iterator

import torch

from codeword.codec import CompressOptions, Signal
from codeword.data import Dataset, evaluation_batches
from codeword.evaluation.files.amounts import Amounts, OtherFormat, Progress
from codeword.evaluation.files.codeword_files import CodewordFiles
from codeword.evaluation.measure.tokens import COMPRESSORS, as_tokens
from codeword.evaluation.results import FileFormat
from codeword.model import Model


class TokenFormats:
    """Files of the first `limit` grids of a split; all keep every token."""

    def __init__(self, model: Model, data: Dataset, limit: int | None, progress: Progress) -> None:
        self.values, self.left_out = model.tokenizer.config.values, dict[str, str]()
        self.x = torch.cat([batch.x for batch in evaluation_batches(data, len(data), limit=limit)])
        self.amounts = Amounts([float(self.x[0].numel())] * len(self.x), "bit/token")
        self.signals = [Signal(str(i), tuple(x.shape[1:]), lambda x=x: [x]) for i, x in enumerate(self.x)]  # type: ignore[misc]

    def ours(self, files: CodewordFiles) -> Iterator[FileFormat]:
        """One file of all grids."""
        entry = files.check(files.write("one file", CompressOptions()))
        yield entry.model_copy(update={"kind": "lossless"})

    def others(self) -> Iterator[FileFormat]:
        """One file of each compressor."""
        tokens = as_tokens(self.x, values=self.values)
        for name, (setting, compress) in COMPRESSORS.items():
            form = OtherFormat(name.partition("_")[0], setting, lossless=True, together=True)
            yield self.amounts.entry(form, [len(compress(tokens))], {}).model_copy(update={"name": form.name})
