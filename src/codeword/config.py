"""What a recipe may say: frozen models that check themselves, tagged by `kind` where there is a choice.

A recipe is TOML (PyYAML would read `1e-4` as a string and `no` as False). Every part of Codeword is
built from one of these models and nothing else, and the same models are what `config.json` holds.
"""

import json
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from codeword.errors import RecipeError

T = TypeVar("T")

# Upper bounds stop a hostile or mistyped config before anything is built from it.
Width = Annotated[int, Field(ge=1, le=8192)]
Depth = Annotated[int, Field(ge=0, le=256)]
Alphabet = Annotated[int, Field(ge=2, le=1 << 20)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Stride = Annotated[int, Field(ge=1, le=16)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class Config(BaseModel):
    """Frozen, and a field that is not known is an error rather than a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# Data --------------------------------------------------------------------------------------------


class SyntheticImagesConfig(Config):
    """Drawn scenes of ten classes; needs no files."""

    kind: Literal["synthetic-images"] = "synthetic-images"
    size: Annotated[int, Field(ge=8, le=256)] = 32
    train: PositiveInt = 8192
    valid: PositiveInt = 512
    test: PositiveInt = 512


class Cifar10Config(Config):
    """CIFAR-10 in its official binary or python layout, 45,000 / 5,000 / 10,000 images."""

    kind: Literal["cifar10"] = "cifar10"
    root: Path | None = None
    flip: bool = True


class FolderConfig(Config):
    """A folder of image files; subfolders, where there are any, are the classes."""

    kind: Literal["folder"] = "folder"
    root: Path
    size: Annotated[int, Field(ge=8, le=4096)] = 32
    crop: Literal["centre", "random"] = "centre"
    flip: bool = False
    valid_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1


DataConfig = Annotated[SyntheticImagesConfig | Cifar10Config | FolderConfig, Field(discriminator="kind")]


# Tokenizer ---------------------------------------------------------------------------------------


class ConvTrunkConfig(Config):
    """The report's encoder and decoder: strided convs, a stack of ReLU-3x3-ReLU-1x1, transposed convs."""

    kind: Literal["conv"] = "conv"
    width: Annotated[int, Field(ge=2, le=8192)] = 128
    residual_width: Width = 32
    residual_blocks: Depth = 2
    strides: Annotated[tuple[Stride, ...], Field(min_length=1, max_length=8)] = (2, 2)


class ResidualTrunkConfig(Config):
    """Pre-activation residual blocks at every resolution, so that the decoder also works near the pixels."""

    kind: Literal["residual"] = "residual"
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=9)] = (64, 128, 128)
    encoder_blocks: Annotated[tuple[Depth, ...], Field(min_length=1, max_length=9)] = (1, 2, 2)
    decoder_blocks: Annotated[tuple[Depth, ...], Field(min_length=1, max_length=9)] = (2, 2, 2)
    strides: Annotated[tuple[Stride, ...], Field(max_length=8)] = (2, 2)

    @model_validator(mode="after")
    def _one_width_a_resolution(self) -> Self:
        resolutions = len(self.strides) + 1
        for name in ("widths", "encoder_blocks", "decoder_blocks"):
            if len(getattr(self, name)) != resolutions:
                raise ValueError(
                    f"{name} needs {resolutions} values, one for each resolution "
                    f"(one more than strides), not {len(getattr(self, name))}"
                )
        return self


TrunkConfig = Annotated[ConvTrunkConfig | ResidualTrunkConfig, Field(discriminator="kind")]


class VectorQuantizerConfig(Config):
    """Nearest codeword (van den Oord et al. 2017); several `levels` make product codes."""

    kind: Literal["vector"] = "vector"
    levels: Annotated[tuple[Alphabet, ...], Field(min_length=1, max_length=64)] = (512,)
    dim: Width = 64
    lookup_dim: Width | None = None
    """Size of the space searched, over all codes together; None searches the `dim` vectors themselves."""
    update: Literal["ema", "gradient"] = "ema"
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    beta: NonNegative = 0.25
    cosine: bool = False
    init: Literal["kmeans", "data", "uniform"] = "kmeans"
    revive_below: Fraction = 0.05
    """A codeword used less than this fraction of uniform usage is moved onto the data; 0 never does."""

    @model_validator(mode="after")
    def _dims_divide(self) -> Self:
        searched = self.lookup_dim or self.dim
        if searched % len(self.levels):
            raise ValueError(
                f"the searched vector of {searched} numbers must divide into {len(self.levels)} equal "
                f"parts, one for each of levels"
            )
        return self


class FiniteScalarQuantizerConfig(Config):
    """FSQ (Mentzer et al. 2023): each channel is rounded to its own few levels; one code per cell."""

    kind: Literal["finite-scalar"] = "finite-scalar"
    channel_levels: Annotated[
        tuple[Annotated[int, Field(ge=2, le=1024)], ...], Field(min_length=1, max_length=16)
    ] = (
        8,
        8,
        8,
    )
    dim: Width = 64

    @model_validator(mode="after")
    def _product_is_an_alphabet(self) -> Self:
        size = 1
        for levels in self.channel_levels:
            size *= levels
        if size > 1 << 20:
            raise ValueError(f"channel_levels multiply to {size} codewords; at most {1 << 20} are allowed")
        return self


QuantizerConfig = Annotated[VectorQuantizerConfig | FiniteScalarQuantizerConfig, Field(discriminator="kind")]


class GaussianConfig(Config):
    """Trained by squared error; its scale is fitted, and integrated over each integer, for honest bits."""

    kind: Literal["gaussian"] = "gaussian"


class CategoricalConfig(Config):
    """One softmax over all values for each channel, as in the VQ-VAE paper."""

    kind: Literal["categorical"] = "categorical"


class LogisticMixtureConfig(Config):
    """Discretised logistic mixture with channel coupling (Salimans et al. 2017)."""

    kind: Literal["logistic-mixture"] = "logistic-mixture"
    components: Annotated[int, Field(ge=1, le=64)] = 5


LikelihoodConfig = Annotated[
    GaussianConfig | CategoricalConfig | LogisticMixtureConfig, Field(discriminator="kind")
]


class TokenizerConfig(Config):
    """Encoder, quantizer, decoder and likelihood over integer signals in [0, values)."""

    ndim: Literal[1, 2] = 2
    channels: Annotated[int, Field(ge=1, le=64)] = 3
    values: Annotated[int, Field(ge=2, le=65536)] = 256
    trunk: TrunkConfig = ConvTrunkConfig()
    quantizer: QuantizerConfig = VectorQuantizerConfig()
    likelihood: LikelihoodConfig = GaussianConfig()


# Priors ------------------------------------------------------------------------------------------


class UniformPriorConfig(Config):
    """Every code equally likely."""

    kind: Literal["uniform"] = "uniform"


class PixelCNNConfig(Config):
    """Gated PixelCNN (van den Oord et al. 2016): one stack for each axis, no blind spot."""

    kind: Literal["pixelcnn"] = "pixelcnn"
    layers: Annotated[int, Field(ge=1, le=256)] = 12
    width: Width = 64
    kernel: Annotated[int, Field(ge=3, le=31)] = 3
    head_width: Width = 256
    conditional: bool = True
    """Learn p(codes | label) beside p(codes), where the data has classes."""
    label_dropout: Annotated[float, Field(gt=0, le=1)] = 0.5
    """How often a training example hides its label; above 0, for that alone teaches p(codes)."""

    @model_validator(mode="after")
    def _odd_kernel(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, so that it has a centre; try {self.kernel + 1}")
        return self


PriorConfig = Annotated[UniformPriorConfig | PixelCNNConfig, Field(discriminator="kind")]


class FittedPriorConfig(Config):
    """A prior together with the codes it was built for: what a prior's `config.json` holds."""

    architecture: PriorConfig
    grid: Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...], Field(min_length=1, max_length=2)]
    levels: Annotated[tuple[Alphabet, ...], Field(min_length=1, max_length=64)]
    classes: Annotated[int, Field(ge=0, le=1 << 20)] = 0


# Training and evaluation -------------------------------------------------------------------------


class TrainingConfig(Config):
    """How one part (tokenizer or prior) is trained."""

    steps: PositiveInt = 10_000
    batch_size: PositiveInt = 128
    learning_rate: Positive = 1e-3
    final_learning_rate: NonNegative = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    weight_decay: NonNegative = 0.0
    betas: tuple[Fraction, Fraction] = (0.9, 0.99)
    clip_norm: NonNegative = 1.0
    """Largest gradient norm; 0 does not clip."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the averaged weights that are evaluated and saved; 0 keeps no average."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    compile: bool = False
    evaluate_every: PositiveInt = 1000
    checkpoint_every: PositiveInt = 500
    valid_images: PositiveInt = 2000
    """How many validation signals the regular evaluation reads."""


class EvaluationConfig(Config):
    """What the final evaluation reads."""

    batch_size: PositiveInt = 250
    limit: PositiveInt | None = None
    """At most this many signals of the split; None reads all."""


class Recipe(Config):
    """One experiment, whole: data, tokenizer, prior, training of both, evaluation."""

    name: str
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    data: DataConfig
    tokenizer: TokenizerConfig = TokenizerConfig()
    prior: PriorConfig = PixelCNNConfig()
    tokenizer_training: TrainingConfig = TrainingConfig()
    prior_training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


# Reading -----------------------------------------------------------------------------------------

_SHIPPED = resources.files("codeword") / "recipes"


def shipped_recipes() -> list[str]:
    """Names of the recipes inside the package, sorted."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in _SHIPPED.iterdir() if entry.name.endswith(".toml")
    )


def load_recipe(name_or_path: str | Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or a TOML file by path, with `a.b=value` overrides.

    Raises:
        RecipeError: no such recipe, not TOML, or a field that is unknown, of the wrong type or out of range.
    """
    text, place = _recipe_text(name_or_path)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{place} is not valid TOML: {error}.") from error
    for override in overrides:
        _apply(tree, override)
    tree.setdefault("name", Path(name_or_path).stem)
    return validate(Recipe, tree, place=place)


def validate(model: type[T], tree: Any, *, place: str) -> T:
    """Build `model` from plain data, or raise one sentence for each thing that is wrong.

    Raises:
        RecipeError: names each field by its dotted path, the value found and what would be right.
    """
    try:
        return TypeAdapter(model).validate_python(tree)
    except ValidationError as error:
        raise RecipeError(f"{place}: {'; '.join(_explain(error))}.") from error


def validate_json(model: type[T], text: str | bytes, *, place: str) -> T:
    """`validate`, from JSON text. Raises RecipeError."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{place} is not valid JSON: {error}.") from error
    return validate(model, tree, place=place)


def _recipe_text(name_or_path: str | Path) -> tuple[str, str]:
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        try:
            return path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"Cannot read the recipe {path}: {error}.") from error
    shipped = _SHIPPED / f"{name_or_path}.toml"
    if str(name_or_path) not in shipped_recipes():
        raise RecipeError(
            f"There is no recipe {str(name_or_path)!r}; shipped are {', '.join(shipped_recipes())}. "
            f"Name one of these or give the path of a .toml file."
        )
    return shipped.read_text(encoding="utf-8"), f"recipe {name_or_path}"


def _apply(tree: dict[str, Any], override: str) -> None:
    """Set `a.b=value` in place; the value is TOML, or, where it is not, a string as it stands."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(
            f"--set {override!r} is not of the form field.name=value, for example tokenizer.quantizer.levels=[1024]."
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for key in keys[:-1]:
        branch = tree.setdefault(key, {})
        if not isinstance(branch, dict):
            raise RecipeError(f"--set {override!r}: {key} holds {branch!r}, which has no fields of its own.")
        tree = branch
    tree[keys[-1]] = value


def _explain(error: ValidationError) -> list[str]:
    """One clause for each thing that is wrong: its dotted path, what is wrong, what was found."""
    details = error.errors()
    wrong_inside = {detail["loc"][: len(detail["loc"]) - 1] for detail in details}
    # A list whose element is wrong is also said to be too short; the element is the news.
    return [_clause(d) for d in details if d["type"] != "too_short" or d["loc"] not in wrong_inside]


def _clause(detail: Any) -> str:
    # pydantic puts the tag of a choice into the path, where no user wrote it.
    place = ".".join(str(part) for part in detail["loc"] if part not in _KINDS) or "the whole"
    if detail["type"] == "extra_forbidden":
        return f"{place} is not a known field"
    if detail["type"] == "missing":
        return f"{place} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    found = detail.get("input")
    shown = "" if isinstance(found, dict | Config) else f" (found {found!r:.80})"
    return f"{place}: {message}{shown}"


_KINDS = {c.model_fields["kind"].default for c in Config.__subclasses__() if "kind" in c.model_fields}
