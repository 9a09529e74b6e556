"""Export of a finished run, or of another model, as a model folder."""

from pathlib import Path
from typing import Any

from codeword.errors import UsageError
from codeword.model import CARD_FILE, Model
from codeword.pretrained import load
from codeword.store import WEIGHTS_FILE, add_auto_model, staged, write_atomically
from codeword.training import Run

ONNX_FOLDER = "onnx"


def export_model(source: Path, out: Path, *, compact: bool, onnx: bool, force: bool) -> dict[str, Any]:
    """Write a model into the new folder `out`, with `onnx` also as ONNX files in its `onnx/`; a run also gets its card.

    Returns size, fingerprint, the inputs and outputs of the ONNX files, and their differences from PyTorch.

    Raises:
        UsageError: the run is not finished, `out` holds something and `force` is False, or the extra `onnx` is not
            installed.
        ModelError: the models cannot be read, or the ONNX files would compute something else.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, but the output is a folder; choose another --out.")
    if out.exists() and any(out.iterdir()) and not force:
        raise UsageError(f"{out} already holds something; choose another --out, or replace its model with --force.")
    run = Run(source)
    is_run = run.recipe_path.is_file()
    model = Model(run.tokenizer(), run.prior()) if is_run else load(source)
    with staged(out) as staging:
        model.save_pretrained(staging, compact=compact)
        add_auto_model(staging)
        # Loaded again, because the card describes the stored model.
        stored = Model.load(staging)
        weights_bytes = sum(path.stat().st_size for path in staging.rglob(WEIGHTS_FILE))
        written = {"out": str(out), "weights_bytes": weights_bytes, "fingerprint": stored.fingerprint}
        programs: dict[str, str] = {}
        if onnx:
            from codeword.export_onnx import export_onnx

            agreement = export_onnx(stored.tokenizer, staging / ONNX_FOLDER)
            programs = {f"{ONNX_FOLDER}/{name}": text for name, text in agreement.files.items()}
            written |= programs | {"onnx_codes_differ": agreement.codes, "onnx_output_differs": agreement.output}
        if is_run:
            from codeword.evaluation.report.card import card

            text = card(run, stored, weights_bytes=weights_bytes, compact=compact, programs=programs)
            write_atomically(staging / CARD_FILE, text.encode())
    return written
