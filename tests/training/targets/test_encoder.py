"""An encoder that learns clusters first: what it then keeps, and that a stop loses nothing."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny.weights import assert_equal

from codeword.config import Recipe, load_recipe
from codeword.data import open_dataset
from codeword.data.recordings import Recordings
from codeword.errors import RecipeError
from codeword.store import WEIGHTS_FILE
from codeword.tokenizer import Tokenizer
from codeword.training import Run, train
from codeword.training.loop import Trainer
from codeword.training.targets.encoder import PreparedEncoder, keep_encoder, prepare_encoder

FRONTEND = 'tokenizer.frontend={kind="log-mel", n_fft=400, mels=32, normalise=true}'
TINY = [
    "data.train=12",
    "data.valid=3",
    "data.test=4",
    "data.crop_samples=8000",
    FRONTEND,
    'tokenizer.trunk={kind="convnext", width=16, hidden=16, encoder_blocks=1, decoder_blocks=1, strides=[2,2]}',
    'tokenizer.quantizer={kind="vector", codebook_sizes=[16], dim=8}',
    "tokenizer.likelihood.iterations=2",
    'targets={kind="clusters", cosines=8, classes=40, rounds=2}',
    'prior={kind="uniform"}',
    *(
        f"{part}_training.{setting}"
        for part in ("encoder", "tokenizer")
        for setting in (
            "steps=6",
            "batch_size=4",
            "ema_decay=0.9",
            "checkpoint_every=2",
            "evaluate_every=3",
            "valid_signals=6",
            "warmup_steps=2",
            "precision='32'",
            "weight_decay=0.1",
        )
    ),
]


def tiny(*overrides: str) -> Recipe:
    return load_recipe("demo-speech", overrides=[*TINY, *overrides])


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.tokenizer_path / WEIGHTS_FILE)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tiny(), tmp_path_factory.mktemp("encoder") / "run")


def test_the_encoder_learns_first_and_both_parts_are_logged(undisturbed: Run) -> None:
    for part in ("encoder", "tokenizer"):
        assert [r["step"] for r in undisturbed.records(part, "valid")] == [3, 6]
    last = list(undisturbed.records("encoder", "valid"))[-1]
    assert 0 < last["agreement"] <= 1
    assert undisturbed.tokenizer().quantizer.codebook_sizes == (16,)


def test_what_was_learned_from_targets_does_not_move_any_more(undisturbed: Run) -> None:
    learned = load_file(undisturbed.checkpoint_path("encoder"))
    final = weights(undisturbed)
    # The averaged encoder is the one that is kept, and its codewords are the codebook.
    average = "average.module."
    encoder = {n.removeprefix(average): t for n, t in learned.items() if n.startswith(average + "encoder.")}
    assert_equal(encoder, {n: t for n, t in final.items() if n.startswith("encoder.")})
    codewords = learned["average.module.codewords"]
    assert torch.equal(final["quantizer.codebooks.0.vectors"], codewords)
    assert torch.equal(final["quantizer.codebooks.0.sums"], codewords)
    assert final["quantizer.codebooks.0.ready"]


def test_the_decoder_does_learn(undisturbed: Run, tmp_path: Path) -> None:
    longer = weights(train(tiny("tokenizer_training.steps=7"), tmp_path / "run"))
    moved = {n.split(".")[0] for n, t in weights(undisturbed).items() if not torch.equal(t, longer[n])}
    assert "decoder" in moved
    assert not moved & {"encoder", "quantizer"}


def stopped(undisturbed: Run, folder: Path, *, keep: str | None) -> Path:
    """A run that ended before the tokenizer's first checkpoint, or with that of the part `keep` alone."""
    folder.mkdir()
    for path in (undisturbed.recipe_path, undisturbed.environment_path):
        shutil.copy(path, folder)
    if keep is not None:
        (folder / "checkpoints").mkdir()
        shutil.copy(undisturbed.checkpoint_path(keep), folder / "checkpoints")
    return folder


@pytest.mark.parametrize("keep", [None, "encoder", "tokenizer"])
def test_resumed_from_any_part_it_ends_bit_for_bit_the_same(undisturbed: Run, tmp_path: Path, keep: str | None) -> None:
    run = train(tiny(), stopped(undisturbed, tmp_path / "run", keep=keep), resume=True)
    assert_equal(weights(undisturbed), weights(run))
    # With the tokenizer's own checkpoint, the encoder is not taught again.
    assert run.checkpoint_path("encoder").exists() == (keep != "tokenizer")


def test_an_encoder_stopped_on_its_way_goes_on_bit_for_bit(
    undisturbed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def kill_at_4(trainer: Trainer[torch.nn.Module], batch: object) -> object:
        if trainer.state.step == 4:
            raise KeyboardInterrupt
        return step(trainer, batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", kill_at_4)
        with pytest.raises(KeyboardInterrupt):
            train(tiny(), tmp_path / "run")
    run = train(tiny(), tmp_path / "run", resume=True)
    assert_equal(weights(undisturbed), weights(run))
    assert [r["step"] for r in run.records("encoder", "valid")] == [3, 6]


def prepared(*overrides: str) -> tuple[PreparedEncoder, Tokenizer, Recordings]:
    recipe = tiny(*overrides)
    train_data, valid_data = open_dataset(recipe.data, "train"), open_dataset(recipe.data, "valid")
    assert isinstance(train_data, Recordings)
    assert isinstance(valid_data, Recordings)
    assert recipe.targets is not None
    torch.manual_seed(0)
    tokenizer = Tokenizer(recipe.tokenizer)
    return (
        prepare_encoder(tokenizer, recipe.targets, train=train_data, valid=valid_data, seed=0),
        tokenizer,
        train_data,
    )


def test_the_encoder_starts_near_its_targets_and_the_tokenizer_encodes_what_the_task_says() -> None:
    lessons, tokenizer, data = prepared()
    keep_encoder(tokenizer, lessons.task.module)
    assert lessons.task.evaluate(lessons.task.module, [lessons.train.take(range(8))])["agreement"] > 0.3
    # Crops of features normalised over the whole recording: far from the edges, the codes of the whole recording.
    whole = tokenizer.encode(data.read(0)[None])[0, :, 0]
    crop = lessons.task.module(lessons.train.take([1]).x).argmax(1)[0]
    cells = len(crop)
    assert (whole[cells : 2 * cells] == crop)[5:-5].all()


def test_crops_are_cut_at_any_frame_with_the_code_of_that_frame_s_cell() -> None:
    lessons, _, data = prepared("targets.noise=0")
    crops = lessons.train
    size, cells = crops.shape[1], -(-data.recordings[0].samples // 640)
    whole = crops.take(range(-(-4 * cells // size)))
    features, codes = torch.cat(list(whole.x), 1)[:, : 4 * cells], whole.label.flatten()[:cells]
    seen = set()
    for seed in range(20):
        drawn = crops.take([0], generator=torch.Generator().manual_seed(seed))
        windows = features.unfold(1, size, 1).movedim(1, 0)
        (start,) = (windows == drawn.x).all(2).all(1).nonzero()[:, 0].tolist()
        seen.add(start % 4)
        if start % 4 == 0:
            assert torch.equal(drawn.label[0], codes[start // 4 :][: size // 4])
    assert seen == {0, 1, 2, 3}
    # Crops lie end to end; behind the end of the last of a recording there is nothing to tell.
    codes = crops.take(range(len(crops))).label
    assert int((codes >= 0).sum()) == sum(-(-r.samples // 640) for r in data.recordings)


def test_at_most_as_many_recordings_as_told_are_held() -> None:
    lessons, _, data = prepared("targets.recordings=5")
    cells = sum(-(-r.samples // 640) for r in data.recordings[::3])
    assert int((lessons.train.take(range(len(lessons.train))).label >= 0).sum()) == cells


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "tokenizer.frontend={kind='samples'}|tokenizer.likelihood={kind='gaussian'}",
            "tokenizer.frontend.kind = 'log-mel', not 'samples'",
        ),
        ('tokenizer.trunk={kind="residual"}', "tokenizer.trunk.kind = 'convnext', not 'residual'"),
        ("tokenizer.quantizer.codebook_sizes=[8,8]", "kind 'vector' with one codebook"),
        ("tokenizer.quantizer.cosine=true", "without lookup_dim or cosine"),
        ('tokenizer.quantizer={kind="finite-scalar"}', "kind 'vector' with one codebook"),
        ("targets.cosines=33", "targets.cosines of at most 32"),
        ("targets.classes=8", "tokenizer.quantizer.dim of at most 7, not 8"),
    ],
)
def test_what_targets_cannot_teach_is_said_in_one_sentence(override: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        tiny(*override.split("|"))


def test_images_have_no_clusters_of_sounds() -> None:
    with pytest.raises(RecipeError, match=r"targets need tokenizer\.ndim = 1, not 2"):
        load_recipe("demo-images", overrides=['targets={kind="clusters"}'])
