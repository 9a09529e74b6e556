"""The model that a training goes on from."""

from typing import Annotated, Literal

from pydantic import Field

from codeword.config.base import Config

Part = Literal["tokenizer", "prior"]
_OF_TOKENIZER = ("encoder", "quantizer", "decoder")


class StartConfig(Config):
    """A trained model, whose weights are the first weights of this training."""

    model: Annotated[str, Field(min_length=1)]
    """A run, a model folder, `owner/name` on the Hugging Face Hub, or `images` or `speech` for a model in the package.

    The run keeps a copy of it, so that a stopped training resumes without it."""
    parts: Annotated[tuple[Part, ...], Field(min_length=1)] = ("tokenizer", "prior")
    """The parts whose weights are taken; the other one starts anew."""
    freeze: tuple[Literal["encoder", "quantizer", "decoder", "tokenizer", "prior"], ...] = ()
    """Parts that stay as they are; `tokenizer` is all of encoder, quantizer, decoder and likelihood."""

    @property
    def frozen(self) -> tuple[str, ...]:
        """The frozen parts of the tokenizer."""
        return tuple(part for part in self.freeze if part in _OF_TOKENIZER)

    def missing(self) -> str:
        """The name of a part that would be frozen with random weights, "" if there is none."""
        taken = {*self.parts, *(_OF_TOKENIZER if "tokenizer" in self.parts else ())}
        return next((part for part in self.freeze if part not in taken), "")
