"""Models for the library `transformers`, through `AutoModel` (extra `[transformers]`).

A model folder that `codeword export` writes names these classes, so that this works for both media:

    model = AutoModel.from_pretrained("my-model", trust_remote_code=True)
    codes = model.encode(x)
"""

from os import PathLike
from typing import Any, Self, cast

from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from codeword.model import Model


class CodewordConfig(PreTrainedConfig):  # type: ignore[misc]
    """The `config.json` of a tokenizer, as `transformers` reads it."""

    model_type = "codeword"


class CodewordModel(PreTrainedModel):  # type: ignore[misc]
    """A tokenizer and its prior as a model of `transformers`; `encode` and `decode` are those of the tokenizer."""

    config_class = CodewordConfig
    main_input_name = "x"

    def __init__(self, config: CodewordConfig, model: Model) -> None:
        super().__init__(config)
        self.tokenizer, self.prior = model.tokenizer, model.prior

    @classmethod
    def from_pretrained(cls, place: str | PathLike[str], *_: Any, config: Any = None, **__: Any) -> Self:
        """Load from a model folder, or from `owner/name` on the Hugging Face Hub, in evaluation mode.

        Raises:
            ModelError: there is no model there, or it cannot be read.
        """
        return cast(Self, cls(config or CodewordConfig.from_pretrained(place), Model.load(str(place))).eval())

    def save_pretrained(self, folder: str | PathLike[str], **_: Any) -> None:
        """Write the model folder, as `Model.save_pretrained`."""
        Model(self.tokenizer, self.prior).save_pretrained(str(folder))

    def encode(self, x: Tensor) -> Tensor:
        """Signals (B, C, *S) of integers to codes (B, *G, K) int64. Raises UsageError."""
        return self.tokenizer.encode(x)

    def decode(self, codes: Tensor, label: Tensor | None = None, *, size: tuple[int, ...] | None = None) -> Tensor:
        """Codes (B, *G, K) to signals (B, C, *S) of `size` *S, given classes (B,). Raises UsageError."""
        return self.tokenizer.decode(codes, label, size=size)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Signals (B, C, *S) to their reconstructions. Raises UsageError."""
        return self.decode(self.encode(x), label, size=tuple(x.shape[2:]))
