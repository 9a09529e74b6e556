"""The model card: what a model is, what it was made from, what was measured, what it may not be used for."""

from dataclasses import dataclass
from math import log2

from jinja2 import Environment, PackageLoader, StrictUndefined

from codeword.config import SpectrogramConfig, TokenizerConfig, load_recipe, shipped_recipes
from codeword.evaluation.report.tables import rate_table, reasons, result_rows
from codeword.evaluation.results import read_evaluation
from codeword.model import Model
from codeword.tokenizer import Tokenizer
from codeword.training.run import Run


@dataclass(frozen=True)
class DataSource:
    """A data set as a card names it: in words, under which licence, and on the Hugging Face Hub where it is there.

    Of data that we do not know, only who trained on it can say under which licence the weights are: not `known`.
    """

    title: str
    licence: str
    hub_name: str = ""
    known: bool = True


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
    "synthetic-images": DataSource("scenes drawn by Codeword", "The scenes are drawn by Codeword itself."),
    "synthetic-speech": DataSource("syllables spoken by Codeword", "The syllables are made by Codeword itself."),
    "image-folder": DataSource("a folder of pictures", "The rights in the pictures are their owners'.", known=False),
    "audio-folder": DataSource(
        "a folder of recordings", "The rights in the recordings are their owners'.", known=False
    ),
}
"""By the kind of data."""


def card(run: Run, model: Model, *, weights_bytes: int, compact: bool = False) -> str:
    """The README.md of a model folder, in Markdown with the front matter that the Hugging Face Hub reads.

    Args:
        run: where the model was trained; what its last evaluation found is in the card.
        model: the model as it is stored: its fingerprint is in the card.
        weights_bytes: how large its files of weights are together.
        compact: whether it is stored compactly, which it was not when it was measured.

    Raises:
        RecipeError, ModelError: the run's files cannot be read.
    """
    recipe = run.recipe()
    evaluation = read_evaluation(run) if run.evaluation_path.is_file() else None
    environment = Environment(
        loader=PackageLoader("codeword.evaluation.report", "."),
        autoescape=False,  # Markdown; `in_line` takes the meaning of what comes from outside.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["in_line"] = _in_line
    source, config = _SOURCES[recipe.data.kind], model.tokenizer.config
    return environment.get_template("card.md.j2").render(
        recipe=recipe,
        # Where data lies on the machine that trained is nobody's business.
        recipe_json=recipe.model_dump_json(indent=2, exclude={"data": {"root", "alignments"}}),
        shipped=recipe.name in shipped_recipes() and load_recipe(recipe.name) == recipe,
        source=source,
        medium="audio" if config.sample_rate else "images",
        x="recordings (B, 1, T)" if config.sample_rate else f"images (B, {config.channels}, H, W)",
        values=config.values,
        file="talk.wav" if config.sample_rate else "photo.jpg",
        codes=_codes_in_words(model.tokenizer),
        facts=_facts(run, model, weights_bytes),
        compact=compact,
        evaluation=evaluation,
        rows=list(result_rows(evaluation, recipe.data)) if evaluation else [],
        rates=rate_table(evaluation) if evaluation else None,
        left_out=reasons(evaluation) if evaluation else [],
        limits=_limits(config, source),
    )


def _facts(run: Run, model: Model, weights_bytes: int) -> list[tuple[str, str]]:
    """What the model is and what it depends on, name by name."""
    recipe, environment = run.recipe(), run.environment()
    millions = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (model.tokenizer, model.prior)]
    return [
        ("Data", _SOURCES[recipe.data.kind].title),
        ("Recipe", recipe.name),
        ("Seed", str(recipe.seed)),
        ("Commit", environment["commit"]),
        ("Machine", environment["machine"]),
        ("Versions", f"Codeword {environment['codeword']}, PyTorch {environment['torch']}"),
        ("Parameters", f"{millions[0]:.2f} M in the tokenizer, {millions[1]:.2f} M in the prior"),
        ("Size", f"{weights_bytes / 1e6:.2f} MB"),
        ("Fingerprint", model.fingerprint),
    ]


def _codes_in_words(tokenizer: Tokenizer) -> str:
    config, codebook_sizes, hop = tokenizer.config, tokenizer.quantizer.codebook_sizes, tokenizer.hop
    if config.sample_rate:
        cell = f"Each {hop} samples at {config.sample_rate:,} Hz ({config.sample_rate / hop:g} times a second)"
    else:
        cell = f"Each cell of {' x '.join([str(hop)] * config.ndim)} pixels"
    count = "one code" if len(codebook_sizes) == 1 else f"{len(codebook_sizes)} codes"
    sizes = " x ".join(map(str, codebook_sizes)) if len(set(codebook_sizes)) > 1 else f"{codebook_sizes[0]:,}"
    words = f"{cell} becomes {count} out of {sizes}, {sum(map(log2, codebook_sizes)):g} bits."
    if shorter := tokenizer.quantizer.served_codes[:-1]:
        words += f" The first {' or '.join(map(str, shorter))} of them also decode alone, at a lower rate."
    return words


def _limits(config: TokenizerConfig, source: DataSource) -> list[str]:
    """What one should not expect of the model, and what it is not for."""
    limits = [f"It was trained on nothing but {source.title}; other signals may come back worse."]
    if isinstance(config.likelihood, SpectrogramConfig):
        limits.append(
            "Phases are not coded: Griffin-Lim finds some that fit, so sounds are alike and waveforms are not."
        )
    if config.classes and config.sample_rate:
        limits.append(
            f"Its decoder speaks in {len(config.classes)} voices that it can be told. Where they are real people's, do "
            f"not pass what it says off as theirs."
        )
    return limits


def _in_line(text: object) -> str:
    """Text from outside as it may stand in a table's cell or a sentence: one line, and no markup."""
    line = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#!" else c for c in line)
