"""A speech run measured whole: every rate, what is known of phones and voices, and what had to be left out."""

import json
from math import log
from pathlib import Path

import pytest
import torch
from torch import Tensor

from codeword.codec import Codec, CompressOptions, Search, search_codes
from codeword.codec.search import price_of
from codeword.config import load_recipe
from codeword.data import open_dataset
from codeword.data.recordings import Recordings
from codeword.errors import UsageError
from codeword.evaluation import Evaluation, evaluate
from codeword.evaluation.measure import judges
from codeword.evaluation.measure.comparison import SCALES
from codeword.evaluation.results import read_evaluation
from codeword.model import Model
from codeword.training import Run, train

TINY = [
    "data.train=12",
    "data.valid=3",
    "data.test=4",
    "tokenizer.trunk.width=16",
    "tokenizer.trunk.hidden=16",
    "tokenizer.quantizer.codebook_sizes=[8,8,8]",
    "tokenizer.quantizer.dim=16",
    "tokenizer.quantizer.lookup_dim=8",
    "tokenizer.likelihood.iterations=2",
    "prior.dilations=[1,2]",
    "prior.width=8",
    "prior.skip_width=8",
    "prior.head_width=8",
    *(
        f"{part}_training.{setting}"
        for part in ("encoder", "tokenizer", "prior")
        for setting in ("steps=8", "batch_size=4", "evaluate_every=8", "valid_signals=4", "warmup_steps=2")
    ),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(load_recipe("demo-speech", overrides=TINY), tmp_path_factory.mktemp("speech") / "run")


@pytest.fixture(scope="module")
def evaluation(run: Run) -> Evaluation:
    return evaluate(run)


def test_the_trained_tokenizer_knows_its_speakers(run: Run) -> None:
    assert len(run.tokenizer().config.classes) == 4
    assert run.prior().grid == (50,)


def test_every_rate_is_measured_and_costs_more_than_the_one_before(evaluation: Evaluation) -> None:
    assert [rate.codes for rate in evaluation.rates] == [1, 3]
    low, high = (rate.metrics for rate in evaluation.rates)
    for figure in ("bits_per_second_nominal", "bits_per_second_order0"):
        assert low[figure].value < high[figure].value
    # 50 cells a second of 3 bits a code; the last cell of a recording may be a part of one.
    assert low["bits_per_second_nominal"].value == pytest.approx(150, rel=0.02)
    assert high["bits_per_second_nominal"].value == pytest.approx(450, rel=0.02)
    assert high["bits_per_second_order0"].value <= high["bits_per_second_nominal"].value + 1e-6
    assert evaluation.metrics["per" if "per" in high else "log_mel_distance"] in high.values()


def test_each_rate_has_the_bits_of_real_files_and_those_under_the_prior(run: Run, evaluation: Evaluation) -> None:
    data, codec = open_dataset(run.recipe().data, "test"), Codec(Model.load(run.folder))
    assert isinstance(data, Recordings)
    seconds = sum(r.samples for r in data.recordings) / data.sample_rate
    for rate in evaluation.rates:
        options = CompressOptions(codes=rate.codes)
        sizes = [len(codec.compress(data.read(i), options)) for i in range(len(data.recordings))]
        assert rate.metrics["bits_per_second_real"].value == pytest.approx(8 * sum(sizes) / seconds)
        with torch.no_grad():
            nats = [-float(run.prior().log_prob(codes_of(run, data, i)[..., : rate.codes])) for i in range(len(sizes))]
        assert rate.metrics["bits_per_second_prior"].value == pytest.approx(sum(nats) / log(2) / seconds, rel=1e-4)


def test_with_a_search_each_rate_has_codes_of_its_own(run: Run, evaluation: Evaluation) -> None:
    search, model = Search(effort=3, rate_weight=0.5), Model.load(run.folder)
    found = evaluate(run, search=search, quick=True, limit=2)
    data, codec = open_dataset(run.recipe().data, "test"), Codec(model)
    assert isinstance(data, Recordings)
    seconds = sum(r.samples for r in data.recordings[:2]) / data.sample_rate
    for rate in found.rates:
        k, real, plain, nats, nominal = rate.codes, 0, 0, 0.0, 0
        for i in range(2):
            x = data.read(i)
            codes = search_codes(model.tokenizer, x[None], search, codes=k, price=price_of(model, k))
            real += 8 * len(codec.compress(x, CompressOptions(codes=k, search=search)))
            plain += 8 * len(codec.compress(x, CompressOptions(codes=k)))
            nominal += 3 * codes.numel()
            with torch.no_grad():
                nats -= float(model.prior.log_prob(codes))
        assert rate.metrics["bits_per_second_real"].value == pytest.approx(real / seconds)
        assert real != plain  # The file has the codes of the search.
        assert rate.metrics["bits_per_second_nominal"].value == pytest.approx(nominal / seconds)
        assert rate.metrics["bits_per_second_prior"].value == pytest.approx(nats / log(2) / seconds, rel=1e-4)
    assert found.search == search
    assert "phoneme_accuracy" not in found.metrics
    assert read_evaluation(run) == evaluation


def test_one_rate_alone_has_the_numbers_of_that_rate(run: Run, evaluation: Evaluation) -> None:
    whole, alone = evaluate(run, limit=2), evaluate(run, codes=1, limit=2)
    assert alone.rates == ()
    (first, *_) = whole.rates
    assert first.codes == 1
    # The probe of speakers reads all codes that are measured.
    of_first = {name: value for name, value in first.metrics.items() if name != "speaker_probe_accuracy"}
    assert of_first.items() <= alone.metrics.items()
    assert run.path_of_evaluation("test", 2, codes=1).name == "evaluation-test-limit-2-codes-1.json"
    with pytest.raises(UsageError, match="serves 1 or 3 codes a cell, not 2; choose"):
        evaluate(run, codes=2)


def test_codes_that_are_tried_by_decoding_are_those_that_are_decoded(run: Run) -> None:
    plain, refined = (evaluate(run, search=Search(refine=n), quick=True, limit=2) for n in (0, 1))
    for before, after in zip(plain.rates, refined.rates, strict=True):
        assert after.metrics["log_mel_distance"].value < before.metrics["log_mel_distance"].value
        nominal = "bits_per_second_nominal"
        assert after.metrics[nominal] == before.metrics[nominal]
    judged = evaluate(run, search=Search(effort=2), limit=2).left_out
    assert "codes; measure without effort" in judged["phoneme_accuracy"]


def codes_of(run: Run, data: Recordings, i: int) -> Tensor:
    return run.tokenizer().encode(data.read(i)[None])


def test_each_rate_has_every_metric_of_a_comparison_that_is_not_left_out(evaluation: Evaluation) -> None:
    for rate in evaluation.rates:
        assert SCALES.keys() - rate.metrics.keys() <= evaluation.left_out.keys()
    for rate in evaluation.baselines:
        assert SCALES.keys() - rate.metrics.keys() <= evaluation.left_out.keys() | {"dnsmos_overall", "dnsmos_p808"}
    assert "no transcripts" in evaluation.left_out["per_transcript"] or "pip" in evaluation.left_out["per_transcript"]


def test_figures_that_must_be_there_are_there(evaluation: Evaluation) -> None:
    for name in (
        "log_mel_distance", "stft_distance", "si_sdr_db", "energy_ratio", "waveform_mse", "silence_mse",
        "bits_per_second_prior", "usage", "perplexity", "bits_per_sample", "phoneme_accuracy",
        "phoneme_accuracy_with_silence", "phoneme_chance", "phoneme_accuracy_kmeans",
        "phoneme_accuracy_kmeans_cepstra", "phoneme_nmi",
    ):  # fmt: skip
        found = evaluation.metrics[name]
        assert found.low <= found.value <= found.high, name


def test_a_judge_that_is_missing_is_named_with_the_way_to_get_it(evaluation: Evaluation) -> None:
    missing = judges.missing_judges()
    for name in ("per", "stoi", "pesq_wb", "pesq_nb", "speaker_cosine", "dnsmos_overall", "dnsmos_p808"):
        assert (name in evaluation.metrics) == (name not in missing)
    for name in missing:
        assert evaluation.left_out[name] == missing[name]
    assert all("pip install" in sentence for sentence in missing.values())


def test_the_result_is_in_the_run_as_json(run: Run, evaluation: Evaluation) -> None:
    stored = json.loads(run.evaluation_path.read_text())
    assert stored["rates"][0]["codes"] == 1
    assert stored["metrics"]["silence_mse"]["value"] == evaluation.metrics["silence_mse"].value


@pytest.fixture(scope="module")
def real_run(librispeech_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny model of a few real utterances of two speakers, to be measured on others of theirs."""

    def utterances(speaker: str, chapter: str, numbers: range) -> str:
        names = (f"train-clean-100/{speaker}/{chapter}/{speaker}-{chapter}-{n:04d}" for n in numbers)
        return ",".join(f'"{name}"' for name in names)

    overrides = [
        *(o for o in TINY if not o.startswith(("data.", "tokenizer.quantizer"))),
        f"data.root={librispeech_root}",
        f"data.train=[{utterances('27', '124992', range(4))},{utterances('26', '496', range(4))}]",
        f"data.valid=[{utterances('27', '124992', range(4, 5))}]",
        f"data.test=[{utterances('27', '124992', range(5, 7))},{utterances('26', '496', range(5, 6))}]",
        "tokenizer.quantizer.codebook_sizes=[16]",
        "tokenizer.quantizer.dim=16",
    ]
    return train(load_recipe("librispeech-phones", overrides=overrides), tmp_path_factory.mktemp("real") / "run")


@pytest.fixture(scope="module")
def real(real_run: Run) -> Evaluation:
    return evaluate(real_run)


def test_real_speech_is_measured_with_phones_and_conversions(real: Evaluation) -> None:
    missing = judges.missing_judges()
    assert real.signals == 3
    assert 0 < real.metrics["phoneme_chance"].value <= real.metrics["phoneme_accuracy"].value < 100
    assert real.metrics["silence_mse"].value > 0
    for name, figures in {
        "per": ("per",),
        "per_transcript": ("per_transcript", "per_transcript_original"),
        "stoi": ("stoi",),
        "dnsmos_overall": ("dnsmos_overall", "dnsmos_overall_original"),
        "conversion_success": ("conversion_success", "conversion_per", "conversion_margin"),
    }.items():
        assert all((figure in real.metrics) == (name not in missing) for figure in figures)


def test_a_search_that_finds_the_same_codes_gives_the_same_numbers_without_probes(
    real_run: Run, real: Evaluation
) -> None:
    # Each cell has one code, of which there are no sums to compare.
    found = evaluate(real_run, search=Search(effort=2))
    assert found.metrics.items() <= real.metrics.items()
    probes = {name for name in real.metrics if name.startswith("phoneme")} | {"speaker_probe_accuracy"}
    assert real.metrics.keys() - found.metrics.keys() == probes & real.metrics.keys()
    assert ("speaker_probe_accuracy" in found.left_out) == ("conversion_success" in found.metrics)


def test_a_decoder_that_draws_sample_by_sample_is_measured_by_its_bits(tmp_path: Path) -> None:
    wavenet = '{kind="wavenet", dilations=[1,2], width=8, skip_width=8, features=8}'
    overrides = [
        *(o for o in TINY if "likelihood" not in o),
        "data.values=256",
        "tokenizer.values=256",
        'tokenizer.head={kind="hold", hop=160}',
        f"tokenizer.likelihood={wavenet}",
        "evaluation.limit=1",
    ]
    result = evaluate(train(load_recipe("demo-speech", overrides=overrides), tmp_path / "run"))
    assert 0 < result.metrics["bits_per_sample"].value < 9
    assert result.metrics["bits_per_sample"].value > result.metrics["signal_bits_per_sample"].value
    assert "sample after another" in result.left_out["log_mel_distance"]
    assert "log_mel_distance" not in result.metrics
