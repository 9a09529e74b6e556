"""Convert models and runs of format 1: the same weights under the names of the current format.

A converted model keeps its old fingerprint in `aliases.json`, because existing compressed files name it by that.
"""

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from codeword import store
from codeword.config import Config, PriorModelConfig, TokenizerConfig, UniformPriorConfig, validate
from codeword.errors import UsageError
from codeword.model import ALIASES_FILE, PRIOR, TOKENIZER
from codeword.quantizers import build_quantizer

_KEYS = {"levels": "codebook_sizes", "prefixes": "served_codes", "whole": "all_codes_probability"}
_TENSORS = (
    (re.compile(r"\b(quantizer|blocks\.\d+|layers\.\d+)\.into\b"), r"\1.project_in"),
    (re.compile(r"\b(quantizer|blocks\.\d+|layers\.\d+|stacks\.\d+\.\d+)\.out\b"), r"\1.project_out"),
    (re.compile(r"\bquantizer\.books\b"), "quantizer.codebooks"),
    (re.compile(r"\b(class|label)_vectors\b"), r"\1_embedding"),
)


def upgrade(folder: Path, out: Path) -> list[str]:
    """Convert a run, a model folder, a tokenizer or a prior of format 1 into the new folder `out`; copy other files.

    Returns:
        The converted files, as paths below `out`.

    Raises:
        UsageError: there is nothing of format 1 in `folder`, or `out` exists.
        ModelError: a file cannot be read.
    """
    if out.exists():
        raise UsageError(f"{out} exists already; choose another folder for the converted model.")
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}; check the path.")
    if not any(_is_old(path) for path in folder.rglob(store.CONFIG_FILE)):
        raise UsageError(f"{folder} holds no model of format 1, so there is nothing to convert.")
    shutil.copytree(folder, out)
    converted = []
    for path in sorted(out.rglob("*")):
        if path.name == store.CONFIG_FILE and _is_old(path):
            store.write_json(path, {"format": store.FORMAT, **_renamed_keys(store.read_json(path))})
        elif path.name == store.RECIPE_FILE:
            store.write_json(path, _renamed_keys(store.read_json(path)))
        elif path.suffix == ".safetensors":
            tensors = {_renamed(name): tensor for name, tensor in store.read_stored(path).items()}
            store.write_tensors(path, tensors, metadata=store.read_metadata(path))
        else:
            continue
        converted.append(str(path.relative_to(out)))
    model = folder / TOKENIZER if (folder / TOKENIZER / store.CONFIG_FILE).is_file() else folder
    if "quantizer" in store.read_json(model / store.CONFIG_FILE):
        store.write_json(out / ALIASES_FILE, {"fingerprints": [_old_fingerprint(model, folder / PRIOR)]})
    return converted


def _is_old(path: Path) -> bool:
    return "format" not in store.read_json(path)


def _renamed_keys(tree: Any) -> Any:
    if isinstance(tree, dict):
        renamed = {_KEYS.get(key, key): _renamed_keys(value) for key, value in tree.items()}
        return renamed | ({"kind": "image-folder"} if tree.get("kind") == "folder" else {})
    return [_renamed_keys(value) for value in tree] if isinstance(tree, list) else tree


def _renamed(name: str) -> str:
    for pattern, replacement in _TENSORS:
        name = pattern.sub(replacement, name)
    return name


def _old_fingerprint(tokenizer: Path, prior: Path) -> str:
    """The fingerprint that format 1 gave a tokenizer folder and a prior folder, which need not exist."""
    config = validate(
        TokenizerConfig, _renamed_keys(store.read_json(tokenizer / store.CONFIG_FILE)), place=str(tokenizer)
    )
    own = _part_fingerprint(config, store.read_stored(tokenizer / store.WEIGHTS_FILE))
    if (prior / store.CONFIG_FILE).is_file():
        fitted = validate(PriorModelConfig, _renamed_keys(store.read_json(prior / store.CONFIG_FILE)), place=str(prior))
        theirs = _part_fingerprint(fitted, store.read_stored(prior / store.WEIGHTS_FILE))
    else:
        sizes = build_quantizer(config.quantizer).codebook_sizes
        uniform = PriorModelConfig(architecture=UniformPriorConfig(), grid=(1,) * config.ndim, codebook_sizes=sizes)
        theirs = _part_fingerprint(uniform, {})
    return hashlib.sha256(f"{own} {theirs}".encode()).hexdigest()


def _part_fingerprint(config: Config, stored: dict[str, Tensor]) -> str:
    # Format 1 took the digest of the whole config, defaults included, under its own names.
    text = config.model_dump_json()
    for old, new in _KEYS.items():
        text = text.replace(f'"{new}":', f'"{old}":')
    return store.digest_tensors(text, store.restored(stored))
