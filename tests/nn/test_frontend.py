"""Frontends see no sample beyond their reach, which is what streaming relies on."""

from math import inf

import pytest
import torch

from codeword.config import FrontendConfig, LogMelConfig, SamplesConfig
from codeword.nn.frontend import build_frontend


@pytest.mark.parametrize("config", [SamplesConfig(), LogMelConfig(n_fft=64, hop=16, mels=8)], ids=lambda c: c.kind)
def test_a_frame_depends_on_no_sample_beyond_its_reach(config: FrontendConfig) -> None:
    frontend = build_frontend(config, channels=1, sample_rate=8000)
    x = torch.rand(1, 1, 512, generator=torch.Generator().manual_seed(0)) - 0.5
    changed = x.clone()
    changed[..., 256] += 1
    differs = (frontend(x) != frontend(changed)).any(1)[0].nonzero()
    assert len(differs) > 0
    assert int(differs.min()) * frontend.hop >= 256 - frontend.reach - frontend.hop
    assert int(differs.max()) * frontend.hop <= 256 + frontend.reach


def test_normalising_over_the_recording_reaches_everywhere() -> None:
    config = LogMelConfig(n_fft=64, hop=16, mels=8, normalise=True)
    assert build_frontend(config, channels=1, sample_rate=8000).reach == inf
