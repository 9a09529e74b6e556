"""The loop: what it learns, and that a stop, a kill or a NaN never loses anything."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from math import log
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny.recipes import TINY, tiny
from tiny.weights import assert_equal
from torch import nn

from codeword.config import TrainingConfig, UniformPriorConfig, load_recipe
from codeword.data import Dataset, evaluation_batches, open_dataset
from codeword.errors import Diverged, ModelError, RecipeError, TrainingError, UsageError
from codeword.priors import PixelCNN, Transformer, Uniform
from codeword.store import CONFIG_FILE, WEIGHTS_FILE, locked, read_metadata
from codeword.training import Run, loop, train
from codeword.training.batches import step_generator, step_indices, training_batches
from codeword.training.checkpoint import checkpoint_interval_s
from codeword.training.optim import learning_rate


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {
        f"{folder.name}.{name}": tensor
        for folder in (run.tokenizer_path, run.prior_path)
        for name, tensor in load_file(folder / WEIGHTS_FILE).items()
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tiny(), tmp_path_factory.mktemp("undisturbed") / "run")


def test_a_run_holds_what_it_promises(undisturbed: Run) -> None:
    assert undisturbed.recipe() == tiny()
    assert undisturbed.tokenizer().config == tiny().tokenizer
    assert undisturbed.prior().grid == (4, 4)
    steps = [r["step"] for r in undisturbed.records("tokenizer", "valid")]
    assert steps == [6, 12]
    last = list(undisturbed.records("prior", "valid"))[-1]
    assert {"loss", "bits_per_code", "bits_per_code_given_label", "elapsed_s"} <= last.keys()
    assert any((undisturbed.folder / "tensorboard").iterdir())
    assert set(undisturbed.environment()) == {"commit", "codeword", "torch", "machine"}


def test_a_prior_learns_every_number_of_codes_that_its_quantizer_serves(tmp_path: Path) -> None:
    overrides = ["kind='residual'", "codebook_sizes=[8,8,8]", "served_codes=[1,2]"]
    run = train(tiny(*(f"tokenizer.quantizer.{override}" for override in overrides)), tmp_path / "run")
    assert run.prior().served_codes == (1, 2, 3)
    last = list(run.records("prior", "valid"))[-1]
    assert {"bits_per_code", "bits_per_code_first_1", "bits_per_code_first_2"} <= last.keys()
    assert last["loss"] == pytest.approx(last["bits_per_code"] * log(2))


def test_a_prior_starts_from_the_codewords_and_one_of_foreign_tokens_does_not(tmp_path: Path) -> None:
    np.save(tmp_path / "tokens.npy", np.random.default_rng(0).integers(16, size=(8, 4, 4)))
    still = ("prior_training.steps=1", "prior_training.learning_rate=1e-12", "prior.width=8", "prior.head_width=8")
    tokens = load_recipe("tokens", overrides=[f"data.root={tmp_path}/tokens.npy", "data.crop=[4,4]", *still])
    images, foreign = (train(recipe, tmp_path / recipe.name).prior() for recipe in (tiny(*still), tokens))
    assert isinstance(images, Transformer)
    assert isinstance(foreign, PixelCNN)
    # Each of the two codebooks has vectors of four numbers, of which its tables are linear maps.
    for table in (*images.embed, *images.within, *images.outputs):
        assert torch.linalg.matrix_rank(cast(torch.Tensor, table.weight), rtol=1e-4) == 4
    assert torch.linalg.matrix_rank(cast(torch.Tensor, foreign.embed[0].weight), rtol=1e-4) == 8


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(undisturbed: Run, tmp_path: Path) -> None:
    assert_equal(weights(undisturbed), weights(train(tiny(), tmp_path / "same")))
    other = weights(train(tiny("seed=1"), tmp_path / "other"))
    assert any(not torch.equal(tensor, other[name]) for name, tensor in weights(undisturbed).items())


COMMAND = """
import sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[2])
from tiny.recipes import tiny
from codeword.training import train
train(tiny(*sys.argv[3:]), sys.argv[1], resume=True)
"""


def start(folder: Path, *overrides: str) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", COMMAND, str(folder), str(Path(__file__).parents[1]), *overrides]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def until_it_works(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the process has written to its log, or has ended."""
    before = log.stat().st_mtime_ns if log.exists() else 0
    while process.poll() is None and not (log.exists() and log.stat().st_mtime_ns != before):
        time.sleep(0.002)


ADVERSARIAL = 'adversarial={discriminator={kind="patches", width=4, layers=2}, start=4}'
DYNAMIC = 'tokenizer.quantizer.size={kind="dynamic", start=4, rate_bits=2.5, every=2}'


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [(), (ADVERSARIAL,), (DYNAMIC,)])
def test_killed_at_any_moment_and_resumed_ends_bit_for_bit_the_same(overrides: tuple[str], tmp_path: Path) -> None:
    """Kill -9 at random moments, over and over, until a run survives to its end."""
    undisturbed = train(tiny(*overrides), tmp_path / "undisturbed")
    rng = random.Random(0)
    folder, kills = tmp_path / "run", 0
    while True:
        process = start(folder, *overrides)
        until_it_works(process, folder / "metrics.jsonl")
        if kills < 6:
            time.sleep(rng.uniform(0, 0.4))
            process.kill()
            kills += 1
        _, errors = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, errors.decode()
    assert_equal(weights(undisturbed), weights(Run.open(folder)))
    assert_equal(*(load_file(r.checkpoint_path("tokenizer")) for r in (undisturbed, Run.open(folder))))
    for part in ("tokenizer", "prior"):
        assert [r["step"] for r in Run.open(folder).records(part, "valid")] == [6, 12]


def test_stopped_and_resumed_is_bit_for_bit_the_same(undisturbed: Run, tmp_path: Path) -> None:
    """SIGINT: the step is finished, the state saved, the exit code 130, and a resumed training continues from there."""
    process = start(tmp_path / "run")
    until_it_works(process, tmp_path / "run" / "metrics.jsonl")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    if process.returncode != 0:  # It may have been done already.
        assert b"resume its training" in errors
    run = train(tiny(), tmp_path / "run", resume=True)
    assert_equal(weights(undisturbed), weights(run))


def test_a_checkpoint_by_time_resumes_bit_for_bit(
    undisturbed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(trainer: object, valid: object) -> None:
        raise KeyboardInterrupt

    recipe = tiny("tokenizer_training.checkpoint_every=1000", "prior_training.checkpoint_every=1000")
    monkeypatch.setattr(loop, "checkpoint_interval_s", lambda saved_s, cost_s: 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "validate", crash)  # First in step 6, before its checkpoint.
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "run")
    checkpoint = Run(tmp_path / "run").checkpoint_path("tokenizer")
    assert json.loads(read_metadata(checkpoint)["progress"])["step"] == 5
    assert_equal(weights(undisturbed), weights(train(recipe, tmp_path / "run", resume=True)))


def test_the_dropout_of_a_prior_resumes_bit_for_bit(
    undisturbed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate = loop.Trainer.validate

    def crash(trainer: loop.Trainer[nn.Module], valid: Dataset) -> dict[str, float]:
        if trainer.task.part == "prior":
            raise KeyboardInterrupt
        return validate(trainer, valid)

    recipe = tiny("prior.dropout=0.5")
    whole = train(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "validate", crash)  # In step 6, after the checkpoint of step 3.
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "run")
    assert_equal(weights(whole), weights(train(recipe, tmp_path / "run", resume=True)))
    with pytest.raises(AssertionError):
        assert_equal(weights(whole), weights(undisturbed))


@given(cost_s=st.floats(0, 30), step_s=st.floats(0.001, 3))
def test_a_kill_loses_half_of_the_time_at_most_and_checkpoints_cost_little(cost_s: float, step_s: float) -> None:
    saved, count = 0.0, 0
    while saved < 7200:
        due = saved + checkpoint_interval_s(saved, cost_s) + step_s
        # A kill just before the next checkpoint loses all since the last one.
        assert due - saved <= max(10, min(due / 2, max(60, 50 * cost_s))) + step_s + 1e-6
        saved, count = due + cost_s, count + 1
    first = 10  # Intervals double until they are long enough.
    assert (count - first) * cost_s <= 0.02 * saved


def test_resuming_a_finished_run_changes_nothing(undisturbed: Run) -> None:
    before, log = weights(undisturbed), undisturbed.metrics_path.read_text()
    assert_equal(before, weights(train(tiny(), undisturbed.folder, resume=True)))
    assert undisturbed.metrics_path.read_text() == log


def test_a_run_folder_is_never_overwritten(undisturbed: Run) -> None:
    with pytest.raises(
        TrainingError, match=r"already holds a run; resume its training \(resume=True, or `codeword resume .*run`\)"
    ):
        train(tiny(), undisturbed.folder)
    with pytest.raises(TrainingError, match="another recipe"):
        train(tiny("seed=5"), undisturbed.folder, resume=True)


def test_two_trainings_into_one_folder_are_refused(tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(UsageError, match="Another process is writing to"):
        train(tiny(), tmp_path / "run", resume=True)
    assert not Run(tmp_path / "run").recipe_path.exists()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    recipe = tiny(
        "tokenizer_training.learning_rate=1e30", "tokenizer_training.clip_norm=0", "tokenizer_training.warmup_steps=8"
    )
    with pytest.raises(
        Diverged, match=r"not finite at step \d+ of 12 \(tokenizer\).* tokenizer_training.learning_rate="
    ):
        train(recipe, tmp_path / "run")
    with pytest.raises(Diverged, match="not finite"):
        train(recipe, tmp_path / "run", resume=True)
    kept = tmp_path / "run" / "checkpoints" / "tokenizer.safetensors"
    if kept.exists():
        assert all(torch.isfinite(t).all() for t in load_file(kept).values() if t.is_floating_point())


def test_a_damaged_checkpoint_is_refused(undisturbed: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    Run.create(folder, tiny(), resume=False)
    (folder / "checkpoints").mkdir()
    damaged = undisturbed.checkpoint_path("tokenizer").read_bytes()[:-1000]
    (folder / "checkpoints" / "tokenizer.safetensors").write_bytes(damaged)
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        train(tiny(), folder, resume=True)


def test_missing_and_unfinished_runs_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no run at"):
        Run.open(tmp_path)
    Run.create(tmp_path / "run", tiny(), resume=False)
    with pytest.raises(UsageError, match=r"no trained tokenizer yet; resume its training"):
        Run.open(tmp_path / "run").tokenizer()


def test_a_model_that_was_only_half_saved_is_saved_again(undisturbed: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(undisturbed.folder, folder)
    (folder / "tokenizer" / CONFIG_FILE).unlink()
    shutil.rmtree(folder / "prior")
    assert_equal(weights(undisturbed), weights(train(tiny(), folder, resume=True)))


def test_a_tokenizer_of_another_shape_than_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"tokenizer\.channels=3"):
        train(tiny("tokenizer.channels=1"), tmp_path / "run")
    with pytest.raises(RecipeError, match="signals of 65536 cells, but a prior is for at most 16384"):
        train(tiny("data.size=256", "tokenizer.trunk.strides=[1]"), tmp_path / "large")
    assert not (tmp_path / "run").exists()


def test_a_uniform_prior_needs_no_training(tmp_path: Path) -> None:
    recipe = tiny().model_copy(update={"prior": UniformPriorConfig()})
    run = train(recipe, tmp_path / "run")
    assert isinstance(run.prior(), Uniform)
    assert list(run.records("prior", "train")) == []


@pytest.mark.parametrize(("length", "batch"), [(10, 3), (3, 10), (7, 7)])
def test_every_epoch_reads_everything_once_in_an_order_of_its_own(length: int, batch: int) -> None:
    steps = 5 * length
    read = [i for step in range(steps) for i in step_indices(length, batch, seed=0, step=step)]
    epochs = [read[e * length : (e + 1) * length] for e in range(len(read) // length)]
    assert all(sorted(epoch) == list(range(length)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_ranks_share_a_step_between_them() -> None:
    data = open_dataset(tiny().data, "train")
    whole = next(iter(training_batches(data, 8, seed=3, steps=range(5, 6)))).x
    shares = [next(iter(training_batches(data, 8, seed=3, steps=range(5, 6), rank=r, ranks=2))).x for r in (0, 1)]
    assert torch.equal(whole[0::2], shares[0])
    assert torch.equal(whole[1::2], shares[1])


def test_generators_of_steps_and_purposes_differ() -> None:
    draws = {
        float(torch.rand((), generator=step_generator(seed, step, purpose)))
        for seed in range(3)
        for step in range(20)
        for purpose in range(3)
    }
    assert len(draws) == 180


def test_evaluation_reads_in_order_and_up_to_the_limit() -> None:
    data = open_dataset(tiny().data, "valid")
    assert torch.equal(torch.cat([b.x for b in evaluation_batches(data, 3, limit=7)]), data.take(range(7)).x)
    assert sum(len(b.x) for b in evaluation_batches(data, 5)) == len(data)


def test_the_learning_rate_warms_up_and_comes_down() -> None:
    config = TrainingConfig(steps=100, warmup_steps=10, learning_rate=1.0, final_learning_rate=0.1)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[:10] == pytest.approx([n / 10 for n in range(1, 11)])
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert learning_rate(100, config) == pytest.approx(0.1)


def test_logged_records_are_plain_json(undisturbed: Run) -> None:
    for line in undisturbed.metrics_path.read_text().splitlines():
        record = json.loads(line)
        assert record["part"] in ("tokenizer", "prior")
        assert record["elapsed_s"] >= 0


def test_bfloat16_trains(tmp_path: Path) -> None:
    run = train(tiny("tokenizer_training.precision=bf16", "prior_training.precision=bf16"), tmp_path / "run")
    assert all(torch.isfinite(t).all() for t in weights(run).values() if t.is_floating_point())


# Without what each rank draws for itself: a codebook from data, and labels that are left out.
NO_DRAWS = (
    "prior.conditional=false",
    'tokenizer.quantizer={kind="vector", codebook_sizes=[16], dim=8, init="uniform", revive_below=0}',
)


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), (DYNAMIC,)])
def test_two_processes_train_to_the_numbers_of_one(more: tuple[str, ...], tmp_path: Path) -> None:
    """As Fabric starts them for two devices: each sees half of every batch, and both parts end as in one process."""
    overrides = (*NO_DRAWS, *more)
    command = [sys.executable, "-m", "codeword", "train", "demo-images", "--out", str(tmp_path / "run")]
    command += [word for override in (*TINY, *overrides) for word in ("--set", override)]
    subprocess.run(
        [*command, "--devices", "2"], check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    run = Run.open(tmp_path / "run")
    alone = train(tiny(*overrides), tmp_path / "alone")
    assert [r["step"] for r in run.records("tokenizer", "valid")] == [6, 12], "each record is written once"
    ours, theirs = weights(run), weights(alone)
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
def test_two_processes_share_discriminators_and_balance(tmp_path: Path) -> None:
    """Not to rounding, because the losses are balanced by the mean over ranks of the gradients' norms."""
    more = ['prior={kind="uniform"}', ADVERSARIAL]
    overrides = [*TINY, *more]
    command = [sys.executable, "-m", "codeword", "train", "demo-images", "--out", str(tmp_path / "run")]
    command += [word for override in overrides for word in ("--set", override)]
    subprocess.run(
        [*command, "--devices", "2"], check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    runs = Run.open(tmp_path / "run"), train(tiny(*more), tmp_path / "alone")
    figures = [list(run.records("tokenizer", "train"))[-1] for run in runs]
    assert figures[0]["discrimination"] == pytest.approx(figures[1]["discrimination"], rel=0.05)
    norms = [load_file(run.checkpoint_path("tokenizer"))["adversary.model.balance.norms"] for run in runs]
    torch.testing.assert_close(norms[0] / norms[0][0], norms[1] / norms[1][0], rtol=0.1, atol=0.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains(tmp_path: Path) -> None:
    run = train(tiny(), tmp_path / "run")
    assert os.path.exists(run.prior_path)
