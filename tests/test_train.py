"""Training: the loop, and continuing it bit for bit; recipes, the projector."""

import csv
import dataclasses
import itertools
import math
import zipfile

import numpy as np
import pytest
import torch
from videos import waves

from linops_video import PROBLEMS
from linops_video.errors import FileError, SpecError
from linops_video.solvers.learned.checkpoint import describe, load_network
from linops_video.solvers.learned.config import TrainConfig
from linops_video.solvers.learned.curve import draw
from linops_video.solvers.learned.data import Crops
from linops_video.solvers.learned.form import Config, paper_config
from linops_video.solvers.learned.objective import validate
from linops_video.solvers.learned.parallel import Team
from linops_video.solvers.learned.projector import perturb
from linops_video.solvers.learned.recipes import RECIPES, recipe
from linops_video.solvers.learned.train import Progress, Run, Trainer, learning_rate, train
from linops_video.solvers.learned.unrolled import Unrolled

pytestmark = pytest.mark.usefixtures("short_starts")

TINY = TrainConfig(
    network=Config(steps=1, features=8, coarse=1, fine=1),
    problems={"pid": 1.0, "sr2": 1.0, "vcs": 1.0},
    steps=6,
    samples=2,
    frames=(2, 3),
    warm_up=2,
    validate_every=3,
    seed=4,
)


@pytest.fixture
def videos() -> torch.Tensor:
    return waves()


def test_the_learning_rate_warms_up_and_ends_at_a_hundredth():
    config = dataclasses.replace(TINY, steps=100, warm_up=10, learning_rate=1.0)
    rates = [learning_rate(step, step / 100, config) for step in range(101)]
    assert rates[0] == 0.1
    assert rates[9] == 1.0
    assert math.isclose(rates[100], 0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    constant = dataclasses.replace(config, end_rate=1.0, warm_up=0)
    assert {learning_rate(step, step / 100, constant) for step in range(101)} == {1.0}


@pytest.mark.parametrize(
    "network",
    [TINY.network, dataclasses.replace(paper_config("onenet", channels=3, features=4, decoder=5), steps=2)],
    ids=["multiscale", "paper"],
)
def test_one_loop_trains_every_form(tmp_path, videos, network):
    problems = {"pid": 1.0, "sr2": 1.0}
    config = dataclasses.replace(
        TINY, network=network, problems=problems, steps=15, validate_every=15, learning_rate=3e-3
    )
    truth = videos[:2, :3].float() / 255
    before = validate(Unrolled(network), truth, config.problems)
    seen: list[Progress] = []
    trained = train(config, Crops((videos,), (1.0,), 16), truth, tmp_path, on_step=seen.append)
    assert [state.step for state in seen] == list(range(1, 16))
    assert [state.videos for state in seen] == list(range(2, 32, 2))
    assert all(math.isfinite(state.loss) and state.videos_per_second > 0 for state in seen)
    assert seen[-1].seconds_left == 0
    assert seen[-1].scores.keys() == problems.keys()
    after = validate(trained, truth, config.problems)
    assert sum(after.values()) > sum(before.values())
    facts = describe(tmp_path / "network.safetensors")
    assert facts["steps"] == 15
    assert set(facts["validation_psnr"]) == set(config.problems)
    torch.testing.assert_close(
        load_network(tmp_path / "network.safetensors").state_dict(),
        {name: value.half().float() for name, value in trained.state_dict().items()},
    )


class CutOff(Exception):
    pass


def cut_at(step):
    def stop(state: Progress) -> None:
        if state.step == step:
            raise CutOff

    return stop


def test_a_run_that_was_cut_off_twice_ends_as_if_it_had_not_been(tmp_path, videos):
    crops, truth = Crops((videos,), (1.0,), 16), videos[:1, :3].float() / 255
    config = dataclasses.replace(TINY, save_minutes=0.0, groups=2)
    whole = train(config, crops, truth, tmp_path / "whole")
    for step in (2, 5):  # before and after the first validation
        with pytest.raises(CutOff):
            train(config, crops, truth, tmp_path / "cut", on_step=cut_at(step), resume=step > 2)
    killed = tmp_path / "cut" / ".linops-video-killed"  # as signal 9 leaves it, in the middle of a file
    killed.mkdir()
    (killed / "state.pt").write_bytes(b"half")
    again = train(config, crops, truth, tmp_path / "cut", resume=True)
    torch.testing.assert_close(again.state_dict(), whole.state_dict(), rtol=0, atol=0)
    curves = []
    for name in ("whole", "cut"):
        with (tmp_path / name / "curve.csv").open() as file:
            curves.append(list(csv.DictReader(file)))
        assert (tmp_path / name / "curve.png").read_bytes().startswith(b"\x89PNG")
        assert not [path for path in (tmp_path / name).iterdir() if path.name.startswith(".")]
    for row, other in zip(*curves, strict=True):
        row["seconds"] = other["seconds"]
        assert row == other
    assert [row["step"] for row in curves[0]] == ["3", "6"]
    assert set(TINY.problems) <= set(curves[0][0])
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "cut")]
    for part in ("network", "average", "optimizer", "generator", "step", "videos", "losses", "best", "waited"):
        torch.testing.assert_close(states[0][part], states[1][part], rtol=0, atol=0)


def test_no_two_problems_have_one_line_in_the_curve():
    row = dict.fromkeys(("step", "videos", "seconds", "loss", "learning_rate", "mean", *PROBLEMS), 1.0)
    lines = draw([row]).axes[1].lines
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(looks) == len(lines) == 1 + len(PROBLEMS)


def test_event_files_hold_the_curve(tmp_path, videos):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    crops, truth = Crops((videos,), (1.0,), 16), videos[:1, :3].float() / 255
    train(TINY, crops, truth, tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    for column, tag in (("loss", "loss"), ("mean", "psnr/mean"), ("pid", "psnr/pid")):
        assert [event.step for event in events.Scalars(tag)] == [3, 6]
        for event, row in zip(events.Scalars(tag), rows, strict=True):
            assert math.isclose(event.value, float(row[column]), rel_tol=1e-6)


def test_the_picture_shows_loss_and_problems():
    rows = [
        {"step": s, "videos": 4 * s, "seconds": s, "loss": -s, "learning_rate": 1, "mean": s, "pid": s} for s in (1, 2)
    ]
    left, right = draw(rows).axes
    assert list(np.asarray(left.lines[0].get_ydata())) == [-1, -2]
    assert [line.get_label() for line in right.lines] == ["mean 2.0", "pid 2.0"]
    assert all(line.get_marker() == "." for line in (*left.lines, *right.lines))  # so that a single row is seen


def test_minutes_in_place_of_steps(tmp_path, videos):
    config = dataclasses.replace(TINY, minutes=1 / 120, steps=1, validate_every=10**6, learning_rate=1e-3)
    seen: list[Progress] = []
    train(config, Crops((videos,), (1.0,), 16), videos[:1, :3].float() / 255, tmp_path, on_step=seen.append)
    assert len(seen) > 1
    assert seen[-2].seconds < 0.5 <= seen[-1].seconds
    assert seen[-1].done == 1


def test_early_stopping(tmp_path, videos):
    config = dataclasses.replace(TINY, steps=100, validate_every=1, patience=2, learning_rate=1e-12)
    seen: list[Progress] = []
    crops = Crops((videos,), (1.0,), 16)
    train(config, crops, videos[:1, :3].float() / 255, tmp_path, on_step=seen.append)
    assert len(seen) < 20


@pytest.mark.parametrize("data", ["rotated-mnist", "ucf101", "clips.npz"])
@pytest.mark.parametrize("solver", RECIPES)
def test_recipes(solver, data):
    channels = 1 if data == "rotated-mnist" else 3
    config = recipe(solver, data, channels)
    ours = solver in ("videoonet", "onenet")
    assert config.network.channels == channels
    assert config.network.form == solver.partition("-")[0]
    assert set(config.problems) <= set(PROBLEMS)
    assert (config.objective == "log-mse") == ours
    if not ours:
        assert config.network.features == (64 if data == "rotated-mnist" else 256)
        assert config.network.steps == (300 if solver == "onenet-projector" else 13)
        assert (config.learning_rate, config.betas, config.clip, config.patience) == (1e-4, (0.0, 0.9), 1.0, 5)
        assert len(config.problems) == 15
        assert set(config.problems.values()) == {1.0}


def test_perturbed_videos():
    """Zero videos show the noise alone: its level, and one map for all frames."""
    generator = torch.Generator().manual_seed(0)
    noise = perturb(torch.zeros(400, 8, 1, 16, 16), generator)
    levels = noise.square().mean((1, 2, 3, 4)).sqrt()
    assert 0.0 < levels.min() < 0.1
    assert 0.15 < noise.square().mean().sqrt() < 0.45
    assert levels.max() < 1.5
    stripes = torch.arange(16.0).remainder(2).expand(400, 8, 1, 16, 16)
    perturbed = perturb(stripes, torch.Generator().manual_seed(1)).mean(1)[:, 0].mean(1)  # over frames and rows
    blocky = (perturbed[:, 1::2] - perturbed[:, ::2]).mean(1) < 0.6
    assert 0.1 < blocky.float().mean() < 0.45


def test_a_projector_is_trained_alone_and_used_in_admm(tmp_path, videos):
    network = dataclasses.replace(paper_config("onenet", False, channels=3, features=8, decoder=5), steps=20)
    config = dataclasses.replace(
        TINY, network=network, objective="projector", steps=60, validate_every=60, learning_rate=1e-2, average=0.5
    )
    truth = videos[:2, :3].float() / 255
    train(config, Crops((videos,), (1.0,), 16), truth, tmp_path)
    trained = load_network(tmp_path / "network.safetensors")
    noisy = perturb(truth, torch.Generator().manual_seed(5))
    assert (trained.project(noisy) - truth).square().mean() < 0.5 * (noisy - truth).square().mean()
    with pytest.raises(SpecError, match="a projector is"):
        TrainConfig(objective="projector")


def test_what_training_cannot_use_is_said(tmp_path, videos):
    crops, truth = Crops((videos,), (1.0,), 16), videos[:1, :3].float() / 255
    with pytest.raises(FileError, match="nothing to resume"):
        train(TINY, crops, truth, tmp_path, resume=True)
    train(dataclasses.replace(TINY, steps=1), crops, truth, tmp_path)
    with pytest.raises(SpecError, match="holds a run"):
        train(TINY, crops, truth, tmp_path)
    with pytest.raises(SpecError, match="other values of steps"):
        train(TINY, crops, truth, tmp_path, resume=True)
    turned = dataclasses.replace(TINY, steps=1, problems=dict(reversed(list(TINY.problems.items()))))
    with pytest.raises(SpecError, match="other values of problems, in their order"):
        train(turned, crops, truth, tmp_path, resume=True)
    (tmp_path / "state.pt").write_bytes(b"junk")
    with pytest.raises(FileError, match="cannot continue"):
        train(TINY, crops, truth, tmp_path, resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot make the folder"):
        train(TINY, crops, truth, tmp_path / "file" / "folder")
    with pytest.raises(SpecError, match="cannot share 1 groups"):
        train(TINY, crops, truth, tmp_path / "two", team=Team(0, 2))
    for wrong in ({"problems": {"sr4": 0.0}}, {"precision": "float8"}, {"groups": 0}, {"minutes": 0.0}):
        with pytest.raises(SpecError, match=r"not all 0|one of float32|1 or more|must be positive"):
            dataclasses.replace(TINY, **wrong)
    for count in ({"samples": 1.5}, {"groups": 2.0}, {"steps": True}, {"validate_every": 1.5}, {"frames": (2, 2.5)}):
        with pytest.raises(SpecError, match="must be a whole number"):
            dataclasses.replace(TINY, **count)
    with pytest.raises(SpecError, match="did you mean onenet-cnn"):
        recipe("onenet-cn", "ucf101", 3)


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 64] = bytes(b ^ 255 for b in content[len(content) // 3 :][:64])
    path.write_bytes(content)


def without(*keys):
    """Spoils a state: the entry with these keys, one within the other, is gone."""

    def spoil(path):
        state = inner = torch.load(path, weights_only=True)
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]
        torch.save(state, path)

    return spoil


def newer(*keys):
    """Spoils a state: its settings have one more field."""

    def spoil(path):
        state = torch.load(path, weights_only=True)
        inner = state["config"] if not keys else state["config"][keys[0]]
        inner["depth"] = 3
        torch.save(state, path)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (flipped, "cannot continue from"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "cannot continue from"),
        (lambda path: torch.save([1, 2], path), "cannot continue from"),
        (without("config"), "cannot continue from"),
        (without("best"), "cannot continue from"),
        (without("network", "spread"), "cannot continue from"),
        (newer(), r"another version, with other settings \(depth\)"),
        (newer("network"), r"another version, with other settings \(depth\)"),
    ],
)
def test_a_broken_state_is_told(tmp_path, spoil, words):
    path, run = tmp_path / "state.pt", Run.new(TINY, torch.device("cpu"), None)
    run.save(path, TINY)
    run.load(path, TINY)
    spoil(path)
    with pytest.raises(FileError, match=words):
        run.load(path, TINY)


def test_the_running_mean_is_that_of_the_weights_and_what_is_not_finite_is_left_out(videos):
    config = dataclasses.replace(TINY, average=0.3, learning_rate=1e-2)
    trainer = Trainer(config, Run.new(config, torch.device("cpu"), None), Crops((videos,), (1.0,), 16), Team())
    weights = next(iter(trainer.run.network.parameters()))
    mean = next(iter(trainer.run.average.parameters())).clone()
    for step in range(4):
        before = weights.detach().clone()
        trainer.step()
        assert not torch.equal(weights, before)
        decay = min(0.3, (step + 1) / (step + 10))
        mean = decay * mean + (1 - decay) * weights.detach()
        torch.testing.assert_close(next(iter(trainer.run.average.parameters())), mean)

    def spoilt() -> tuple[float, int]:
        (weights.sum() * torch.nan).backward()
        return math.nan, 1

    trainer.gradient = spoilt  # type: ignore[method-assign]
    before = weights.detach().clone()
    trainer.step()
    assert torch.equal(weights, before)
