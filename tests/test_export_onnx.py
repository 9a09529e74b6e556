"""ONNX files: what another program makes of them is what PyTorch makes of the model."""

from pathlib import Path

import pytest
import torch
from conftest import SIZES
from tiny.tokenizers import SPEECH, waveform

from codeword.config import (
    CategoricalConfig,
    ConvNeXtTrunkConfig,
    ConvTrunkConfig,
    FiniteScalarQuantizerConfig,
    HoldConfig,
    LogisticMixtureConfig,
    LogMelConfig,
    ResidualQuantizerConfig,
    ResidualTrunkConfig,
    SamplesConfig,
    SpectrogramConfig,
    TokenizerConfig,
    VectorQuantizerConfig,
    WaveNetDecoderConfig,
)
from codeword.errors import ModelError
from codeword.export_onnx import CODES_MAY_DIFFER, DECODER_FILE, ENCODER_FILE, OUTPUT_MAY_DIFFER, decoded, export_onnx
from codeword.tokenizer import Tokenizer

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx: pip install codeword[onnx]")
pytest.importorskip("onnxscript", reason="needs the extra onnx: pip install codeword[onnx]")

# Windows that no other test asks for: what is cached for them is cached by the export itself.
LOUD = SPEECH.model_copy(
    update={
        "frontend": LogMelConfig(n_fft=48, hop=16, mels=8, normalise=True),
        "head": SamplesConfig(),
        "likelihood": SpectrogramConfig(n_fft=48, hop=16, mels=6, iterations=1),
        "quantizer": SPEECH.quantizer.model_copy(update={"cosine": True}),
    }
)
# One small model for every day: an export takes seconds, whatever is exported.
SMALL = TokenizerConfig(
    trunk=ConvTrunkConfig(width=4, residual_width=2, residual_blocks=0, strides=(3,)),
    quantizer=VectorQuantizerConfig(codebook_sizes=(8,), dim=4),
)
PICTURES = TokenizerConfig(
    trunk=ResidualTrunkConfig(widths=(4, 8), encoder_blocks=(0, 1), decoder_blocks=(0, 1), strides=(3,)),
    quantizer=VectorQuantizerConfig(codebook_sizes=(16, 8), dim=8, lookup_dim=4, cosine=True),
    likelihood=LogisticMixtureConfig(components=2),
)
OTHERS = {
    "speech": LOUD,
    "pictures": PICTURES,
    "istft": SPEECH,
    "wavenet": SPEECH.model_copy(
        update={
            "values": 256,
            "head": HoldConfig(hop=16),
            "likelihood": WaveNetDecoderConfig(dilations=(1, 2), width=4, skip_width=4, features=4),
        }
    ),
    "finite-scalar": TokenizerConfig(
        trunk=ConvNeXtTrunkConfig(width=8, hidden=8, encoder_blocks=1, decoder_blocks=1, strides=(2,)),
        quantizer=FiniteScalarQuantizerConfig(channel_levels=(4, 5), dim=4),
        likelihood=CategoricalConfig(),
    ),
    "residual": TokenizerConfig(ndim=1, channels=2, quantizer=ResidualQuantizerConfig(codebook_sizes=(8, 8), dim=8)),
}


def signals(config: TokenizerConfig, batch: int, size: tuple[int, ...] | None = None) -> torch.Tensor:
    """By default of another size than any that the export has seen."""
    if config.sample_rate:
        return waveform(batch, *(size or (777,))) * (config.values - 1) // 65535
    generator = torch.Generator().manual_seed(1)
    return torch.randint(config.values, (batch, config.channels, *(size or SIZES[config.ndim])), generator=generator)


def must_agree(config: TokenizerConfig, folder: Path) -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(config)
    tokenizer(signals(config, 4))  # Codebooks start on the data.
    agreement = export_onnx(tokenizer, folder)
    assert tokenizer.training
    assert agreement.codes <= CODES_MAY_DIFFER
    assert list(agreement.files) == [ENCODER_FILE, DECODER_FILE]
    tokenizer.eval()
    encoder, decoder = (
        onnxruntime.InferenceSession((folder / name).read_bytes()) for name in (ENCODER_FILE, DECODER_FILE)
    )
    for session in (encoder, decoder):
        held = session.get_modelmeta().custom_metadata_map
        assert held["codeword.fingerprint"] == tokenizer.fingerprint
    hop, wrong, total = tokenizer.hop, 0, 0
    for batch, length in enumerate((1, hop - 1, hop, hop + 1, 53, 211, None), start=1):
        x = signals(config, batch, length and (max(1, length),) * config.ndim)
        codes = tokenizer.encode(x)
        found = torch.from_numpy(encoder.run(None, {"x": x.numpy()})[0])
        assert found.shape == codes.shape
        wrong, total = wrong + int((found != codes).sum()), total + codes.numel()
        for count in tokenizer.quantizer.served_codes:
            must_decode(decoder, tokenizer, codes[..., :count].contiguous())
    assert wrong <= CODES_MAY_DIFFER * total


def must_decode(decoder: "onnxruntime.InferenceSession", tokenizer: Tokenizer, codes: torch.Tensor) -> None:
    label = torch.full((len(codes),), tokenizer.classes)
    inputs = {"codes": codes.numpy()} | ({"label": label.numpy()} if tokenizer.classes else {})
    made = torch.from_numpy(decoder.run(None, inputs)[0])
    with torch.no_grad():
        wanted = decoded(tokenizer, codes, label)
    torch.testing.assert_close(made, wanted, atol=OUTPUT_MAY_DIFFER * max(1, float(wanted.abs().max())), rtol=0)


def test_onnx_runtime_codes_and_decodes_signals_of_any_size(tmp_path: Path) -> None:
    must_agree(SMALL, tmp_path / "onnx")


@pytest.mark.slow
@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS)
def test_every_other_part_goes_through_too(config: TokenizerConfig, tmp_path: Path) -> None:
    must_agree(config, tmp_path / "onnx")


@pytest.mark.slow
def test_a_model_whose_numbers_are_none_is_refused_whole(tmp_path: Path) -> None:
    tokenizer = Tokenizer(SMALL)
    with torch.no_grad():
        tokenizer.decoder.layers[-1].bias.fill_(float("nan"))  # type: ignore[union-attr, operator, index]
    with pytest.raises(ModelError, match="do not agree with PyTorch"):
        export_onnx(tokenizer, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []
