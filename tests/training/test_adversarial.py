"""Adversarial training: the balance of gradients, the discriminators, and that a stop loses nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny.recipes import SPEECH, SPLITS, TOKENIZER, TRAINING, tiny
from tiny.weights import assert_equal

from codeword.config import AdversarialConfig, DiscriminatorConfig, PatchDiscriminatorConfig, Recipe
from codeword.config import WaveformDiscriminatorConfig as Waveform
from codeword.data import open_dataset
from codeword.errors import Diverged, RecipeError
from codeword.nn.discriminators import build_discriminators
from codeword.store import WEIGHTS_FILE
from codeword.tokenizer import Tokenizer
from codeword.training import Run, train
from codeword.training.adversarial import OBJECTIVES, AdversarialTask, Adversary, GradientBalance
from codeword.training.batches import step_generator
from codeword.training.loop import Trainer

PATCHES = 'adversarial={discriminator={kind="patches", width=4, layers=2}, start=3, crop=12}'
WAVEFORM = {"kind": "waveform", "windows": [64], "window_width": 4, "periods": [2, 3], "period_width": 4}


def pictures(*overrides: str) -> Recipe:
    return tiny(PATCHES, 'prior={kind="uniform"}', *overrides)


def speech(**changes: object) -> Recipe:
    """Two stages: the codes first, from log-mels, then the decoder of waveforms against discriminators."""
    training = {**TRAINING, "steps": 6, "evaluate_every": 3, "checkpoint_every": 2, "ema_decay": 0.9}
    return Recipe.model_validate(
        {
            "name": "tiny-voice",
            "data": {**SPEECH, **SPLITS},
            "tokenizer": TOKENIZER,
            "targets": {"kind": "log-mels", "decoder_blocks": 2, "n_fft": 320, "mels": 20},
            "adversarial": {"discriminator": WAVEFORM, "start": 2, "crop": 800},
            "encoder_training": training,
            "tokenizer_training": training,
            "prior": {"kind": "uniform"},
            **changes,
        }
    )


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.tokenizer_path / WEIGHTS_FILE)


RECIPES = {"pictures": pictures(), "speech": speech()}


@pytest.fixture(scope="module", params=RECIPES)
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(RECIPES[request.param], tmp_path_factory.mktemp(request.param) / "run")


def test_stopped_at_any_step_and_resumed_both_sides_are_bit_for_bit_the_same(
    undisturbed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, step, killed = undisturbed.recipe(), Trainer.step, set()

    def kill_once(trainer: Trainer[torch.nn.Module], batch: object) -> object:
        at = (trainer.task.part, trainer.state.step)
        if at[1] in (1, 4, 5) and at not in killed:
            killed.add(at)
            raise KeyboardInterrupt
        return step(trainer, batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", kill_once)
        for _ in range(3 * (1 + (recipe.targets is not None))):
            with pytest.raises(KeyboardInterrupt):
                train(recipe, tmp_path / "run", resume=True)
        run = train(recipe, tmp_path / "run", resume=True)
    assert_equal(weights(undisturbed), weights(run))
    assert_equal(*(load_file(r.checkpoint_path("tokenizer")) for r in (undisturbed, run)))


def test_the_adversary_is_in_the_checkpoint_and_nowhere_else(undisturbed: Run) -> None:
    state = load_file(undisturbed.checkpoint_path("tokenizer"))
    balance = state["adversary.model.balance.norms"]
    assert (balance > 0).all()
    steps = {t.item() for n, t in state.items() if n.startswith("adversary.optimizer.step.")}
    recipe = undisturbed.recipe()
    assert recipe.adversarial is not None
    assert steps == {recipe.tokenizer_training.steps - recipe.adversarial.start}
    assert undisturbed.tokenizer().state_dict().keys() == weights(undisturbed).keys()
    last = list(undisturbed.records("tokenizer", "train"))[-1]
    assert {"loss", "discrimination", "deception", "matching", "energy"} <= last.keys()


@pytest.mark.parametrize("media", RECIPES)
def test_before_its_start_adversarial_training_is_plain_training(media: str, tmp_path: Path) -> None:
    recipe = RECIPES[media]
    assert recipe.adversarial is not None
    later = recipe.adversarial.model_copy(update={"start": recipe.tokenizer_training.steps})
    idle, plain = (recipe.model_copy(update={"adversarial": adversarial}) for adversarial in (later, None))
    assert_equal(*(weights(train(r, tmp_path / f"{i}")) for i, r in enumerate((idle, plain))))


def test_codes_are_learned_from_log_mels_and_then_kept(tmp_path: Path) -> None:
    run = train(speech(), tmp_path / "run")
    learned = {
        n.removeprefix("average.module."): t
        for n, t in load_file(run.checkpoint_path("encoder")).items()
        if n.startswith(("average.module.encoder.", "average.module.quantizer."))
    }
    final = weights(run)
    assert_equal(learned, {n: t for n, t in final.items() if n.startswith(("encoder.", "quantizer."))})
    assert [r["step"] for r in run.records("encoder", "valid")] == [3, 6]


def test_frozen_codes_stay_but_their_number_is_drawn() -> None:
    recipe = speech()
    tokenizer = Tokenizer(recipe.tokenizer)
    x = open_dataset(recipe.data, "train").take(range(4)).x
    tokenizer.train()(x, generator=torch.Generator().manual_seed(0))
    tokenizer.quantizer.freeze()
    before = {n: t.clone() for n, t in tokenizer.quantizer.state_dict().items()}
    z = tokenizer._vectors(x).detach()
    drawn = [tokenizer.quantizer(z, generator=torch.Generator().manual_seed(seed)) for seed in range(8)]
    assert_equal(before, dict(tokenizer.quantizer.state_dict()))
    assert len({float(quantized.vectors.sum()) for quantized in drawn}) > 1
    assert not any(p.requires_grad for p in tokenizer.quantizer.parameters())


@given(
    weights=st.lists(st.floats(0, 10), min_size=1, max_size=3),
    exponents=st.lists(st.integers(-12, 12), min_size=3, max_size=3),
    shape=st.sampled_from([(2, 1, 30), (3, 2, 5, 4)]),
    steps=st.integers(1, 5),
)
def test_each_gradient_weighs_its_weight_times_the_first_whatever_its_scale(
    weights: list[float], exponents: list[int], shape: tuple[int, ...], steps: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    first, *others = (torch.randn(shape, generator=generator) for _ in range(1 + len(weights)))

    def norm(x: torch.Tensor) -> float:
        return float(x.flatten(1).norm(dim=1).mean())

    expected = first + sum(w * norm(first) / norm(x) * x for w, x in zip(weights, others, strict=True))
    scaled = [2.0**e * x for e, x in zip(exponents, others, strict=False)]
    balance = GradientBalance(weights, decay=0.9)
    for _ in range(steps):
        total = balance(first, scaled)
    torch.testing.assert_close(total, expected, atol=1e-4, rtol=1e-4)


def test_a_gradient_of_zero_stays_zero() -> None:
    first, zero = torch.full((2, 1, 8), 1e3), torch.zeros(2, 1, 8)
    assert torch.equal(GradientBalance((1.0,), 0.9)(first, [zero]), first)


KINDS: list[tuple[DiscriminatorConfig, int]] = [
    (Waveform(windows=(64, 128), periods=(2, 5), window_width=4, period_width=4), 1),
    (Waveform(windows=(), periods=(3,), period_width=4), 1),
    (PatchDiscriminatorConfig(width=4, layers=2), 1),
    (PatchDiscriminatorConfig(width=4, layers=3), 2),
    (PatchDiscriminatorConfig(width=4, layers=1), 3),
]


@settings(max_examples=10)
@given(size=st.integers(16, 50), channels=st.integers(1, 3), kind=st.sampled_from(KINDS))
def test_discriminators_judge_each_signal_of_any_size_alone(
    size: int, channels: int, kind: tuple[DiscriminatorConfig, int]
) -> None:
    config, ndim = kind
    channels = 1 if config.kind == "waveform" else channels
    torch.manual_seed(0)
    discriminators = build_discriminators(config, ndim=ndim, channels=channels)
    x = torch.randn(3, channels, *[size] * ndim)
    together, alone = discriminators(x), discriminators(x[:1])
    for a, b in zip(together, alone, strict=True):
        assert a.logits.isfinite().all()
        share = len(a.logits) // 3
        torch.testing.assert_close(a.logits[:share], b.logits, atol=1e-4, rtol=1e-4)
        assert len(a.features) == len(b.features) > 0


@given(gain=st.floats(0.2, 10), kind=st.sampled_from(KINDS))
@settings(max_examples=10)
def test_quiet_signals_count_as_loud_ones_do(gain: float, kind: tuple[DiscriminatorConfig, int]) -> None:
    config, ndim = kind
    torch.manual_seed(0)
    adversary = Adversary(AdversarialConfig(discriminator=config), ndim=ndim, channels=1)
    signal, reconstruction = (0.1 * torch.randn(2, 1, *[24] * ndim) for _ in range(2))
    one, other = adversary(signal, reconstruction), adversary(gain * signal, gain * reconstruction)
    for a, b in zip(one[:3], other[:3], strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
    for a, b in zip(one[3:], other[3:], strict=True):
        torch.testing.assert_close(a, gain * b, atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize(("kind", "loss"), [*((kind, "least-squares") for kind in KINDS), (KINDS[1], "hinge")])
def test_discriminators_learn_to_tell_and_decoders_to_deceive(kind: tuple[DiscriminatorConfig, int], loss: str) -> None:
    config, ndim = kind
    torch.manual_seed(0)
    discriminators, objective = build_discriminators(config, ndim=ndim, channels=1), OBJECTIVES[loss]
    optimizer = torch.optim.AdamW(discriminators.parameters(), lr=1e-2)
    real, other = torch.randn(4, 1, *[24] * ndim), torch.rand(4, 1, *[24] * ndim)
    losses = []
    for _ in range(25):
        judged = zip(discriminators(real), discriminators(other), strict=True)
        total = sum(objective.real(a.logits) + objective.reconstructed(b.logits) for a, b in judged)
        assert isinstance(total, torch.Tensor)
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total.item())
    assert losses[-1] < 0.7 * losses[0]
    deceived = [float(sum(objective.deceived(a.logits).detach() for a in discriminators(x))) for x in (real, other)]
    assert deceived[0] < deceived[1]


def task_of(recipe: Recipe) -> AdversarialTask:
    assert recipe.adversarial is not None
    torch.manual_seed(0)
    return AdversarialTask(Tokenizer(recipe.tokenizer), recipe.adversarial, frozen=())


@pytest.mark.parametrize("media", RECIPES)
def test_each_loss_reaches_the_module_that_it_trains(media: str) -> None:
    recipe = RECIPES[media]
    task, batch = task_of(recipe), open_dataset(recipe.data, "train").take(range(4))
    modules: Sequence[torch.nn.Module] = [task.module, *(rival.module for rival in task.rivals)]
    ((own, rival), _) = task.losses(modules, batch, step=10, generator=step_generator(0, 10, purpose=2))
    own.backward()
    assert all(p.grad is None for p in modules[1].parameters())
    before = [None if p.grad is None else p.grad.clone() for p in modules[0].parameters()]
    rival.backward()
    assert all(p.grad is not None for p in modules[1].parameters())
    for p, gradient in zip(modules[0].parameters(), before, strict=True):
        assert p.grad is None or torch.equal(p.grad, gradient)


def test_a_collapse_is_said_while_training() -> None:
    task = task_of(pictures())
    healthy = {"discrimination": 0.4, "energy": 0.9}
    assert list(task.concerns({})) == list(task.concerns(healthy)) == []
    assert "discriminators" in next(task.concerns(healthy | {"discrimination": 1e-4}))
    assert "silent" in next(task.concerns(healthy | {"energy": 1e-5}))


def test_an_adversary_that_is_not_finite_stops_the_training(tmp_path: Path) -> None:
    recipe = pictures("adversarial.learning_rate=1e30", "tokenizer_training.clip_norm=0")
    with pytest.raises(Diverged, match="not finite at step"):
        train(recipe, tmp_path / "run")
    kept = load_file(Run(tmp_path / "run").checkpoint_path("tokenizer"))
    assert all(torch.isfinite(t).all() for t in kept.values() if t.is_floating_point())


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (['tokenizer.likelihood={kind="categorical"}'], r"tokenizer\.likelihood\.kind = 'gaussian' or 'spectral'"),
        (['adversarial={discriminator={kind="waveform"}}'], "of kind 'patches' for signals that are not audio"),
        (["adversarial.crop=3"], "crop must be at least 4, one patch of the discriminator, not 3"),
        (["tokenizer_training.compile=true"], "set tokenizer_training.compile = false"),
        (['adversarial={discriminator={kind="waveform", windows=[], periods=[]}}'], "give at least one"),
    ],
)
def test_recipes_that_cannot_be_trained_against_discriminators_say_so(overrides: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        pictures(*overrides)
