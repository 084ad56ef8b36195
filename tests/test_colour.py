"""Colours of videos of which only the luma was measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from videos import film_clip

from linops_video import collate, compose, forward_model
from linops_video.errors import SpecError
from linops_video.solvers import VideoOneNet, run
from linops_video.solvers.learned.checkpoint import load_network, save_network
from linops_video.solvers.learned.colour import FAINT, ColourNetwork, colour_differences, luma, without_colours
from linops_video.solvers.learned.config import TrainConfig
from linops_video.solvers.learned.data import Crops
from linops_video.solvers.learned.form import Config
from linops_video.solvers.learned.train import train
from linops_video.solvers.learned.unrolled import Unrolled
from linops_video.solvers.tiles import cut_in_tiles, run_in_tiles

SMALL = Config(steps=2, features=4, coarse=1, colour=(4, 8))
SHAPE = (4, 3, 16, 16)


def painted(network: Unrolled) -> Unrolled:
    """With a network of colours that says something."""
    assert network.colour is not None
    head = network.colour.head
    assert isinstance(head, nn.Conv2d)
    assert head.bias is not None
    with torch.no_grad():
        head.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
        head.bias[0], head.bias[4] = 2.0, -1.0
    return network


@pytest.fixture
def network() -> Unrolled:
    torch.manual_seed(0)
    return painted(Unrolled(SMALL))


@pytest.fixture
def truth() -> Tensor:
    return torch.rand(*SHAPE, generator=torch.Generator().manual_seed(2))


def test_colour_differences_are_all_that_has_no_luma() -> None:
    basis = colour_differences(torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(basis @ basis.T, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-15)
    assert luma(basis[..., None, None]).abs().max() < 1e-15
    assert luma(torch.ones(3, 2, 2, dtype=torch.float64)).sub(1).abs().max() < 1e-15


@pytest.mark.parametrize("size", [(16, 16), (7, 30), (130, 70)])
def test_frames_of_any_size_get_colours_and_keep_their_luma(size: tuple[int, int]) -> None:
    network = painted(Unrolled(SMALL)).double()
    gray = torch.rand(2, 3, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    colours = network.colours(gray)
    assert colours.shape == (2, 3, 3, *size)
    assert colours.square().mean() > 1e-3
    assert luma(colours).abs().max() < 1e-14
    for t in range(3):  # each frame by itself
        torch.testing.assert_close(network.colours(gray[:, t : t + 1])[:, 0], colours[:, t])
    torch.testing.assert_close(network.colours(gray.flip(-1)), colours.flip(-1))


def test_colours_are_looked_for_on_reduced_frames() -> None:
    """A frame that is enlarged gets the colours of the small one."""
    network = painted(Unrolled(SMALL))
    line = torch.linspace(0, 1, 256)
    gray = (0.5 + 0.2 * torch.sin(6 * line)[:, None] * torch.cos(5 * line)).expand(1, 1, 1, -1, -1)
    small = nn.functional.avg_pool2d(gray[0], 4)[None]
    enlarged = nn.functional.interpolate(network.colours(small)[0], scale_factor=4, mode="bilinear")[None]
    assert (network.colours(gray) - enlarged).square().mean() < 1e-3 * enlarged.square().mean()


def test_blocks_that_add_nothing_change_nothing() -> None:
    torch.manual_seed(0)
    one, three = ColourNetwork((4, 6, 8)), ColourNetwork((4, 6, 8), blocks=3)
    for value in one.head.parameters():
        nn.init.normal_(value)
    values = {
        f"{part}.{3 * int(number)}.{rest}" if part in ("encoder", "decoder") else name: value
        for name, value in one.state_dict().items()
        for part, number, rest in [(name.split(".", 2) + [""])[:3]]
    }
    added = {name: torch.zeros_like(value) for name, value in three.state_dict().items() if name not in values}
    assert len(added) == 2 * 2 * 2 * 4  # two parts, two finer scales, two new blocks, two convolutions with biases
    three.load_state_dict(values | added)
    gray = torch.rand(1, 2, 1, 20, 28)
    assert torch.equal(three(gray), one(gray))
    assert one(gray).abs().max() > 0.01


def test_what_tells_nothing_of_colours_is_found() -> None:
    told = {"color": True, "sr(2) @ grayscale": True, "denoise": False, "bayer(rggb)": False, "sr2": False}
    models = {spec: forward_model(spec, SHAPE, seed=1) for spec in told}
    for spec, model in models.items():
        found = without_colours(model.operator, torch.zeros(()))
        assert found.shape == model.operator.batch_shape
        assert bool(found) is told[spec], spec
    differences = forward_model("difference(t)", SHAPE).operator
    assert not without_colours(differences, torch.zeros(()))  # of constant colours it would tell nothing
    assert without_colours(compose(differences, models["color"].operator.T @ models["color"].operator), torch.zeros(()))


def test_only_videos_without_colours_get_new_ones(network: Unrolled, truth: Tensor) -> None:
    plain = Unrolled(dataclasses.replace(SMALL, colour=()))
    plain.load_state_dict({name: value for name, value in network.state_dict().items() if "colour" not in name})
    problems = [forward_model(spec, SHAPE, seed=1).measure(truth, seed=1) for spec in ("color", "sr2", "pid")]
    got, expected = ([net(problem) for problem in problems] for net in (network, plain))
    assert not torch.equal(got[0], expected[0])
    torch.testing.assert_close(got[0], luma(expected[0]) + network.colours(luma(expected[0])[None])[0])
    torch.testing.assert_close(problems[0].operator(got[0]), problems[0].y)
    for a, b in zip(got[1:], expected[1:], strict=True):
        assert torch.equal(a, b)
    together = network(collate(problems))
    torch.testing.assert_close(together, torch.stack(got), rtol=0, atol=1e-5)


def test_tiles_have_the_colours_of_the_whole_frame(network: Unrolled, tmp_path: Path, monkeypatch) -> None:
    save_network(tmp_path / "network.safetensors", network, {})
    solver = VideoOneNet(str(tmp_path / "network.safetensors"))
    truth = film_clip(2, 48, 90)
    problem = forward_model("color", tuple(truth.shape)).measure(truth)
    whole = run(solver, problem).x
    monkeypatch.setattr("linops_video.solvers.tiles.TILE", (48, 56))
    monkeypatch.setattr("linops_video.solvers.tiles.MARGIN", 16)
    assert len(cut_in_tiles(solver, problem)) == 2
    tiled = run_in_tiles(solver, problem).x
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-4)
    assert (whole - luma(whole)).abs().mean() > 1e-2


def test_gray_videos_stay_gray(network: Unrolled, truth: Tensor) -> None:
    gray = truth[:, :1]
    problem = forward_model("color", tuple(gray.shape)).measure(gray)
    torch.testing.assert_close(network(problem), gray, rtol=0, atol=1e-5)


def test_a_video_whose_colours_are_faint_is_taken_for_gray(network: Unrolled, monkeypatch: pytest.MonkeyPatch) -> None:
    gray = torch.rand(2, 3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    gray[1] *= 0.1
    network.requires_grad_(False)
    colours = network.colours(gray)
    strengths = colours.square().mean((1, 2, 3, 4)).sqrt()
    assert strengths.min() > FAINT
    monkeypatch.setattr("linops_video.solvers.learned.colour.FAINT", float(strengths.mean()))
    fainter = strengths < strengths.mean()
    assert fainter.sum() == 1
    kept = network.colours(gray)
    assert kept[fainter].abs().max() == 0
    assert torch.equal(kept[~fainter], colours[~fainter])


def test_scans_are_coloured_as_the_image_that_they_are_cut_from(truth: Tensor) -> None:
    torch.manual_seed(0)
    scan = painted(Unrolled(dataclasses.replace(SMALL, mosaic=((0, 1), (2, 3)))))
    gray = luma(truth)
    rows = [torch.cat([gray[a], gray[b]], -1) for a, b in ((0, 1), (2, 3))]
    whole = scan.paint(torch.cat(rows, -2)[None, None])
    mirrored = scan.paint(torch.cat(rows, -2)[None, None].flip(-1)).flip(-1)
    expected = ((whole + mirrored) / 2)[0, 0]
    parts = [expected[:, i : i + 16, j : j + 16] for i in (0, 16) for j in (0, 16)]
    torch.testing.assert_close(scan.colours(gray[None])[0], torch.stack(parts))


def test_colours_are_trained_alone(tmp_path: Path) -> None:
    """Bright is red, dark is blue."""
    gray = torch.rand(8, 1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    gray = nn.functional.interpolate(gray.flatten(0, 1), (32, 32), mode="bilinear").unflatten(0, (8, 1))
    red = torch.tensor([0.2, -0.05, -0.2])[:, None, None]
    videos = (255 * (0.25 + 0.5 * gray + (gray - 0.5) * red)).round().byte()
    config = TrainConfig(
        network=dataclasses.replace(SMALL, colour=(8, 8)),
        objective="colour",
        problems={"color": 1.0},
        frames=(1,),
        samples=4,
        steps=60,
        learning_rate=1e-2,
        average=0.9,
        validate_every=60,
    )
    held_out = videos.float() / 255
    train(config, Crops((videos,), (1.0,), 32), held_out, tmp_path)
    trained = load_network(tmp_path / "network.safetensors")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        untrained = Unrolled(config.network)
    gray = luma(held_out)
    before, after = ((gray + n.colours(gray) - held_out).square().mean() for n in (untrained, trained))
    assert after < before / 5
    for name, value in untrained.state_dict().items():
        if not name.startswith("colour."):
            torch.testing.assert_close(trained.state_dict()[name], value.half().float())


def test_crops_to_learn_colours_from_are_upright() -> None:
    falling = torch.linspace(250, 5, 64).byte()[None, None, None, :, None].expand(3, 1, 3, 64, 64)
    crops, generator = Crops((falling,), (1.0,), 32), torch.Generator().manual_seed(0)
    drawn = [crops.scenes(8, 1, generator) for _ in range(20)]
    assert {tuple(scenes.shape) for scenes in drawn} == {(8, 1, 3, 32, 32), (2, 1, 3, 64, 64)}
    assert all((scenes.diff(dim=-2) <= 0).all() for scenes in drawn)


@pytest.mark.parametrize("fields", [{"channels": 1}, {"blocks": "recurrent"}, {"colour": (0, 4)}])
def test_colours_want_three_channels(fields: dict) -> None:
    with pytest.raises(SpecError, match="colour is for multiscale blocks and 3 channels"):
        dataclasses.replace(SMALL, **fields)


@pytest.mark.parametrize("fields", [{"colour_blocks": 0}, {"colour_blocks": 2, "colour": ()}])
def test_blocks_are_those_of_a_network_of_colours(fields: dict) -> None:
    with pytest.raises(SpecError, match="colour_blocks is 1 or more"):
        dataclasses.replace(SMALL, **fields)


def test_training_of_colours_wants_a_network_of_them() -> None:
    with pytest.raises(SpecError, match='objective "colour" is for networks'):
        TrainConfig(objective="colour")


def test_an_untrained_network_says_gray() -> None:
    assert ColourNetwork((4, 8))(torch.rand(1, 2, 1, 12, 20)).abs().max() == 0
