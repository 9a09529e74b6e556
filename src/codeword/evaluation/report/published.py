"""What others published, or what other codecs reach, on the data sets that recipes name: context for the tables."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A published figure for one metric on the same data set, as its source gives it."""

    metric: str
    figure: str
    source: str


REFERENCES = {
    "cifar10": (
        Reference("total_bpd", "4.67", "VQ-VAE (van den Oord 2017)"),
        Reference("total_bpd", "4.51", "their continuous VAE"),
        Reference("total_bpd", "5.87", "PNG"),
        Reference("total_bpd", "4.61", "WebP, lossless"),
        Reference("mse_over_variance", "0.056", "Sonnet's example, on train"),
        Reference("perplexity", "326–330", "Sonnet's example, training batches"),
        Reference("mse_plus_vq_loss", "0.0173", "student report, train"),
        Reference("mse_plus_vq_loss", "0.0179", "student report, validation"),
        Reference("bernoulli_proxy_bits", "0.8092", "student report, which calls it “bpd”"),
    ),
    "librispeech": (
        Reference("waveform_mse", "0.0053–0.006", "student report, dev-clean: no better than silence"),
        Reference("silence_mse", "0.0047", "silence on dev-clean"),
        Reference("phoneme_accuracy", "49.3", "VQ-VAE (van den Oord 2017), 128 codes at 25 Hz"),
        Reference("phoneme_chance", "7.2", "their most frequent phone"),
        Reference("bits_per_sample", "4.33", "adaptive LPC16, of 8-bit mu-law"),
        Reference("bits_per_sample", "8.88", "FLAC, of 16-bit samples"),
    ),
}
"""By the kind of data."""


@dataclass(frozen=True)
class Codec:
    """What a codec reaches: phone error rate against the transcript in percent, PESQ (wide band) and STOI."""

    name: str
    bits_per_second: str
    per: str
    pesq_wb: str
    stoi: str


CODECS = {
    "librispeech": (
        Codec("the original", "", "7.1", "4.64", "1"),
        Codec("Codec 2, 700C", "810", "53", "1.15", "0.605"),
        Codec("Codec 2, 2400", "2,400", "30", "1.23", "0.755"),
        Codec("Codec 2, 3200", "3,200", "22", "1.25", "0.762"),
        Codec("Opus", "6,600", "15.5", "2.08", "0.893"),
        Codec("Opus", "12,400", "8.7", "3.76", "0.967"),
        Codec("MP3", "16,700", "20.1", "2.45", "0.965"),
        Codec("log-mels and Griffin-Lim, not quantized", "", "6.9", "3.86", "0.902"),
        Codec("silence", "0", "100", "1.05", "0.328"),
    )
}
"""By the kind of data: 30 utterances of LibriSpeech's dev-clean."""
