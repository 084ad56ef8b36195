"""ADMM unrolled into a network: prior step p, exact data step, dual update, and for VideoOneNet a data network q.

    x ← p(z, u)    z, u ← data and dual step of ADMM    z, u ← q(x, z₀, Aᵀy, z_old, z, u_old, u)

Source: Milacski, Póczos, Lőrincz, VideoOneNet, ICML 2020, algorithms 3 and 4. The data and the dual step are those of
`linops_video.solvers.admm`: exact, for any operator that `NormalSolver` takes, without an n×n matrix.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from linops_video import InverseProblem, LinearOperator, Mosaic, NormalSolver, compose
from linops_video.algebra.parameters import per_sample
from linops_video.batch import Ragged
from linops_video.errors import DtypeError, ShapeError, SpecError
from linops_video.solvers.admm import data_step, mean
from linops_video.solvers.learned.blocks import Context, DataBlock, PriorBlock, pad_frames
from linops_video.solvers.learned.colour import ColourNetwork, luma, without_colours
from linops_video.solvers.learned.form import Config
from linops_video.solvers.learned.paper import PaperNetwork
from linops_video.solvers.learned.start import FROZEN, MOVING, STILL, smooth_start, total_variation_start
from linops_video.solvers.motion.means import PASSES, Paths
from linops_video.solvers.motion.missing import along_motion, measured_frames
from linops_video.solvers.objective import check_on_videos

NOISE_FLOOR = 1e-3
"""Noise level below which ρ no longer falls: the data step of a noise-free problem is then nearly a projection."""

CANDIDATES = 3
"""Videos that the prior step may move towards: two Gaussian priors and total variation."""

VIEWS: tuple[tuple[int, ...], ...] = ((), (-2, -1), (-1,), (-2,))
"""Axes that are reversed in each view of a video: as it is, turned by 180°, mirrored, upside down."""

MOTION_SHARE = 0.8
"""Of what the motion says of a missing frame; the rest is the network's. On validation clips better than either."""

SPREAD_RATE = 20.0
"""log s_k is stored divided by this, so that Adam moves it 20 times as fast as a weight."""


@dataclass(frozen=True, eq=False)
class UnrolledState:
    """The iterates of ADMM and what the networks see besides them.

    Attributes:
        normal: the data step's solver; None where no system is solved.
        z: the data variable, which is the reconstruction; shape (*batch, T, C, H, W).
        u: the scaled dual variable, same shape.
        step: how many steps are done.
        noise_std: σ of each sample, shape `batch_shape`.
        pinv, adjoint: z₀, which is A⁺ y unless the start is "adjoint", and Aᵀ y, shape (*batch, T, C, H, W).
        square_norm: ‖A‖² of each sample, for gradient steps.
        candidates: what other priors find likely, `CANDIDATES` videos (*batch, T, C, H, W), or none.
        features: what the prior hands on from step to step: (*batch, T, F, H/2, W/2) for each view, or none. They are
            most of what is held, so that a step without derivatives takes them out of the state that it goes on from.
    """

    normal: NormalSolver | None
    z: Tensor
    u: Tensor
    step: int
    noise_std: Tensor
    pinv: Tensor
    adjoint: Tensor
    square_norm: Tensor | None = None
    candidates: tuple[Tensor, ...] = ()
    features: list[Tensor] = field(default_factory=list)

    @property
    def estimate(self) -> Tensor:
        return self.z


class Unrolled(nn.Module):
    """A network with the steps of ADMM, made from its `Config`; `forward(problem)` gives the video.

    Example:
        >>> from linops_video import forward_model
        >>> network = Unrolled(Config(steps=2, features=8))
        >>> problem = forward_model("sr4", (8, 3, 32, 32)).measure(torch.rand(8, 3, 32, 32))
        >>> network(problem).shape
        torch.Size([8, 3, 32, 32])
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.network_dtype: torch.dtype | None = None  # precision of the networks alone, if it is to be lower
        self.checkpointing = False  # keep no activations of a step for the gradient, compute them again
        self.views = 1  # so many of VIEWS are seen, and the mean of what is said of them is taken
        self.frozen = 0  # so many of the first steps, and what comes before them, are not differentiated
        self.context = Context(7 * config.channels, config.features) if config.blocks == "multiscale" else None
        copies = 1 if config.shared else config.steps
        two = 2 if config.form == "videoonet" else 1
        self.prior = nn.ModuleList(self._prior_network(two, self._follows(k)) for k in range(copies))
        self.data = nn.ModuleList(self._data_network() for _ in range(copies if two == 2 else 0))
        self.colour = ColourNetwork(config.colour, config.colour_blocks) if config.colour else None
        # log s and its slope in log σ, for the data step of each step and for the last one
        spread = torch.tensor([[math.log(0.05) / SPREAD_RATE, 0.0]]).repeat(config.steps + 1, 1)
        self.spread = nn.Parameter(spread) if config.rho is None else None

    def _follows(self, step: int) -> bool:
        """Whether the prior of this step (from 0) is told the mean along the motion."""
        return step >= self.config.steps - self.config.motion

    def _prior_network(self, videos: int, follows: bool) -> nn.Module:
        c, more = self.config, int(follows)
        if c.blocks == "multiscale":
            inputs, candidates = (videos + more) * c.channels, CANDIDATES + more
            return PriorBlock(inputs, c.channels, candidates, c.features, c.coarse, c.fine)
        return self._paper_network(videos, 1)

    def _data_network(self) -> nn.Module:
        c = self.config
        if c.blocks == "multiscale":
            return DataBlock(7 * c.channels, 2 * c.channels, c.features)
        return self._paper_network(7, 2)

    def _paper_network(self, videos: int, outputs: int) -> PaperNetwork:
        c = self.config
        return PaperNetwork(
            videos * c.channels + int(c.noise_input),
            outputs * c.channels,
            c.features,
            c.kernel,
            c.decoder,
            c.blocks == "recurrent",
            c.corrections,
        )

    def rho(self, step: int, noise_std: Tensor) -> Tensor | float:
        """ρ of the data step number `step` (from 0), of each sample."""
        if self.config.rho is not None:
            return self.config.rho
        assert self.spread is not None
        variance = noise_std**2 + NOISE_FLOOR**2
        log_spread = self.spread[step, 0] + self.spread[step, 1] * (variance.log() / 2 + 5)
        return variance * torch.exp(-2 * SPREAD_RATE * log_spread)

    def init(self, problem: InverseProblem, normal: NormalSolver | None = None) -> UnrolledState:
        """The state to start from.

        A network of colour takes gray videos as colour ones with equal channels, and gives the means of its own.

        Raises:
            ShapeError: if the operator does not act on videos (T, C, H, W) with the C of this network, or 1.
            DtypeError: if the measurement is complex.
        """
        A, y, c = problem.operator, problem.y, self.config
        check_on_videos(problem)
        if A.in_shape[1] not in (1, c.channels):
            raise ShapeError(
                f"this network is for videos (T, C, H, W) with C = {c.channels}, the operator is for {A.in_shape}: "
                "take admm-tv, which is for videos of any, or weights that were trained for this C"
            )
        if c.mosaic and A.in_shape[0] != sum(map(len, c.mosaic)):
            raise ShapeError(
                f"this network is for scans of {sum(map(len, c.mosaic))} frames, laid out as {c.mosaic}, "
                f"the operator is for {A.in_shape[0]}: take other weights"
            )
        if y.is_complex():
            raise DtypeError(f"the learned solvers take real measurements, got {y.dtype}")
        if normal is None and self.solves:
            normal = problem.normal
        noise_std = torch.as_tensor(problem.noise_std, device=y.device, dtype=y.dtype).expand(problem.batch_shape)
        with derivatives_of(problem):
            adjoint = A.T(y)
            square_norm = None
            if c.data_step == "gradient" or c.start == "adjoint":
                square_norm = A.norm().square().to(y.device, y.dtype).expand(problem.batch_shape)
            if c.start == "adjoint":
                assert square_norm is not None
                z = adjoint / per_sample(square_norm, 4)
                return UnrolledState(normal, z, torch.zeros_like(z), 0, noise_std, z, adjoint, square_norm)
            assert normal is not None
            pinv = normal.pinv(y)
            if c.blocks != "multiscale":
                z = pinv if c.start == "pinv" else smooth_start(problem, normal, (STILL,))[0]
                return UnrolledState(normal, z, torch.zeros_like(z), 0, noise_std, pinv, adjoint, square_norm)
            still, moving, frozen, sharp = self._starts(problem, normal)
            coverage = A.T(A(still.new_ones(*A.batch_shape, *A.in_shape))).expand(still.shape)
            # bounded, so that ill-conditioned and random problems stay in the range of the features
            pinv, adjoint = pinv.clamp(-1, 2), adjoint.clamp(-2, 2)
            fixed = still, moving - still, pinv, adjoint, coverage.clamp(-2, 2), frozen - still, sharp - still
        assert self.context is not None
        seen, level = [pad_frames(self._seen(video)) for video in fixed], noise_std.reshape(-1)
        with self._precision(y):
            features = (self.context(seen, level, axes) for axes in VIEWS[: self.views])
            batch = self._laid_out(still).shape[:-3]
            features = [view.unflatten(0, batch) for view in features]
        u = torch.zeros_like(still)
        return UnrolledState(
            normal, still, u, 0, noise_std, pinv, adjoint, square_norm, (moving, frozen, sharp), features
        )

    def step(self, problem: InverseProblem, state: UnrolledState) -> UnrolledState:
        """One step of ADMM with its networks; the last one ends with the step that makes z consistent with y.

        Raises:
            SpecError: if the features of the state have gone into another step from it.
        """
        c, k = self.config, state.step
        features = list(state.features)
        if self.context is not None and not features:
            raise SpecError("a step without derivatives uses up the state it goes on from: take the state that it gave")
        if not torch.is_grad_enabled():
            state.features.clear()
        network = 0 if c.shared else k
        z = self._make_consistent(state, state.z, problem.y) if self._follows(k) else state.z
        x = self._prior_step(self.prior[network], problem, state, z, features)
        z_new, u_new = self._data_step(problem, state, x)
        if c.form == "videoonet":
            seen = (x, state.pinv, state.adjoint, z, z_new, state.u, u_new)
            change_z, change_u = self._run(self.data[network], seen, features, state.noise_std).chunk(2, dim=-3)
            z_new, u_new = (z_new + change_z, u_new + change_u) if c.corrections else (change_z, change_u)
        if k + 1 == c.steps:
            features, z_new = [], self._finished(problem, state, z_new)
        return dataclasses.replace(state, z=z_new, u=u_new, step=k + 1, features=features)

    def _prior_step(
        self, network: nn.Module, problem: InverseProblem, state: UnrolledState, z: Tensor, features: list[Tensor]
    ) -> Tensor:
        """x ← p(z, u), or p(z − u) for onenet, with the mean of z along its motion from the step on that follows it."""
        more = (self._along_motion(problem, state, z),) if self._follows(state.step) else ()
        videos = (z, state.u) if self.config.form == "videoonet" else (z - state.u,)
        seen = (*videos, *(a - videos[0] for a in more))
        output = self._run(network, seen, features, state.noise_std, (*state.candidates, *more))
        return videos[0] + output if self.config.corrections else output

    def _finished(self, problem: InverseProblem, state: UnrolledState, z: Tensor) -> Tensor:
        """After the last step: z consistent with y, frames without measurements along the motion, and colours."""
        if self.config.consistent:
            z = self._make_consistent(state, z, problem.y)
        if self.config.motion:
            z = along_motion(problem.operator, z, MOTION_SHARE)
        return self.coloured(problem.operator, z) if self.config.colour else z

    def forward(self, problem: InverseProblem, normal: NormalSolver | None = None) -> Tensor:
        """The reconstruction, shape (*batch, T, C, H, W); `normal`: that of the operator, if it is known."""
        wanted = torch.is_grad_enabled()
        with torch.set_grad_enabled(wanted and not self.frozen):
            state = self.init(problem, normal)
        for k in range(self.config.steps):
            with torch.set_grad_enabled(wanted and k >= self.frozen):
                if self.checkpointing and torch.is_grad_enabled():
                    state = checkpoint(self.step, problem, state, use_reentrant=False, preserve_rng_state=False)
                else:
                    state = self.step(problem, state)
        return state.z

    def project(self, video: Tensor) -> Tensor:
        """The first prior alone, of a onenet with the paper's blocks: (B, T, C, H, W) -> the same."""
        with self._precision(video):
            return self.prior[0](video).to(video.dtype)

    def paint(self, gray: Tensor) -> Tensor:
        """The network of colours alone, on frames as they are: luma (B, T, 1, H, W) -> differences (B, T, 3, H, W)."""
        assert self.colour is not None
        with self._precision(gray):
            return self.colour(gray).to(gray.dtype)

    def colours(self, gray: Tensor) -> Tensor:
        """Colour differences (B, T, 3, H, W) that the network of colours gives to a luma (B, T, 1, H, W)."""
        assert self.colour is not None
        with self._precision(gray):
            colours = self.colour.of_scenes(self._laid_out(gray)).to(gray.dtype)
        if self.config.mosaic:
            colours = Mosaic(self.config.mosaic, (gray.shape[-4], 3, *gray.shape[-2:])).H(colours)
        return colours

    def coloured(self, A: LinearOperator, video: Tensor) -> Tensor:
        """A video (*batch, T, C, H, W) with new colours for the samples of which A tells none; C = 1 stays gray."""
        if video.shape[-3] == 1 or not (unknown := without_colours(A, video).expand(video.shape[:-4])).any():
            return video
        gray = luma(video)
        return torch.where(per_sample(unknown, 4), gray + self.colours(_one_batch(gray)).reshape(video.shape), video)

    @property
    def solves(self) -> bool:
        """Whether systems are solved, so that a `NormalSolver` is needed."""
        c = self.config
        return c.data_step == "exact" or c.start != "adjoint" or c.consistent

    def _starts(self, problem: InverseProblem, normal: NormalSolver) -> tuple[Tensor, ...]:
        """The most likely videos under three smoothness priors, and under total variation; of a scan as one frame."""
        A, cut = problem.operator, None
        if self.config.mosaic:
            cut = Mosaic(self.config.mosaic, A.in_shape).H
            problem = dataclasses.replace(problem, operator=compose(A, cut))
            normal = problem.normal
        still, moving, frozen = smooth_start(problem, normal, (STILL, MOVING, FROZEN))
        videos = (still, moving, frozen, total_variation_start(problem, normal, moving))
        return videos if cut is None else tuple(cut(video) for video in videos)

    def _data_step(self, problem: InverseProblem, state: UnrolledState, x: Tensor) -> tuple[Tensor, Tensor]:
        """The data and the dual step after the prior's x."""
        rho, y = self.rho(state.step, state.noise_std), problem.y
        if self.config.data_step == "exact":
            assert state.normal is not None
            return data_step(state.normal, rho, x, state.u, y)
        assert state.square_norm is not None
        A, v = problem.operator, x + state.u
        z = v - A.T(A(v) - y) / per_sample(state.square_norm + rho, 4)
        return z, v - z

    def _run(
        self,
        network: nn.Module,
        videos: tuple[Tensor, ...],
        features: list[Tensor],
        noise_std: Tensor,
        candidates: tuple[Tensor, ...] = (),
    ) -> Tensor:
        """Call p or q on videos (*batch, T, C, H, W) of any batch axes; p, with candidates, renews the features."""
        like = videos[0]
        channels, (height, width) = like.shape[-3], self._seen(like).shape[-2:]
        with self._precision(like):
            if isinstance(network, PaperNetwork):
                joined = torch.cat([self._seen(video) for video in videos], 2)
                if self.config.noise_input:
                    level = 10 * noise_std.reshape(-1, 1, 1, 1, 1)
                    joined = torch.cat([joined, level.expand_as(joined[:, :, :1])], 2)
                output = network(joined)
            else:
                given = (videos, candidates) if isinstance(network, PriorBlock) else (videos,)
                output = self._over_views(network, features, *given)
        output = output.to(like.dtype)[..., :height, :width]
        if self.config.mosaic:
            output = Mosaic(self.config.mosaic, (like.shape[-4], output.shape[-3], *like.shape[-2:])).H(output)
        if channels != self.config.channels:
            output = output.unflatten(-3, (-1, self.config.channels)).mean(-3)
        return output.reshape(*like.shape[:-4], *output.shape[1:])

    def _over_views(self, network: nn.Module, features: list[Tensor], *videos: tuple[Tensor, ...]) -> Tensor:
        """The mean of what a multi-scale network says of each view, turned back; a prior renews the features.

        Source: Timofte, Rothe and Van Gool, CVPR 2016, who take the mean of whole reconstructions.
        """
        outputs = []
        seen = [[pad_frames(self._seen(video)) for video in given] for given in videos]
        for number, axes in enumerate(VIEWS[: len(features)]):
            known = features[number]
            output = network(*seen, known.flatten(0, -4), axes)
            if isinstance(output, tuple):  # of a prior
                output, new = output
                features[number] = new.unflatten(0, known.shape[:-3])
            outputs.append(output)
        return mean(outputs)

    def _seen(self, video: Tensor) -> Tensor:
        """(*batch, T, C, H, W) as the networks see it: (B, T, C, H, W), a gray one with equal channels, laid out."""
        return _one_batch(self._laid_out(video.expand(*video.shape[:-3], self.config.channels, -1, -1)))

    def _laid_out(self, video: Tensor) -> Tensor:
        """Of a scan, one large frame."""
        grid = self.config.mosaic
        return Mosaic(grid, tuple(video.shape[-4:]))(video) if grid else video

    @torch.no_grad()
    def _along_motion(self, problem: InverseProblem, state: UnrolledState, z: Tensor) -> Tensor:
        """The mean of z along its motion, made consistent, and its mean again, `PASSES` times; not differentiated."""
        measured = measured_frames(problem.operator, z).reshape(-1, z.shape[-4])
        paths = Paths(_one_batch(z), measured)
        for k in range(PASSES):
            z = self._make_consistent(state, z, problem.y) if k else z
            z = paths.mean(_one_batch(z)).reshape(z.shape)
        return z

    def _make_consistent(self, state: UnrolledState, z: Tensor, y: Tensor) -> Tensor:
        noisy, normal, exact = state.noise_std > 0, state.normal, z
        assert normal is not None
        if not noisy.all():
            exact = normal.null_projection(z) + normal.pinv(y)
        if not noisy.any():
            return exact
        proximal = normal.prox(self.rho(self.config.steps, state.noise_std), z, y)
        return torch.where(per_sample(noisy, 4), proximal, exact)

    def _precision(self, like: Tensor) -> torch.autocast:
        return torch.autocast(like.device.type, self.network_dtype, enabled=self.network_dtype is not None)


def derivatives_of(problem: InverseProblem) -> torch.set_grad_enabled:
    """Off, so that nothing is kept for them, unless the measurement, σ or a tensor of the operator has derivatives."""
    y, noise_std = problem.y, torch.as_tensor(problem.noise_std)
    given = (*(y if isinstance(y, Ragged) else (y,)), noise_std, *problem.operator.tensors())
    return torch.set_grad_enabled(torch.is_grad_enabled() and any(t.requires_grad for t in given))


def _one_batch(video: Tensor) -> Tensor:
    """(*batch, T, C, H, W) -> (B, T, C, H, W)."""
    return video.reshape(-1, *video.shape[-4:])
