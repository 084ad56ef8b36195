"""Networks in files, and the solvers that run them."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file
from test_learned import FORMS, SMALL, awake, build
from videos import clip

from linops_video import Diagonal, InverseProblem, NormalSolver, forward_model
from linops_video.errors import FileError, SpecError
from linops_video.metrics import psnr
from linops_video.solvers import OneNet, VideoOneNet, run, solve, unrolled
from linops_video.solvers.learned.checkpoint import describe, load_network, save_network, shipped
from linops_video.solvers.learned.form import paper_config
from linops_video.solvers.learned.start import STILL, smooth_start
from linops_video.solvers.learned.unrolled import Unrolled


def test_a_checkpoint_comes_back_with_its_config_and_facts(tmp_path):
    network, path = awake(FORMS[-1]), tmp_path / "net.safetensors"
    save_network(path, network, {"problems": {"sr4": 1.0}, "licence": "MIT"})
    again = load_network(path)
    assert again.config == network.config
    facts = describe(path)
    assert facts["problems"] == {"sr4": 1.0}
    assert facts["licence"] == "MIT"
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value.half().float())
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_bad_checkpoints_are_said_in_one_sentence(tmp_path):
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"no network")
    with pytest.raises(FileError, match="not a network"):
        load_network(junk)
    with pytest.raises(FileError, match="no such file"):
        load_network(tmp_path / "missing.safetensors")
    with pytest.raises(
        SpecError, match="shipped are onenet, rotated-mnist, scanned-cifar10, ucf101, videoonet, videoonet-fast"
    ):
        load_network("videonet")
    other = tmp_path / "other.safetensors"
    save_network(other, build(SMALL), {})
    with pytest.raises(SpecError, match="are a videoonet"):
        OneNet(str(other))
    with pytest.raises(FileError, match="cannot write"):
        save_network(tmp_path / "no" / "folder.safetensors", build(SMALL), {})
    network = build(SMALL)
    next(iter(network.parameters())).data.flatten()[0] = torch.nan
    save_network(other, network, {})
    with pytest.raises(FileError, match=r"other.safetensors holds weights that are NaN"):
        load_network(other)


@pytest.mark.parametrize("change", [{"blocks": "transformer"}, {"depth": 3}])
def test_a_checkpoint_of_another_version_is_told(tmp_path, change):
    path, network = tmp_path / "net.safetensors", build(SMALL)
    tensors = {name: t.half() for name, t in network.state_dict().items()}
    config = json.dumps({**dataclasses.asdict(network.config), **change})
    save_file(tensors, path, {"config": config, "note": "plain text"})
    assert describe(path)["note"] == "plain text"
    with pytest.raises(FileError, match=r"net.safetensors was written by another version"):
        load_network(path)


@pytest.mark.parametrize("name", shipped())
def test_shipped_weights_say_what_they_are_and_stay_small(name):
    facts = describe(name)
    assert {"config", "problems", "data", "license", "steps", "commit"} <= set(facts)
    json.dumps(facts)
    assert load_network(name).config.form in ("onenet", "videoonet")


@pytest.mark.parametrize("solver", ["onenet", "videoonet"])
@pytest.mark.usefixtures("short_starts")
def test_the_solver_is_the_network_in_the_common_loop(solver):
    truth = clip(4, 3, 18, 22, batch=(2,))
    problem = forward_model("pid", tuple(truth.shape), seed=7).measure(truth, seed=8)
    seen = []
    solution = solve(problem, solver, on_step=lambda step, state, residual: seen.append((step, residual)))
    network = load_network(solver)
    network.views = network.config.views
    torch.testing.assert_close(solution.x, network(problem))
    assert solution.steps == len(seen) == network.config.steps
    assert solution.status == "max_steps"
    double = solve(problem.to(dtype=torch.float64), solver).x
    torch.testing.assert_close(double.float(), solution.x, rtol=0, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("spec", ["sr4", "si", "denoise"])
def test_the_shipped_network_beats_what_it_starts_from(spec, channels):
    truth = clip(8, channels, 32, 32, batch=(1,))
    problem = forward_model(spec, tuple(truth.shape), seed=9).measure(truth, seed=10)
    start = smooth_start(problem, NormalSolver.of(problem.operator), (STILL,))[0]
    assert psnr(run(VideoOneNet(), problem).x, truth).item() > psnr(start, truth).item()


@pytest.mark.parametrize("config", [SMALL, paper_config("videoonet", True, 1, features=8, kernel=3, decoder=3)])
@pytest.mark.parametrize("given", ["y", "mask", "noise_std"])
def test_a_network_has_the_derivatives_of_all_that_it_is_given(config, given):
    r = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # a difference across the corner of a rectifier would be of another slope
        network = Unrolled(dataclasses.replace(config, channels=1)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=r))
    shape = (4, 1, 8, 8)
    y, mask = (torch.rand(shape, generator=r, dtype=torch.float64) for _ in range(2))
    at = {"y": y, "mask": mask + 0.5, "noise_std": torch.tensor(0.1, dtype=torch.float64)}

    def output(value):
        parts = {**at, given: value}
        return network(InverseProblem(Diagonal(parts["mask"], shape), parts["y"], parts["noise_std"])).square().sum()

    if given == "noise_std" and not config.noise_input:
        return
    point = at[given].clone().requires_grad_()
    direction = torch.randn(point.shape, generator=r, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(output(point), point)
    with torch.no_grad():
        difference = (output(at[given] + 1e-5 * direction) - output(at[given] - 1e-5 * direction)) / 2e-5
    torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wanted", [False, True])
def test_a_network_keeps_something_for_derivatives_only_where_they_are_wanted(wanted, monkeypatch):
    enabled, step = [], Unrolled.step

    def seen(network, problem, state):
        enabled.append(torch.is_grad_enabled())
        return step(network, problem, state)

    monkeypatch.setattr(Unrolled, "step", seen)
    problem = forward_model("sr2", (2, 3, 16, 16)).measure(clip(2, batch=()))
    x = run(VideoOneNet("videoonet-fast"), dataclasses.replace(problem, y=problem.y.requires_grad_(wanted))).x
    assert enabled == [wanted, wanted]
    assert x.requires_grad is wanted


def test_loading_and_running_draw_no_random_numbers():
    problem = forward_model("sr2", (2, 3, 16, 16)).measure(clip(2, batch=()))
    before = torch.get_rng_state()
    run(VideoOneNet(), problem)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kind", [OneNet, VideoOneNet])
def test_a_black_sample_has_a_gradient(kind):
    A = forward_model("pid", (2, 3, 16, 16)).operator
    y = A(clip(2, batch=(2,))) * torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1, 1)
    y.requires_grad_()
    found = unrolled(kind(), InverseProblem(A, y, 0.05), 2)
    assert torch.autograd.grad(found.sum(), y)[0].isfinite().all()
