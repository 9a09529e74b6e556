"""Descriptions of runs, model folders, compressed files, pictures and recordings, for `codeword info`."""

from pathlib import Path
from typing import Any

from codeword import media
from codeword.codec.format import MAGIC, PAIR_MAGIC
from codeword.config import PriorModelConfig, TokenizerConfig
from codeword.errors import ModelError, UsageError
from codeword.files import describe_compressed
from codeword.pretrained import folder_of, pretrained_folder
from codeword.store import CONFIG_FILE, read_config
from codeword.training import Run


def describe(place: Path) -> dict[str, Any]:
    """Contents of a run, a model or a file, in plain values. Raises CodewordError."""
    place = folder_of(place)
    if not place.exists():
        raise UsageError(f"There is no file or folder {place}; check the path.")
    if place.is_file():
        return _describe_file(place)
    if (place / CONFIG_FILE).is_file():
        for part, config_class in (("tokenizer", TokenizerConfig), ("prior", PriorModelConfig)):
            try:
                config = read_config(place, config_class)
            except ModelError:
                continue
            return {"holds": part, **config.model_dump(mode="json")}
        raise ModelError(f"{place / CONFIG_FILE} describes neither a tokenizer nor a prior of Codeword.")
    run = Run(place)
    if not run.recipe_path.is_file():
        raise UsageError(f"{place} holds neither a run nor a model; give the folder of one, or a compressed file.")
    recipe = run.recipe()
    parts = {"tokenizer": run.tokenizer_path, "prior": run.prior_path}
    found: dict[str, Any] = {"holds": "run", "recipe": recipe.name, "seed": recipe.seed, **run.environment()}
    for part, path in parts.items():
        found[part] = "trained" if run.holds(path) else "not trained yet"
        if records := list(run.records(part, "valid")):
            found[f"{part}_validation"] = {k: v for k, v in records[-1].items() if k not in ("part", "split")}
    found["evaluated"] = run.evaluation_path.is_file()
    return found


def _describe_file(path: Path) -> dict[str, Any]:
    """A compressed file, or a picture or recording with notes on reading it for the model in the package.

    Raises DataError.
    """
    with path.open("rb") as file:
        # Only another file needs the module of the media, and so torch.
        medium = None if file.read(len(MAGIC)) in (MAGIC, PAIR_MAGIC) else media.medium_of_suffix(path)
    if medium is None:
        return describe_compressed(path)
    found: dict[str, Any] = {"holds": medium.singular, "bytes": path.stat().st_size, **medium.describe(path)}
    if medium.pretrained:
        config = read_config(pretrained_folder(medium.pretrained), TokenizerConfig)
        found["notes"] = list[str]()
        # The whole file is read, because damage and clipping are found only then.
        for _ in medium.read(path, config, found["notes"]):
            pass
    return found
