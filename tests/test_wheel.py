"""The wheel holds all that the commands need: installed in a new environment, it compresses with the models inside."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_new_environment_compresses_a_photo_and_a_recording(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert {"codeword/py.typed", "codeword/serve/static/page.js", "codeword/recipes/cifar10.toml"} <= names
    assert not [name for name in names if not name.startswith(("codeword/", "codeword-"))]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "new"], check=True)
    new = tmp_path / "new" / "bin" / "python"
    library = subprocess.run(
        [new, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    subprocess.run([*pip, "install", "--no-deps", "--target", library, wheel], check=True)
    # The dependencies are those of this environment; it does not lend this package, because .pth files count only in
    # the environment's own folder.
    environment = dict(os.environ) | {"PYTHONPATH": sysconfig.get_path("purelib")}
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(tmp_path / "photo.jpg")
    soundfile.write(tmp_path / "voice.wav", generator.uniform(-0.1, 0.1, 8_000), 16_000)
    for words in (
        ["compress", "photo.jpg", "--out", "photo.cw"],
        ["decompress", "photo.cw", "--out", "photo.png"],
        ["compress", "voice.wav", "--out", "voice.cw"],
        ["decompress", "voice.cw", "--out", "decoded.wav"],
    ):
        subprocess.run([new, "-m", "codeword", *words], check=True, cwd=tmp_path, env=environment)
    where = [new, "-c", "import codeword; print(codeword.__file__)"]
    found = subprocess.run(where, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment).stdout
    assert found.startswith(library)
    with Image.open(tmp_path / "photo.png") as picture:
        assert picture.size == (56, 40)
    assert soundfile.info(tmp_path / "decoded.wav").frames == 8_000
