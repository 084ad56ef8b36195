"""What the learned solvers share: a trained network in the loop of all solvers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from linops_video import InverseProblem, collate
from linops_video.algebra.parameters import per_sample
from linops_video.errors import SpecError
from linops_video.solvers.defaults import scale
from linops_video.solvers.iteration import relative_change
from linops_video.solvers.learned.checkpoint import frozen_copy, load_network
from linops_video.solvers.learned.unrolled import VIEWS, Unrolled, UnrolledState, derivatives_of

PRECISIONS = ("float32", "bfloat16")


def fast_precision(device: torch.device | str) -> str:
    """The precision in which networks run fastest on a device at a loss below 0.05 dB: "bfloat16" or "float32".

    "bfloat16" on CPUs that multiply in it (AVX512-BF16, AMX), where `benchmarks/films.py network` measures both, and on
    CUDA devices that do (compute capability 8 and above), which were not measured. Never float16, whose range ends at
    65504.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device)[0] >= 8 else "float32"
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    fast = device.type == "cpu" and any(test is not None and test() for test in tests)
    return "bfloat16" if fast else "float32"


def rescaled(problem: InverseProblem) -> InverseProblem:
    """(A, y, σ)/s with the `scale` s of each sample: the same video is looked for, and networks know no other scale.

    With s = 1 the problem itself, and what it has `prepared`, which is lost else.
    """
    samples = problem.samples()
    if samples[0] is not problem:
        scaled = [rescaled(sample) for sample in samples]
        return problem if all(a is b for a, b in zip(scaled, samples, strict=True)) else collate(scaled)
    s = scale(problem)
    if bool((s == 1).all()):
        return problem
    factor = 1 / s if s.ndim or s.requires_grad else 1 / s.item()  # of plain numbers more structure is known
    y = problem.y * per_sample(factor, len(problem.operator.out_shape))
    noise_std = torch.as_tensor(problem.noise_std, device=y.device, dtype=y.dtype.to_real())
    return InverseProblem(factor * problem.operator, y, factor * noise_std, problem.name)


@dataclass(frozen=True, eq=False)
class LearnedState(UnrolledState):
    """The state of an unrolled network, and the network in the precision and on the device of the problem.

    Attributes:
        problem: as the network sees it, in the scale of those that it was trained on.
    """

    network: Unrolled | None = None
    problem: InverseProblem | None = None


@dataclass(frozen=True)
class Learned:
    """A trained unrolled network as a solver; `OneNet` and `VideoOneNet` name its two forms.

    The network has a fixed number of steps, so that the loop neither stops early nor goes on.

    With `views` above 1 the networks see each video in so many mirrored and turned views (`VIEWS`, 4 at most), and the
    mean of their answers, turned back, is taken in every step; start and data steps, which take most of the time on
    large frames, are done once. None: as many as the weights say; the field then has their number, which `replace`
    keeps with other weights, too.

    With `precision` = "bfloat16" the convolutions run in that precision; start and data steps stay in that of the
    problem. `fast_precision(device)` says where this is faster.
    """

    form: ClassVar[str]
    hands_back: ClassVar[bool] = True  # features of many sizes leave holes in memory, which would add up over tiles

    weights: str
    precision: str = "float32"
    views: int | None = None
    network: Unrolled = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise SpecError(f"precision is one of {', '.join(PRECISIONS)}, not {self.precision!r}")
        network = load_network(self.weights)
        views = network.config.views if self.views is None else self.views
        if views not in range(1, len(VIEWS) + 1):
            raise SpecError(f"views must be 1 to {len(VIEWS)}, got {views!r}")
        if network.config.form != self.form:
            raise SpecError(
                f"the weights {self.weights!r} are a {network.config.form}, not a {self.form}: "
                f"take the solver {network.config.form!r} or other weights"
            )
        network.views = views
        object.__setattr__(self, "views", views)
        object.__setattr__(self, "network", network)

    @property
    def max_steps(self) -> int:
        """The steps that the network was trained with."""
        return self.network.config.steps

    @property
    def tol(self) -> float:
        """Below any residual: no sample stops before the last step."""
        return -1.0

    def init(self, problem: InverseProblem) -> LearnedState:
        network = frozen_copy(self.network, problem.y) if problem.y.is_floating_point() else self.network
        if self.precision == "bfloat16":
            network.network_dtype = torch.bfloat16
        with derivatives_of(problem):
            problem = rescaled(problem)
            state = network.init(problem)
        return LearnedState(**vars(state), network=network, problem=problem)

    def resume(self, problem: InverseProblem, state: LearnedState) -> LearnedState:
        """Raise a SpecError: all steps are done."""
        raise SpecError("a network has a fixed number of steps, and does not go on from a solution: leave out start")

    def step(self, problem: InverseProblem, state: LearnedState) -> LearnedState:
        assert state.network is not None
        assert state.problem is not None
        with derivatives_of(problem):
            after = state.network.step(state.problem, state)
        assert isinstance(after, LearnedState)  # dataclasses.replace keeps the class
        return after

    def of_whole(self, tile: InverseProblem, x: Tensor) -> Tensor:
        """x with the colours of whole frames, where nothing was measured of them: those of tiles differ."""
        return frozen_copy(self.network, x).coloured(tile.operator, x) if self.network.config.colour else x

    def residual(self, before: LearnedState, after: LearnedState) -> Tensor:
        return relative_change([(before.z, after.z), (before.u, after.u)], after.z, after.z.ndim - 4)
