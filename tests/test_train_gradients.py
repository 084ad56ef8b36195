"""The gradients of a training step: shared by processes and groups, checkpointed, of frozen steps."""

import dataclasses
import math

import pytest
import torch
from test_train import TINY
from videos import waves

from linops_video.errors import SpecError
from linops_video.solvers.learned.data import Crops
from linops_video.solvers.learned.parallel import Team
from linops_video.solvers.learned.recipes import recipe
from linops_video.solvers.learned.train import Run, Trainer, train
from linops_video.solvers.learned.unrolled import Unrolled

pytestmark = pytest.mark.usefixtures("short_starts")


@pytest.fixture
def videos() -> torch.Tensor:
    return waves()


def gradients(config, videos, team=None):
    """Loss and gradients of the first step."""
    run = Run.new(config, torch.device("cpu"), None)
    loss, _ = Trainer(config, run, Crops((videos,), (1.0,), 16), team or Team()).gradient()
    return loss, {name: p.grad for name, p in run.network.named_parameters() if p.grad is not None}


DOUBLE = dataclasses.replace(TINY, precision="float64", groups=4, samples=1, frames=(3,))


def test_the_shares_of_processes_are_the_groups_of_a_step(videos):
    """The mean over two processes of what each computes alone: `benchmarks/training_processes.py` runs them."""

    class Alone(Team):
        def total(self, numbers):
            return list(numbers)

    whole, expected = gradients(DOUBLE, videos)
    parts = []
    for rank in range(2):
        run = Run.new(DOUBLE, torch.device("cpu"), None)
        trainer = Trainer(DOUBLE, run, Crops((videos,), (1.0,), 16), Team())
        trainer.team = Alone(rank, 2)
        loss, _ = trainer.gradient()
        parts.append((loss, {name: p.grad for name, p in run.network.named_parameters()}))
    assert math.isclose(sum(loss for loss, _ in parts), whole, rel_tol=1e-12)
    for name, gradient in expected.items():
        grads = [part[name] for _, part in parts if part[name] is not None]
        torch.testing.assert_close(sum(grads) / 2, gradient, rtol=0, atol=1e-10)


@pytest.mark.parametrize("solver", ["videoonet", "onenet-cnn", "onenet-projector"])
def test_groups_of_one_video_give_together_what_they_give_alone(videos, solver):
    """Of two shapes, since some problems take larger crops."""
    base = recipe(solver, "video", 3)
    network = dataclasses.replace(base.network, features=8, steps=2)
    config = dataclasses.replace(
        DOUBLE,
        network=network,
        objective=base.objective,
        problems={"pid": 1.0, "si": 1.0, "vcs": 1.0, "dd": 1.0},
        groups=7,
    )
    large = videos.repeat(1, 1, 1, 2, 2)
    run = Run.new(config, torch.device("cpu"), None)
    trainer = Trainer(config, run, Crops((large,), (1.0,), 16), Team())
    seeds = list(range(7))
    trainer.objective(trainer.videos, seeds).backward()
    together = {name: p.grad.clone() for name, p in run.network.named_parameters() if p.grad is not None}
    run.optimizer.zero_grad()
    for seed in seeds:
        (trainer.objective(trainer.videos, [seed]) / 7).backward()
    for name, gradient in together.items():
        alone = run.network.get_parameter(name).grad
        torch.testing.assert_close(gradient, alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize("solver", ["videoonet", "videoonet-bcrnn"])
def test_checkpointing_changes_memory_and_nothing_else(videos, solver):
    small = {"features": 8, "steps": 3}
    network = dataclasses.replace(recipe(solver, "video", 3).network, **small)
    config = dataclasses.replace(DOUBLE, network=network)
    loss, expected = gradients(config, videos)
    again, found = gradients(dataclasses.replace(config, checkpointing=True), videos)
    assert again == loss
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-12)


def test_frozen_steps_stay_and_the_others_have_the_same_gradient(tmp_path, videos):
    config = dataclasses.replace(DOUBLE, network=dataclasses.replace(TINY.network, steps=2), frozen=1)
    (loss, whole), (same, frozen) = (gradients(dataclasses.replace(config, frozen=k), videos) for k in (0, 1))
    assert loss == same
    assert {name.split(".head")[0] for name in frozen} >= {"prior.1", "data.1"}
    assert not any(name.startswith(("context", "prior.0", "data.0")) for name in frozen)
    for name in frozen.keys() - {"spread"}:
        torch.testing.assert_close(frozen[name], whole[name], rtol=0, atol=1e-12)
    torch.manual_seed(0)
    config = dataclasses.replace(config, precision="float32", steps=2, validate_every=2)
    start = Unrolled(config.network)
    trained = train(config, Crops((videos,), (1.0,), 16), videos[:1, :3].float() / 255, tmp_path, start=start)
    for name, value in trained.state_dict().items():
        if name.startswith(("context", "prior.0", "data.0")):
            torch.testing.assert_close(value, start.state_dict()[name], rtol=0, atol=0)
    assert not torch.equal(trained.state_dict()["prior.1.head.bias"], start.state_dict()["prior.1.head.bias"])
    with pytest.raises(SpecError, match="frozen is for networks"):
        dataclasses.replace(config, frozen=2)
