"""Exported folders load by `transformers.AutoModel`, and give the codes and signals of the library."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import codec_models
from tiny.codec_models import signal

from codeword.cli.exporting import export_model
from codeword.model import Model

# In a process of its own, because `transformers` keeps the code of folders in a cache.
SCRIPT = """
import sys, torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel
model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True)
x = load_file(sys.argv[2])["x"]
codes = model.encode(x)
save_file({"codes": codes, "y": model(x).contiguous()}, sys.argv[3])
model.save_pretrained(sys.argv[4])
"""


@pytest.mark.parametrize(("ndim", "compact"), [(1, True), (2, False)])
def test_a_folder_is_an_auto_model(ndim: int, compact: bool, tmp_path: Path) -> None:
    model = codec_models.model(2) if ndim == 2 else codec_models.speech()
    model.save_pretrained(tmp_path / "plain")
    export_model(tmp_path / "plain", tmp_path / "model", compact=compact, onnx=False, force=False)
    stored = Model.load(tmp_path / "model")
    x = signal(model, *((320,) if ndim == 1 else (32, 28)))[None]
    save_file({"x": x}, tmp_path / "x.safetensors")
    paths = [tmp_path / name for name in ("model", "x.safetensors", "y.safetensors", "again")]
    environment = dict(os.environ) | {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", SCRIPT, *map(str, paths)], check=True, env=environment, cwd=tmp_path)
    found = load_file(tmp_path / "y.safetensors")
    codes = stored.tokenizer.encode(x)
    assert torch.equal(found["codes"], codes)
    assert torch.equal(found["y"], stored.tokenizer.decode(codes, size=tuple(x.shape[2:])))
    assert Model.load(tmp_path / "again").fingerprint == stored.fingerprint
