"""Form and size of an unrolled network, as JSON values: ours by default, the paper's by `paper_config`."""

from __future__ import annotations

from dataclasses import dataclass

from linops_video.errors import SpecError

CHOICES = {
    "form": ("videoonet", "onenet"),
    "blocks": ("multiscale", "recurrent", "convolutional"),
    "start": ("smooth", "pinv", "adjoint"),
    "data_step": ("exact", "gradient"),
}


@dataclass(frozen=True)
class Config:
    """Form and size of an unrolled network; JSON values only. The defaults are our form, `paper_config` is the paper's.

    Attributes:
        form: "videoonet" (prior on [z, u], then a data network) or "onenet" (prior on z − u, the data step as it is).
        blocks: "multiscale" (`blocks.py`), or the paper's networks, "recurrent" (BCRNN) and "convolutional" (CNN).
        channels: C of the videos, 1 or 3.
        steps: unrolled ADMM steps K.
        shared: one p and one q for all steps (the paper), or own weights for each step.
        features: channels of the features (multiscale: at half resolution).
        coarse, fine: multiscale: residual blocks at a quarter and at half resolution in each prior step.
        motion: multiscale: in so many of the last steps the prior begins at a consistent video, and is told its mean
            along the motion (`solvers/motion`) as a further candidate; at the end frames of which nothing was measured
            are put where the motion of the others says, as far as it is trusted.
        colour: multiscale: channels on each scale of a network (`ColourNetwork`) that at the end colours videos
            of which only the luma was measured; () for none.
        colour_blocks: multiscale: residual blocks of this network on each scale but the coarsest, down and up.
        mosaic: multiscale: the videos are scans, and start and networks see their frames side by side in this grid, as
            one large frame (`Mosaic`); () for other videos.
        views: multiscale: mirrored and turned views that solvers show to the trained network, unless they are told
            another number; in training it sees one.
        kernel, decoder: the paper's networks: sizes k_e of the encoder's and k_d of the decoder's convolutions.
        start: "smooth" (`smooth_start`), "pinv" (z = A⁺ y, the paper) or "adjoint" (z = Aᵀy / ‖A‖²).
        corrections: the networks' outputs are added to what they correct, and are zero before training.
        noise_input: the networks are told the noise level.
        data_step: "exact" (least squares) or "gradient": z = v − Aᵀ(A v − y)/(‖A‖² + ρ) with v = x + u, one gradient
            step of length 1/(‖A‖² + ρ) on the same objective, from v. With start="adjoint" and consistent=False no
            system is solved at all.
        rho: ρ of the data step; None: ρ_k = (σ² + 1e-6)/s_k², with a trained s_k for each step.
        consistent: end with a data step: z + A⁺(y − A z) without noise, the proximal step with the last ρ with noise.
    """

    form: str = "videoonet"
    blocks: str = "multiscale"
    channels: int = 3
    steps: int = 2
    shared: bool = False
    features: int = 64
    coarse: int = 2
    fine: int = 1
    motion: int = 0
    colour: tuple[int, ...] = ()
    colour_blocks: int = 1
    mosaic: tuple[tuple[int, ...], ...] = ()
    views: int = 1
    kernel: int = 3
    decoder: int = 11
    start: str = "smooth"
    corrections: bool = True
    noise_input: bool = True
    data_step: str = "exact"
    rho: float | None = None
    consistent: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "mosaic", tuple(tuple(row) for row in self.mosaic))  # from JSON: lists
        object.__setattr__(self, "colour", tuple(self.colour))
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise SpecError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if min(self.channels, self.steps, self.features, self.views, self.kernel, self.decoder) < 1:
            raise SpecError("channels, steps, features, views, kernel and decoder must be 1 or more")
        if self.kernel % 2 == 0 or self.decoder % 2 == 0:
            raise SpecError(f"kernel and decoder must be odd, got {self.kernel} and {self.decoder}")
        if self.rho is not None and not self.rho > 0:
            raise SpecError(f"rho must be a positive number, or None, got {self.rho}")
        if self.blocks == "multiscale" and not (self.start == "smooth" and self.corrections and self.noise_input):
            raise SpecError("multiscale blocks need start='smooth', corrections=True and noise_input=True")
        if self.motion and (self.blocks != "multiscale" or self.shared or not 0 < self.motion < self.steps):
            raise SpecError("motion is for multiscale blocks with weights of their own, in 1 to steps − 1 of the steps")
        if self.mosaic and (self.blocks != "multiscale" or self.motion):
            raise SpecError("mosaic is for multiscale blocks without motion")
        if self.colour and (self.blocks != "multiscale" or self.channels != 3 or min(self.colour) < 1):
            raise SpecError("colour is for multiscale blocks and 3 channels, one positive width or more")
        if self.colour_blocks < 1 or (self.colour_blocks > 1 and not self.colour):
            raise SpecError("colour_blocks is 1 or more, and more for a network of colours alone")


def paper_config(
    form: str = "videoonet",
    recurrent: bool = True,
    channels: int = 1,
    features: int = 64,
    kernel: int = 3,
    decoder: int = 11,
) -> Config:
    """The paper's networks: those of Rotated MNIST; Scanned CIFAR-10 and UCF-101 have channels 3, features 256,
    kernel 5, decoder 7.

    >>> paper_config("onenet", recurrent=False).steps
    13
    """
    return Config(
        form=form,
        blocks="recurrent" if recurrent else "convolutional",
        channels=channels,
        steps=13,
        shared=True,
        features=features,
        kernel=kernel,
        decoder=decoder,
        start="pinv",
        corrections=False,
        noise_input=False,
        rho=0.3,
        consistent=False,
    )
