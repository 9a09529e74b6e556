"""The network of phones: its labels, the distance in its features, and its place in a recipe."""

from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.distances import assert_trains_the_first
from tiny.recipes import RATE, SPEECH, SPLITS, TOKENIZER, TRAINING

from codeword.config import PhonesConfig, Recipe, SyntheticSpeechConfig
from codeword.data import open_dataset
from codeword.data.phones.alignment import phone_at
from codeword.data.recordings import Recordings
from codeword.errors import DataError
from codeword.nn.phones import UNKNOWN, PhoneNetwork
from codeword.training import Run, train
from codeword.training.phones import PhoneCrops, build_phone_network

PERCEPTION = {"kind": "phones", "width": 8, "hidden": 16, "blocks": 2, "n_fft": 320, "hop": 80, "mels": 20}


@cache
def recordings(**changes: float) -> Recordings:
    data = open_dataset(SyntheticSpeechConfig(**{**SPEECH, **SPLITS, **changes}), "train")  # type: ignore[arg-type]
    assert isinstance(data, Recordings)
    return data


@pytest.fixture(scope="module")
def network() -> PhoneNetwork:
    return build_phone_network(PhonesConfig(**PERCEPTION), recordings())  # type: ignore[arg-type]


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "data": SPEECH | SPLITS,
            "tokenizer": TOKENIZER,
            "prior": {"kind": "uniform"},
            "perception": PERCEPTION,
            **{f"{part}_training": TRAINING for part in ("perception", "tokenizer", "prior")},
            **changes,
        }
    )


def test_each_frame_has_the_phone_at_its_centre_and_none_after_the_end(network: PhoneNetwork) -> None:
    data = recordings()
    crops = PhoneCrops(data, network, held_out=False)
    for index in range(len(crops)):
        (crop,) = data.crops([crops._indices[index]])
        labels = crops.take([index]).label[0]
        assert labels.shape == (1600 // 80,)
        for n, label in enumerate(labels.tolist()):
            time_s = crop.start_s + (n + 0.5) * 80 / RATE
            if time_s < data.recordings[crop.recording].samples / RATE:
                assert network.phones[label] == phone_at(data.phones(crop.recording) or (), time_s)
            else:
                assert label == UNKNOWN


@given(st.integers(0, 1000))
def test_augmented_crops_keep_their_phones(seed: int) -> None:
    """At any speed, a frame is loud where its phone is not silence: the wave and its labels move together."""
    data = recordings(speed=0.5)
    network = build_phone_network(PhonesConfig(**PERCEPTION), data)  # type: ignore[arg-type]
    batch = PhoneCrops(data, network, held_out=False).take(
        list(range(8)), generator=torch.Generator().manual_seed(seed)
    )
    loudness = (batch.x[:, 0].float() - 32768).unfold(1, 80, 80).square().mean(2).sqrt()
    silent = batch.label == network.phones.index("SIL")
    # Not the frames at a border, which hold a part of both.
    inside = (silent[:, :-2] == silent[:, 1:-1]) & (silent[:, 2:] == silent[:, 1:-1])
    assert (
        loudness[:, 1:-1][inside & silent[:, 1:-1]].quantile(0.9) < loudness[:, 1:-1][inside & ~silent[:, 1:-1]].mean()
    )


def test_held_out_recordings_do_not_train(network: PhoneNetwork) -> None:
    data = recordings()
    train_crops, held_out = (PhoneCrops(data, network, held_out=flag) for flag in (False, True))
    found = [{data.recording_of(i) for i in crops._indices} for crops in (train_crops, held_out)]
    assert found[1]
    assert not found[0] & found[1]
    assert found[0] | found[1] == set(range(len(data.recordings)))


@given(seed=st.integers(0, 1000))
def test_distance_is_zero_for_equal_signals_and_its_gradient_reaches_the_first(
    network: PhoneNetwork, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(2, 20, 12, generator=generator).requires_grad_() for _ in range(2))
    assert_trains_the_first(network.distance, a, b)


def test_the_network_learns_phones(tmp_path: Path) -> None:
    steps = {**TRAINING, "steps": 120, "batch_size": 8, "learning_rate": 1e-2, "evaluate_every": 120}
    run = train(recipe(perception_training=steps), tmp_path / "run")
    (first,) = run.records("perception", "valid")
    # The most frequent of the phones, silence, has a share of about a third.
    assert first["accuracy"] > 0.5
    assert PhoneNetwork.from_pretrained(run.perception_path).phones


def test_a_stopped_run_keeps_its_network(tmp_path: Path) -> None:
    run = train(recipe(), tmp_path / "run")
    again = Run(tmp_path / "again")
    again.folder.mkdir()
    (run.folder / "perception").rename(again.folder / "perception")
    train(recipe(), again.folder, resume=True)
    assert not again.checkpoint_path("perception").exists()
    assert run.tokenizer().fingerprint == again.tokenizer().fingerprint


def test_the_loss_changes_the_tokenizer_from_its_first_step_on(tmp_path: Path) -> None:
    fingerprints = {
        start: train(recipe(perception=PERCEPTION | {"start": start}), tmp_path / str(start)).tokenizer().fingerprint
        for start in (0, 1, 5)
    }
    without = train(recipe(perception=None), tmp_path / "without").tokenizer().fingerprint
    assert fingerprints[5] == without
    assert len(set(fingerprints.values())) == 3


def test_data_without_alignments_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = recordings()
    monkeypatch.setattr(type(data), "phones", lambda self, i: None)
    with pytest.raises(DataError, match="0 of 8 are aligned; make alignments with `codeword align`"):
        train(recipe(), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": TOKENIZER | {"values": 256}, "data": SPEECH | SPLITS | {"values": 256}}, "65536"),
        (
            {"tokenizer": TOKENIZER | {"head": {"kind": "samples"}, "likelihood": {"kind": "spectrogram", "hop": 80}}},
            "n_fft",
        ),
        ({"data": {"kind": "synthetic-images"}}, "recordings"),
    ],
)
def test_recipes_that_cannot_have_it_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**changes)
