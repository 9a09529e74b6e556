"""Figures that others published, or that other codecs reach, on the data sets of recipes: context for the tables."""

from typing import NamedTuple


class PublishedFigure(NamedTuple):
    """A published figure for one metric on the same data set, as its source gives it."""

    metric: str
    figure: str
    source: str


class PublishedCodec(NamedTuple):
    """Results of a codec: phone error rate against the transcript in percent, PESQ (wide band) and STOI."""

    name: str
    bits_per_second: str
    per: str
    pesq_wb: str
    stoi: str


_KALAL = "Kalal, Karuturi and Budireddy 2024, “VQVAE - Images & Audio” (course report)"

FIGURES = {
    "cifar10": (
        PublishedFigure("total_bpd", "4.67", "VQ-VAE (van den Oord 2017)"),
        PublishedFigure("total_bpd", "4.51", "their continuous VAE"),
        PublishedFigure("total_bpd", "5.87", "PNG"),
        PublishedFigure("total_bpd", "4.61", "WebP, lossless"),
        PublishedFigure("mse_over_variance", "0.056", "Sonnet's example, on train"),
        PublishedFigure("perplexity", "326–330", "Sonnet's example, training batches"),
        PublishedFigure("mse_plus_vq_loss", "0.0173", f"{_KALAL}, train"),
        PublishedFigure("mse_plus_vq_loss", "0.0179", f"{_KALAL}, validation"),
        PublishedFigure("bernoulli_proxy_bits", "0.8092", f"{_KALAL}, as “bpd”"),
    ),
    "librispeech": (
        PublishedFigure("waveform_mse", "0.0053–0.006", f"{_KALAL}, dev-clean: no better than silence"),
        PublishedFigure("silence_mse", "0.0047", "silence on dev-clean"),
        PublishedFigure("phoneme_accuracy", "49.3", "VQ-VAE (van den Oord 2017), 128 codes at 25 Hz"),
        PublishedFigure("phoneme_chance", "7.2", "their most frequent phone"),
        PublishedFigure("bits_per_sample", "4.33", "adaptive LPC16, of 8-bit mu-law"),
        PublishedFigure("bits_per_sample", "8.88", "FLAC, of 16-bit samples"),
    ),
}
"""By the kind of data."""

CODECS = {
    "librispeech": (
        PublishedCodec("the original", "", "7.1", "4.64", "1"),
        PublishedCodec("Codec 2, 700C", "810", "53", "1.15", "0.605"),
        PublishedCodec("Codec 2, 2400", "2,400", "30", "1.23", "0.755"),
        PublishedCodec("Codec 2, 3200", "3,200", "22", "1.25", "0.762"),
        PublishedCodec("Opus", "6,600", "15.5", "2.08", "0.893"),
        PublishedCodec("Opus", "12,400", "8.7", "3.76", "0.967"),
        PublishedCodec("MP3", "16,700", "20.1", "2.45", "0.965"),
        PublishedCodec("log-mels and Griffin-Lim, not quantized", "", "6.9", "3.86", "0.902"),
        PublishedCodec("silence", "0", "100", "1.05", "0.328"),
    )
}
"""By the kind of data: 30 utterances of LibriSpeech's dev-clean."""
