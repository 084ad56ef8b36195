"""The paper's forms against a plain transcription with dense matrices, and the variants that its outlook names."""

import dataclasses

import paper_twin
import pytest
import torch

from linops_video import InverseProblem, NormalSolver, forward_model
from linops_video.batch import batch
from linops_video.errors import SpecError
from linops_video.solvers import Admm, run
from linops_video.solvers.learned.checkpoint import WEIGHTS, load_network, save_network, shipped
from linops_video.solvers.learned.form import Config, paper_config
from linops_video.solvers.learned.recipes import recipe
from linops_video.solvers.learned.unrolled import Unrolled
from linops_video.solvers.priors.denoiser import PlugAndPlay

SHAPE = (5, 1, 8, 8)
PROBLEMS = ("pid", "bi", "si", "sr2", "sr4", "cs", "vcs", "dd", "tdd", "md", "fi2", "fp50")


def videos(count: int) -> torch.Tensor:
    return torch.rand(count, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def problem_of_all_kinds(truth: torch.Tensor) -> InverseProblem:
    """One problem a sample, as the paper draws them."""
    problems = [
        forward_model(name, SHAPE, seed=i).to(dtype=torch.float64).measure(x, seed=i)
        for i, (name, x) in enumerate(zip(PROBLEMS, truth, strict=True))
    ]
    operator = batch([p.operator for p in problems])
    return InverseProblem(operator, operator.measurements([p.y for p in problems]))


def random_network(config: Config) -> Unrolled:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Unrolled(config).double()


@pytest.mark.parametrize("recurrent", [True, False], ids=["bcrnn", "cnn"])
@pytest.mark.parametrize("form", ["onenet", "videoonet"])
def test_the_papers_forms_are_its_algorithms(form, recurrent):
    """Its first four steps, of the thirteen that are alike."""
    config = dataclasses.replace(paper_config(form, recurrent, features=6, kernel=3, decoder=5), steps=4)
    network = random_network(config)
    problem = problem_of_all_kinds(videos(len(PROBLEMS)))
    models = [forward_model(name, SHAPE, seed=i).to(dtype=torch.float64) for i, name in enumerate(PROBLEMS)]
    matrices = [model.operator.to_dense(torch.float64) for model in models]
    measurements = [y.reshape(-1) for y in problem.y]
    assert config.rho is not None
    ready = paper_twin.inverses(matrices, config.rho)
    expected = paper_twin.reconstruct(
        network.state_dict(), form == "videoonet", 4, 0.3, matrices, measurements, ready, SHAPE
    )
    torch.testing.assert_close(network(problem), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("data", ["rotated-mnist", "scanned-cifar10", "ucf101"])
@pytest.mark.parametrize("solver", ["onenet-cnn", "onenet-bcrnn", "videoonet-cnn", "videoonet-bcrnn"])
def test_sizes_are_the_papers(solver, data):
    channels = 1 if data == "rotated-mnist" else 3
    config = recipe(solver, data, channels).network
    f, k, d = (64, 3, 11) if data == "rotated-mnist" else (256, 5, 7)
    expected = 0
    pairs = ((2, 1), (7, 2)) if config.form == "videoonet" else ((1, 1),)
    for inputs, outputs in pairs:
        expected += (inputs * channels * k * k + 1) * f + 2 * (f * k * k + 1) * f + 3 * 2
        recurrent = solver.endswith("bcrnn")
        expected += 2 * (2 * f * f * k * k + f) if recurrent else 0
        expected += outputs * channels * ((2 * f if recurrent else f) * d * d + 1)
    with torch.device("meta"):
        assert sum(p.numel() for p in Unrolled(config).parameters()) == expected
    assert (config.steps, config.rho, config.start, config.shared) == (13, 0.3, "pinv", True)
    assert (config.corrections, config.noise_input, config.consistent) == (False, False, False)


def test_fewer_steps_are_the_first_of_many():
    config = paper_config("onenet", recurrent=False, features=4, decoder=5)
    network = random_network(config)
    few = random_network(dataclasses.replace(config, steps=4))
    few.load_state_dict(network.state_dict())
    problem = forward_model("sr2", SHAPE).to(dtype=torch.float64).measure(videos(2))
    state = network.init(problem)
    for _ in range(4):
        state = network.step(problem, state)
    torch.testing.assert_close(few(problem), state.z)


@pytest.mark.parametrize("spec", PROBLEMS)
def test_a_gradient_step_is_one_on_the_objective_of_least_squares(spec):
    """From v = x + u, of length 1/(‖A‖² + ρ); least squares itself where AAᵀ is a multiple of the identity."""
    config = paper_config("onenet", recurrent=False, features=4, decoder=5)
    config = dataclasses.replace(config, data_step="gradient", steps=1)
    network, truth = random_network(config), videos(2)
    problem = forward_model(spec, SHAPE, seed=2).to(dtype=torch.float64).measure(truth, seed=2)
    exact = random_network(dataclasses.replace(config, data_step="exact"))
    exact.load_state_dict(network.state_dict())
    A = problem.operator.to_dense(torch.float64)
    y = problem.y.reshape(2, -1)
    v = network.project(NormalSolver.of(problem.operator).pinv(problem.y)).reshape(2, -1)
    square_norm = torch.linalg.matrix_norm(A, 2) ** 2
    expected = v - (v @ A.T - y) @ A / (square_norm + 0.3)
    found = network(problem)
    torch.testing.assert_close(found.reshape(2, -1), expected, rtol=0, atol=1e-10)
    AAT = A @ A.T
    if torch.allclose(AAT, AAT[0, 0] * torch.eye(len(A), dtype=A.dtype)):
        torch.testing.assert_close(found, exact(problem), rtol=0, atol=1e-10)
    else:
        assert spec in ("bi", "si", "pid", "cs", "vcs", "dd", "tdd", "md")

        def objective(z):
            z = z.reshape(2, -1)
            return ((z @ A.T - y) ** 2).sum(1) / 2 + 0.15 * ((z - v) ** 2).sum(1)

        assert bool((objective(exact(problem)) <= objective(found) + 1e-12).all())
        assert bool((objective(found) < objective(v)).all())


def test_without_least_squares_no_system_is_set_up(monkeypatch):
    config = dataclasses.replace(
        paper_config("videoonet", recurrent=False, features=4, decoder=5), data_step="gradient", start="adjoint"
    )
    network = random_network(config)
    problem = problem_of_all_kinds(videos(len(PROBLEMS)))
    monkeypatch.setattr(NormalSolver, "of", lambda A: pytest.fail("a system was set up"))
    monkeypatch.setattr(type(problem.operator), "_normal_solver", lambda A: pytest.fail("a system was set up"))
    assert network(problem).shape == (len(PROBLEMS), *SHAPE)
    network(problem).square().mean().backward()
    state = network.init(problem)
    z0 = problem.operator.T(problem.y) / problem.operator.norm().reshape(-1, 1, 1, 1, 1) ** 2
    torch.testing.assert_close(state.z, z0)


def test_onenet_as_first_published_is_admm_with_the_projector_as_its_prior():
    config = dataclasses.replace(recipe("onenet-projector", "rotated-mnist", 1).network, features=4, decoder=5)
    assert config.steps == 300
    network = random_network(config)
    network.requires_grad_(False)
    network.prior[0].decoder.weight.mul_(0.05)  # type: ignore[union-attr]  # so that ADMM converges: less rounding
    problem = forward_model("sr2", SHAPE).to(dtype=torch.float64).measure(videos(2))
    prior = PlugAndPlay(lambda x, sigma: network.project(x), frames=False)
    found = run(Admm(prior=prior, rho=0.3, max_steps=300, tol=0.0, relaxation=1.0), problem).x
    torch.testing.assert_close(network(problem), found, rtol=0, atol=1e-10)


def test_weights_by_the_name_of_a_data_set(tmp_path, monkeypatch):
    small = Config(steps=1, features=8, coarse=1, fine=1, channels=1)
    monkeypatch.setattr("linops_video.solvers.learned.checkpoint.WEIGHTS", tmp_path)
    save_network(tmp_path / "rotated-mnist.safetensors", Unrolled(small), {})
    assert load_network("rotated-mnist").config == small
    assert shipped() == ("rotated-mnist",)
    with pytest.raises(SpecError, match="shipped are rotated-mnist"):
        load_network("ucf101")


def test_files_from_before_the_data_step_was_a_choice_are_read(tmp_path, monkeypatch):
    """Their config has no such field: it takes its default."""
    fields = dataclasses.asdict(Config(steps=1, features=8))
    monkeypatch.setattr("linops_video.solvers.learned.checkpoint.asdict", lambda config: older)
    older = {name: value for name, value in fields.items() if name != "data_step"}
    save_network(tmp_path / "old.safetensors", Unrolled(Config(steps=1, features=8)), {})
    assert load_network(tmp_path / "old.safetensors").config == Config(steps=1, features=8)
    assert WEIGHTS.is_dir()
