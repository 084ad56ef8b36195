"""Libraries that tests and benchmarks use where they are installed."""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType

import torch

TORCHVISION_OPERATORS = (
    *("nms", "qnms", "roi_align", "qroi_align", "_roi_align_backward", "roi_pool", "_roi_pool_backward"),
    *("ps_roi_align", "_ps_roi_align_backward", "ps_roi_pool", "_ps_roi_pool_backward"),
    *("deform_conv2d", "_deform_conv2d_backward"),
)


def import_deepinv() -> ModuleType:
    """deepinv, also where torchvision was compiled for another torch: its physics use none of its operators.

    Raises:
        ImportError: if deepinv is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module("torchvision")
        except RuntimeError:  # its compiled operators did not register; declared, they are enough for its import
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]
            library = torch.library.Library("torchvision", "DEF")
            for name in TORCHVISION_OPERATORS:
                library.define(f"{name}(Tensor a) -> Tensor")
            import_deepinv.library = library  # type: ignore[attr-defined]  # alive as long as the process
        return importlib.import_module("deepinv")
