"""The unrolled networks: the paper's pieces against their formulas, any problem and size."""

import dataclasses

import pytest
import torch
from torch.nn.functional import conv2d
from videos import clip

from linops_video import PROBLEMS, InverseProblem, Mosaic, NormalSolver, forward_model
from linops_video.errors import DtypeError, ShapeError, SpecError
from linops_video.metrics import psnr
from linops_video.solvers.baselines import BASELINES
from linops_video.solvers.learned.blocks import (
    Context,
    DataBlock,
    PriorBlock,
    TemporalMemory,
    bands_of,
    fold,
    frame_by_frame,
    inverse_haar,
    pad_frames,
)
from linops_video.solvers.learned.form import Config, paper_config
from linops_video.solvers.learned.paper import MinimalRNN, PaperNetwork, VideoNorm, smooth_elu
from linops_video.solvers.learned.unrolled import Unrolled

SMALL = Config(steps=2, features=8, coarse=1, fine=1)
FORMS = [
    SMALL,
    dataclasses.replace(SMALL, form="onenet", shared=True),
    *(
        dataclasses.replace(paper_config(form, recurrent, channels=3, features=6, decoder=7), steps=3)
        for form in ("onenet", "videoonet")
        for recurrent in (False, True)
    ),
    Config("videoonet", "recurrent", steps=2, features=6, start="smooth", decoder=5),
]


def build(config: Config, seed: int = 0) -> Unrolled:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Unrolled(config)


def awake(config: Config, seed: int = 0) -> Unrolled:
    """A network whose outputs are no longer zero."""
    network = build(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network


# --- the paper's pieces ---------------------------------------------------------------------------------------------


def test_video_norm_is_over_a_whole_sample_with_eps_1e_3():
    x = torch.randn(2, 3, 5, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    norm = VideoNorm().double()
    norm.gain.data.fill_(1.5)
    norm.bias.data.fill_(-0.2)
    for sample, result in zip(x, norm(x), strict=True):
        expected = 1.5 * (sample - sample.mean()) / (sample.var(correction=0) + 1e-3).sqrt() - 0.2
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


def test_activation_is_the_papers():
    x = torch.linspace(-5, 5, 21, dtype=torch.float64)
    expected = torch.log1p(torch.exp(2 * x + 2)) / 2 - 1
    torch.testing.assert_close(smooth_elu(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backward", [False, True])
def test_minimal_rnn_follows_its_recurrence(backward):
    torch.manual_seed(0)
    rnn = MinimalRNN(3, 3).double()
    v = torch.randn(2, 4, 3, 5, 6, dtype=torch.float64)
    own = slice(3, 6) if backward else slice(0, 3)
    result = rnn(v)[:, :, own]
    weights = rnn.state_dict()
    W, b = weights["input_gates.weight"][own], weights["input_gates.bias"][own]
    U = weights[f"state_gates.{int(backward)}.weight"]
    h = torch.zeros(2, 3, 5, 6, dtype=torch.float64)
    for t in (3, 2, 1, 0) if backward else range(4):
        g = torch.sigmoid(conv2d(v[:, t], W, b, padding=1) + conv2d(h, U, padding=1))
        h = (1 - g) * h + g * v[:, t]
        torch.testing.assert_close(result[:, t], h, rtol=0, atol=1e-12)


def test_the_recurrent_network_sees_all_frames_and_the_other_only_statistics_of_them():
    for recurrent in (True, False):
        torch.manual_seed(0)
        network = PaperNetwork(2, 1, 4, 3, 5, recurrent, zero=False).double()
        for norm in network.norms:
            norm.forward = lambda x: x  # without the statistics, which couple the frames in both forms
        video = torch.randn(1, 5, 2, 6, 6, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(network(video)[0, 2].sum(), video)
        reached = gradient[0].abs().amax(dim=(1, 2, 3)) > 0
        assert reached.tolist() == ([True] * 5 if recurrent else [False, False, True, False, False])


def test_paper_sizes():
    """Parameters of p: three convolutions, norms, two gated recurrences, one transposed convolution."""
    network = build(paper_config("videoonet", recurrent=True))
    f, k, d = 64, 9, 121
    encoder = (2 * k + 1) * f + 2 * (f * k + 1) * f + 3 * 2
    recurrence = 2 * (2 * f * f * k + f)
    p = encoder + recurrence + 2 * f * d + 1
    q = p + (7 - 2) * k * f + 2 * f * d + 1
    assert sum(t.numel() for t in network.parameters()) == p + q
    assert network.config.steps == 13
    assert network.config.rho == 0.3


def test_with_a_prior_that_returns_its_input_onenet_is_admm_without_a_prior():
    config = paper_config("onenet", recurrent=False, channels=3, features=4)
    network = build(config)
    network.prior[0].forward = lambda video: video
    problem = forward_model("pid", (2, 4, 3, 8, 8), seed=1).measure(clip(height=8, width=8), seed=2)
    normal, rho = NormalSolver.of(problem.operator), 0.3
    z, u = normal.pinv(problem.y), torch.zeros(2, 4, 3, 8, 8)
    for _ in range(13):
        x = z - u
        z = normal.prox(rho, x + u, problem.y)
        u = u + x - z
    torch.testing.assert_close(network(problem), z, rtol=0, atol=1e-6)


# --- our form -------------------------------------------------------------------------------------------------------


def test_fold_is_the_haar_transform_up_to_its_gains_and_has_an_inverse():
    x = torch.randn(6, 2, 6, 8, dtype=torch.float64)
    bands = fold(x)
    assert bands.shape == (6, 8, 3, 4)
    assert bands.is_contiguous(memory_format=torch.channels_last)
    gains = torch.tensor([0.5, 8, 8, 8], dtype=torch.float64).repeat(2).reshape(8, 1, 1)
    torch.testing.assert_close(inverse_haar(bands_of(bands / gains)), x, rtol=0, atol=1e-12)
    patterns = 0.5 * torch.tensor([[1.0, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], dtype=x.dtype)
    expected = conv2d(x.reshape(-1, 1, 6, 8), patterns.reshape(4, 1, 2, 2), stride=2).reshape(6, 8, 3, 4)
    torch.testing.assert_close(bands / gains, expected, rtol=0, atol=1e-12)


def test_frames_and_rows_taken_a_few_at_a_time_without_derivatives_give_the_same():
    """Sizes of which every stage takes several parts."""
    torch.manual_seed(0)
    video, candidate = torch.randn(2, 2, 5, 3, 240, 240, dtype=torch.float64)
    context, prior, data = Context(3, 4).double(), PriorBlock(3, 3, 1, 4, 1, 1).double(), DataBlock(3, 6, 4).double()
    with torch.no_grad():
        for layer in (prior.memory.out, prior.head, data.head):  # zero before training
            torch.nn.init.normal_(layer.weight)

    def answers() -> list[torch.Tensor]:
        features = context([video], torch.tensor([0.1, 0.2], dtype=torch.float64))
        correction, features = prior([video], [candidate], features)
        return [correction, features, data([video], features)]

    whole = answers()
    with torch.no_grad():
        parts = answers()
    for a, b in zip(whole, parts, strict=True):
        assert a.requires_grad
        assert not b.requires_grad
        torch.testing.assert_close(b, a, rtol=0, atol=1e-12)


def test_only_without_derivatives_are_large_frames_taken_one_after_the_other():
    taken = []

    def function(frames: torch.Tensor) -> torch.Tensor:
        taken.append(len(frames))
        return 2 * frames

    frames = torch.rand(3, 3, 320, 320)
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            assert torch.equal(frame_by_frame(function, frames), 2 * frames)
    assert taken == [3, 1, 1, 1]


def test_temporal_memory_reaches_every_frame_both_ways():
    torch.manual_seed(0)
    memory = TemporalMemory(4).double()
    x = torch.randn(7, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(memory(x, 7), x)  # zero before training
    torch.nn.init.normal_(memory.out.weight)
    for frame in (0, 6):
        (gradient,) = torch.autograd.grad(memory(x, 7)[frame].sum(), x)
        assert bool((gradient.abs().amax(dim=(1, 2, 3)) > 0).all())


def test_blocks_do_not_care_which_sample_or_frame_size_they_see():
    torch.manual_seed(0)
    block = PriorBlock(2, 1, 2, 8, 1, 1).double()
    torch.nn.init.normal_(block.head.weight, std=0.1)
    videos = torch.randn(4, 2, 3, 1, 8, 12, dtype=torch.float64)
    features = torch.randn(6, 8, 4, 6, dtype=torch.float64)
    together, _ = block(videos[:2], videos[2:], features)
    alone, _ = block(videos[:2, 1:], videos[2:, 1:], features[3:])
    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-12)


def test_a_block_can_go_to_a_candidate():
    """Lengths of 1 in all bands, which the bias of the head can give, are the whole way."""
    block = PriorBlock(2, 1, 2, 8, 1, 1).double()
    assert block.head.bias is not None
    with torch.no_grad():
        block.head.bias[4 + 4 :] = 1.0
    videos = torch.randn(4, 2, 3, 1, 8, 12, dtype=torch.float64)
    output, _ = block(videos[:2], videos[2:], torch.zeros(6, 8, 4, 6, dtype=torch.float64))
    torch.testing.assert_close(videos[0] + output, videos[3], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(15, 18), (16, 16), (17, 21)])
def test_frames_are_padded_to_multiples_of_four(size):
    padded = pad_frames(torch.rand(1, 2, 3, *size))
    assert padded.shape[-2] % 4 == 0
    assert padded.shape[-1] % 4 == 0
    assert padded.shape[-1] - size[1] < 4


@pytest.mark.parametrize("spec", ["fi2", "fi4", "fp50", "color"])
def test_an_untrained_network_is_about_as_good_as_the_baseline(spec):
    """Frames interpolated in time at one place or held, and gray: the limits that the start contains."""
    truth = clip(8, 3, 16, 16, batch=(1,)) * torch.linspace(0.9, 1, 3).reshape(3, 1, 1)
    problem = forward_model(spec, (8, 3, 16, 16)).measure(truth)
    ours = psnr(build(SMALL)(problem), truth).mean()
    limits = [baseline for name, baseline in BASELINES[spec].items() if name != "motion"]
    best = max(psnr(baseline(problem), truth).mean() for baseline in limits)
    assert ours > best - 1.5


@pytest.mark.parametrize("config", FORMS, ids=lambda c: f"{c.form}-{c.blocks}-{c.start}")
@pytest.mark.parametrize("spec", ["pid", "sr2", "vcs", "fi2", "color", "dd"])
def test_every_form_takes_every_problem_and_trains(config, spec):
    network = awake(config)
    truth = clip(4, 3, 10, 12)
    model = forward_model(spec, tuple(truth.shape), seed=3)
    problem = model.measure(truth, seed=4)
    x = network(problem)
    assert x.shape == truth.shape
    assert bool(torch.isfinite(x).all())
    ((x - truth) ** 2).mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None]
    assert set(without) <= {"spread"} | {f"data.{config.steps - 1}.{n}" for n, _ in network.data.named_parameters()}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("config", FORMS[:3], ids=lambda c: f"{c.form}-{c.blocks}")
def test_one_and_three_channels_odd_sizes_one_frame(config, channels):
    network = awake(dataclasses.replace(config, channels=channels))
    for frames, height, width in ((1, 9, 7), (5, 8, 8), (3, 14, 14)):
        truth = clip(frames, channels, height, width)
        problem = forward_model("si", tuple(truth.shape)).measure(truth)
        assert network(problem).shape == truth.shape


@pytest.mark.parametrize("config", FORMS[2:], ids=lambda c: f"{c.form}-{c.blocks}-{c.start}")
@pytest.mark.parametrize("spec", ["sr2", "fi2", "block(0.4)"])
def test_a_gray_video_is_one_of_equal_channels(config, spec):
    """On three equal channels, with what every network gives replaced by its mean over them."""

    def mean(_, inputs, output):
        return output.unflatten(-3, (-1, 3)).mean(-3, keepdim=True).expand(-1, -1, -1, 3, -1, -1).flatten(-4, -3)

    gray = clip(4, 1, 8, 8, dtype=torch.float64)
    colour = gray.expand(2, 4, 3, 8, 8).contiguous()
    one, three = (forward_model(spec, tuple(video.shape[1:])).measure(video) for video in (gray, colour))
    network = awake(config).double()
    found = network(one)
    for part in (*network.prior, *network.data):
        part.register_forward_hook(mean)
    torch.testing.assert_close(found.expand_as(colour), network(three), rtol=0, atol=1e-10)


@pytest.mark.parametrize("spec", [name for name in PROBLEMS if PROBLEMS[name].noise_std == 0])
def test_without_noise_the_last_step_fits_the_measurement(spec):
    truth = clip(4, 3, 12, 12, batch=(), dtype=torch.float64)
    problem = forward_model(spec, tuple(truth.shape)).to(dtype=torch.float64).measure(truth)
    x = awake(SMALL).double()(problem)
    misfit = (problem.operator(x) - problem.y).abs().max()
    assert misfit < 1e-8


def test_batch_axes_are_samples_of_their_own():
    truth = torch.stack([clip(batch=()), clip(batch=()).flip(-1)]).reshape(2, 1, 4, 3, 16, 16)
    network = awake(SMALL)
    problem = forward_model("pid", tuple(truth.shape), seed=5).measure(truth, seed=6)
    both = network(problem)
    assert both.shape == truth.shape
    noise = torch.tensor([[0.1], [0.0]])
    mixed = network(InverseProblem(problem.operator, problem.y, noise))
    torch.testing.assert_close(mixed[0], both[0], rtol=0, atol=1e-5)
    kept = problem.operator(torch.ones_like(truth))[1] > 0
    torch.testing.assert_close(mixed[1][kept], problem.y[1][kept], rtol=0, atol=1e-5)


@pytest.mark.parametrize("spec", ["pid", "sr2", "cs", "vcs", "fp50", "dd"])
def test_a_scan_is_restored_as_the_frame_that_it_was_cut_from(spec):
    """A network with a mosaic, on four windows, is the one without on their large frame and the operator behind it."""
    torch.manual_seed(0)
    scans = Unrolled(Config(features=8, mosaic=((0, 3), (1, 2)))).double()
    for parameter in scans.parameters():
        parameter.data.add_(0.02 * torch.randn(parameter.shape))
    frames = Unrolled(Config(features=8)).double()
    frames.load_state_dict(scans.state_dict())
    lay_out = Mosaic(((0, 3), (1, 2)), (4, 3, 8, 8))
    problem = forward_model(spec, (4, 3, 8, 8)).to(dtype=torch.float64).measure(torch.rand(2, 4, 3, 8, 8).double())
    large = dataclasses.replace(problem, operator=problem.operator @ lay_out.H)
    torch.testing.assert_close(lay_out(scans(problem)), frames(large), rtol=0, atol=1e-8)


def test_what_a_network_cannot_take_is_said():
    network = build(SMALL)
    with pytest.raises(ShapeError, match=r"C = 3.*admm-tv"):
        network(forward_model("sr2", (4, 2, 8, 8)).measure(clip(4, 2, 8, 8)))
    with pytest.raises(ShapeError, match="C = 1"):
        build(dataclasses.replace(SMALL, channels=1))(forward_model("sr2", (4, 3, 8, 8)).measure(clip(4, 3, 8, 8)))
    with pytest.raises(SpecError, match="one of multiscale"):
        Config(blocks="resnet")
    with pytest.raises(SpecError, match="odd"):
        Config(blocks="recurrent", kernel=4)
    with pytest.raises(SpecError, match="kernel and decoder must be 1 or more"):
        Config(blocks="recurrent", kernel=-1)
    with pytest.raises(SpecError, match="rho must be a positive number, or None, got 0"):
        Config(rho=0.0)
    with pytest.raises(SpecError, match="multiscale"):
        Config(corrections=False)
    complex_y = InverseProblem(forward_model("fi2", (4, 3, 8, 8)).operator, torch.zeros(2, 3, 8, 8) + 0j)
    with pytest.raises(DtypeError, match="real"):
        network(complex_y)
