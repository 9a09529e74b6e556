"""The page of recordings at every rate."""

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import soundfile
from tiny.speech_files import write_noise

import codeword

EXAMPLE = Path(__file__).parents[2] / "examples" / "voices.py"


def test_a_page_plays_each_recording_at_each_rate(tmp_path: Path) -> None:
    names = ["a <b>.wav", "c.flac"]
    for seed, name in enumerate(names):
        write_noise(tmp_path / name, 8000, seed=seed)
    command = [sys.executable, EXAMPLE, *names, "--out", "page.html"]
    subprocess.run(command, check=True, cwd=tmp_path)
    page = (tmp_path / "page.html").read_text()
    assert "<h2>a &lt;b&gt;</h2>" in page
    sounds = re.findall(r'data:audio/mpeg;base64,([^"]+)"', page)
    assert len(sounds) == 2 * 8
    for sound in sounds:
        info = soundfile.info(io.BytesIO(base64.b64decode(sound)))
        assert (info.samplerate, info.format) == (16000, "MP3")
        assert info.frames >= 8000
    file = codeword.Codec(codeword.load("speech")).compress(codeword.read(tmp_path / "c.flac"))
    rates = [int(rate.replace(",", "")) for rate in re.findall(r"<td>([\d,]+) bit/s", page)]
    assert rates[0] == rates[8] == 256_000
    assert max(rates[9:15]) <= 8 * len(file) * 2 < rates[15]
    again = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 2
    assert "exists already" in again.stderr
