"""Export of a finished run as a model folder with its card."""

from pathlib import Path
from typing import Any

from codeword.errors import UsageError
from codeword.evaluation.report.card import card
from codeword.model import CARD_FILE, Model
from codeword.store import WEIGHTS_FILE, staged, write_atomically
from codeword.training import Run

ONNX_FOLDER = "onnx"


def export_run(run: Path, out: Path, *, compact: bool, onnx: bool, force: bool) -> dict[str, Any]:
    """Write the run's model and its card into the new folder `out`, with `onnx` also as ONNX files in its `onnx/`.

    Returns size, fingerprint, and the differences between ONNX Runtime and PyTorch.

    Raises:
        UsageError: the run is not finished, `out` holds something and `force` is False, or the extra `onnx` is not
            installed.
        ModelError: the run's models cannot be read, or the ONNX files would compute something else.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not force)):
        raise UsageError(f"{out} already holds something; choose another --out, or replace its model with --force.")
    opened = Run.open(run)
    trained = Model(opened.tokenizer(), opened.prior())
    with staged(out) as staging:
        trained.save_pretrained(staging, compact=compact)
        # Loaded again, because the card describes the stored model.
        stored = Model.load(staging)
        weights_bytes = sum(path.stat().st_size for path in staging.rglob(WEIGHTS_FILE))
        text = card(opened, stored, weights_bytes=weights_bytes, compact=compact)
        write_atomically(staging / CARD_FILE, text.encode())
        written = {"out": str(out), "weights_bytes": weights_bytes, "fingerprint": stored.fingerprint}
        if onnx:
            from codeword.export_onnx import export_onnx

            agreement = export_onnx(stored.tokenizer, staging / ONNX_FOLDER)
            written |= {"onnx_codes_differ": agreement.codes, "onnx_output_differs": agreement.output}
    return written
