"""Model card: architecture, training data, measures, and limits of a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log2
from types import MappingProxyType

from codeword.config import load_recipe, shipped_recipes
from codeword.evaluation.medium import cells_per_second, medium_name, sample_rate
from codeword.evaluation.report.tables import rate_table, reasons, result_rows
from codeword.evaluation.report.templates import render, run_facts
from codeword.evaluation.results import read_evaluation
from codeword.model import Model
from codeword.tokenizer import Tokenizer
from codeword.training.run import Run


@dataclass(frozen=True)
class DataSource:
    """Title and licence of a data set, and its name on the Hugging Face Hub if it is there.

    If `redistributable` is False, only the person who trained the model can choose the licence of the weights.
    """

    title: str
    licence: str
    hub_name: str = ""
    redistributable: bool = True


@dataclass(frozen=True)
class MediumText:
    """Texts of a card for one medium: its name, a batch of signals, a file name, the signal of one cell, and the limit
    of a decoder conditioned on classes.
    """

    name: str
    batch: str
    file: str
    cell: Callable[[Tokenizer], str]
    classes_limit: str = ""


def _image_cell(tokenizer: Tokenizer) -> str:
    return f"Each cell of {' x '.join([str(tokenizer.hop)] * tokenizer.config.ndim)} pixels"


def _audio_cell(tokenizer: Tokenizer) -> str:
    cells = f"{cells_per_second(tokenizer):g} times a second"
    return f"Each {tokenizer.hop} samples at {sample_rate(tokenizer):,} Hz ({cells})"


def _token_cell(tokenizer: Tokenizer) -> str:
    return "Each cell of tokens that another tokenizer made"


_IMAGES = MediumText("images", "images (B, {channels}, H, W)", "photo.jpg", _image_cell)
_MEDIA = {
    "tokens": MediumText("tokens", "grids of tokens (B, {channels}, *S)", "tokens.npy", _token_cell),
    "audio": MediumText(
        "audio",
        "recordings (B, 1, T)",
        "talk.wav",
        _audio_cell,
        "Its decoder can speak in {classes} voices. If they are voices of real people, do not present its output as "
        "theirs.",
    ),
}
"""By the medium's name; all other signals are described as images."""

_SOURCES = {
    "cifar10": DataSource(
        "CIFAR-10, 32 x 32 pictures of ten classes",
        "CIFAR-10 has no formal licence; cite Alex Krizhevsky, Learning Multiple Layers of Features from Tiny Images, "
        "2009.",
        "uoft-cs/cifar10",
    ),
    "librispeech": DataSource(
        "LibriSpeech, English audiobooks read by volunteers",
        "LibriSpeech is CC BY 4.0; cite Panayotov, Chen, Povey and Khudanpur, LibriSpeech: an ASR corpus based on "
        "public domain audio books, 2015.",
        "openslr/librispeech_asr",
    ),
    "mnist": DataSource(
        "MNIST, 28 x 28 pictures of written digits",
        "MNIST is CC BY-SA 3.0; cite LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document "
        "recognition, 1998.",
    ),
    "spoken-digits": DataSource(
        "the Free Spoken Digit Dataset, English digits of six speakers",
        "The Free Spoken Digit Dataset is CC BY-SA 4.0; cite Jackson et al., 2018, doi 10.5281/zenodo.1342401.",
    ),
    "pairs": DataSource("pairs of signals from two other data sets", "The rights are those in both data sets."),
    "synthetic-images": DataSource("scenes drawn by Codeword", "The scenes are drawn by Codeword itself."),
    "synthetic-speech": DataSource("syllables spoken by Codeword", "The syllables are synthesised by Codeword itself."),
    "tokens": DataSource(
        "tokens that another tokenizer made",
        "The rights in the tokens are those in its data and in that tokenizer.",
        redistributable=False,
    ),
    "image-folder": DataSource(
        "a folder of pictures", "The rights in the pictures are their owners'.", redistributable=False
    ),
    "audio-folder": DataSource(
        "a folder of recordings", "The rights in the recordings are their owners'.", redistributable=False
    ),
    "images": DataSource(
        "pictures in archives or tables", "The rights in the pictures are their owners'.", redistributable=False
    ),
    "recordings": DataSource(
        "recordings in archives or tables", "The rights in the recordings are their owners'.", redistributable=False
    ),
}
"""By the kind of data."""


def card(
    run: Run,
    model: Model,
    *,
    weights_bytes: int,
    compact: bool = False,
    programs: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The README.md of a model folder, in Markdown with the front matter that the Hugging Face Hub reads.

    Args:
        run: the run that trained the model; the card has the results of its last evaluation.
        model: the model as it is stored; the card has its fingerprint.
        weights_bytes: total size of its weight files.
        compact: True if its weights are stored in 8 bits; the measures are of the full-precision weights.
        programs: what each ONNX file in the folder takes and gives, by its name.

    Raises:
        RecipeError, ModelError: the run's files cannot be read.
    """
    recipe = run.recipe()
    evaluation = read_evaluation(run) if run.evaluation_path.is_file() else None
    source, config = _SOURCES[recipe.data.kind], model.tokenizer.config
    medium = _MEDIA.get(medium_name(config), _IMAGES)
    return render(
        "card.md.j2",
        autoescape=False,
        recipe=recipe,
        # Paths on the machine that trained the model are private.
        recipe_json=recipe.model_dump_json(
            indent=2, exclude={"data": {"root", "source", "alignments"}, "start": {"model"}}
        ),
        shipped=recipe.name in shipped_recipes() and load_recipe(recipe.name) == recipe,
        source=source,
        medium=medium.name,
        x=medium.batch.format(channels=config.channels),
        values=config.values,
        file=medium.file,
        codes=_code_sentences(model.tokenizer, medium),
        facts=_facts(run, model, weights_bytes),
        compact=compact,
        programs=programs,
        evaluation=evaluation,
        rows=list(result_rows(evaluation, recipe.data)) if evaluation else [],
        rates=rate_table(evaluation) if evaluation else None,
        left_out=reasons(evaluation) if evaluation else [],
        limits=_limits(model.tokenizer, medium, source),
    )


def _facts(run: Run, model: Model, weights_bytes: int) -> list[tuple[str, str]]:
    """Title and value of everything that the model depends on, its size and its fingerprint."""
    recipe = run.recipe()
    millions = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (model.tokenizer, model.prior)]
    return [
        ("Data", _SOURCES[recipe.data.kind].title),
        ("Recipe", recipe.name),
        *run_facts(run),
        ("Parameters", f"{millions[0]:.2f} M in the tokenizer, {millions[1]:.2f} M in the prior"),
        ("Size", f"{weights_bytes / 1e6:.2f} MB"),
        ("Fingerprint", model.fingerprint),
    ]


def _code_sentences(tokenizer: Tokenizer, medium: MediumText) -> str:
    codebook_sizes = tokenizer.quantizer.codebook_sizes
    count = "one code" if len(codebook_sizes) == 1 else f"{len(codebook_sizes)} codes"
    sizes = " x ".join(map(str, codebook_sizes)) if len(set(codebook_sizes)) > 1 else f"{codebook_sizes[0]:,}"
    sentences = f"{medium.cell(tokenizer)} becomes {count} out of {sizes}, {sum(map(log2, codebook_sizes)):g} bits."
    if shorter := tokenizer.quantizer.served_codes[:-1]:
        sentences += f" The first {' or '.join(map(str, shorter))} of them also decode alone, at a lower rate."
    return sentences


def _limits(tokenizer: Tokenizer, medium: MediumText, source: DataSource) -> list[str]:
    """Limits of the model and of its use."""
    limits = [f"It was trained only on {source.title}; the quality of other signals may be lower."]
    if tokenizer.likelihood.phases_are_synthesised:
        limits.append(
            "Phases are not coded but synthesised, so decoded waveforms differ from the original but sound similar."
        )
    if tokenizer.classes and medium.classes_limit:
        limits.append(medium.classes_limit.format(classes=tokenizer.classes))
    return limits
