"""The start of a training from a trained model: which of its weights are taken, and whether they fit."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from codeword.config import PriorModelConfig, Recipe, StartConfig, TokenizerConfig
from codeword.errors import RecipeError
from codeword.model import Model
from codeword.pretrained import load
from codeword.priors import Prior, build_prior
from codeword.store import Pretrained
from codeword.tokenizer import Tokenizer

_MOST_SHOWN = 3
_MEANINGS = ("ndim", "channels", "values", "sample_rate", "frontend", "trunk", "head")
"""Fields of a tokenizer on which the meaning of its weights depends, and not only their shapes."""


def load_start(recipe: Recipe, *, size: tuple[int, ...], classes: tuple[str, ...]) -> Model | None:
    """The model that `recipe` starts from, if it has one and its weights fit.

    Args:
        recipe: the recipe.
        size: size *S of a training signal.
        classes: names of the classes of the data.

    Raises:
        RecipeError: the recipe describes other tensors, or reads signals in another way, than the model.
        ModelError: there is no such model.
    """
    if recipe.start is None:
        return None
    model = load(recipe.start.model)
    with torch.device("meta"):
        tokenizer = Tokenizer(tokenizer_config(recipe, classes))
        prior = build_prior(prior_config(recipe, tokenizer, size=size, classes=classes))
    if "tokenizer" in recipe.start.parts:
        _must_read_alike(recipe.start, tokenizer, model.tokenizer)
    for part, module, given in (("tokenizer", tokenizer, model.tokenizer), ("prior", prior, model.prior)):
        if part in recipe.start.parts and (wrong := list(_misfits(module, given))):
            more = f" and {len(wrong) - _MOST_SHOWN} more" if len(wrong) > _MOST_SHOWN else ""
            raise RecipeError(
                f"The {part} of {recipe.start.model} does not fit the recipe {recipe.name}: "
                f"{'; '.join(wrong[:_MOST_SHOWN])}{more}. Describe the same {part} in the recipe, or set start.parts "
                f"to the part to take."
            )
    return model


def tokenizer_config(recipe: Recipe, classes: tuple[str, ...]) -> TokenizerConfig:
    """The tokenizer of `recipe` for data of these classes."""
    return recipe.tokenizer.model_copy(update={"classes": classes if recipe.tokenizer.conditional else ()})


def prior_config(
    recipe: Recipe, tokenizer: Tokenizer, *, size: tuple[int, ...], classes: tuple[str, ...]
) -> PriorModelConfig:
    """The prior of `recipe` over the codes of `tokenizer`, for signals of `size` *S of these classes."""
    return PriorModelConfig(
        architecture=recipe.prior,
        grid=tokenizer.grid(size),
        codebook_sizes=tokenizer.quantizer.codebook_sizes,
        classes=len(classes),
        served_codes=tokenizer.quantizer.served_codes[:-1],
    )


def take_weights(module: Tokenizer | Prior, given: Tokenizer | Prior) -> None:
    """Copy the weights of `given` into `module`, which `load_start` found to fit.

    A table with a row for each class has another number of rows where the classes are others; then each class begins
    as the null class, which stands for an unknown one.
    """
    theirs = given.state_dict()
    module.load_state_dict(
        {
            name: theirs[name][-1:].expand_as(ours) if _is_by_class(ours, theirs[name], module, given) else theirs[name]
            for name, ours in module.state_dict().items()
        }
    )


def _must_read_alike(start: StartConfig, ours: Tokenizer, theirs: Tokenizer) -> None:
    """Raise RecipeError if the same weights would mean something else in the tokenizer of the recipe."""
    if (sizes := ours.quantizer.codebook_sizes) != (given := theirs.quantizer.codebook_sizes):
        raise RecipeError(
            f"The codebooks of {start.model} have {list(given)} codewords, but the recipe asks for {list(sizes)}; "
            f"codes of another number are a new tokenizer, so set tokenizer.quantizer.codebook_sizes={list(given)}, or "
            f"train without start.model."
        )
    for field in _MEANINGS:
        if getattr(ours.config, field) != (given := getattr(theirs.config, field)):
            raise RecipeError(
                f"tokenizer.{field} of the recipe differs from that of {start.model}, which has {given!r}."
            )


def _misfits(module: Pretrained, given: Pretrained) -> Iterator[str]:
    """A clause for each tensor of `module` that `given` cannot fill."""
    ours, theirs = module.state_dict(), given.state_dict()
    for name, tensor in ours.items():
        if name not in theirs:
            yield f"it has no {name}"
        elif tensor.shape != theirs[name].shape and not _is_by_class(tensor, theirs[name], module, given):
            yield f"its {name} is {list(theirs[name].shape)}, not {list(tensor.shape)}"
    yield from (f"the recipe has no {name}" for name in theirs if name not in ours)


def _is_by_class(ours: Tensor, theirs: Tensor, module: Any, given: Any) -> bool:
    """True for two tables of a row for each class and the null class, of different numbers of classes."""
    tables = ours.ndim == theirs.ndim > 0 and len(ours) != len(theirs) and ours.shape[1:] == theirs.shape[1:]
    return tables and (len(ours), len(theirs)) == (module.classes + 1, given.classes + 1)
