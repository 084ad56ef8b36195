"""Small constants of transforms, made once for all calls."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import maybe_current_level

MOST, ENTRIES = 64, 2**14
"""How many are kept, and how large: 8 MB at most."""

_KEPT: dict[tuple[Any, ...], Tensor] = {}


def kept(make: Callable[..., Tensor], x: Tensor, *arguments: Hashable) -> Tensor:
    """make(*arguments) in the precision and on the device of x, as an earlier call has made it: not to be written to.

    Made anew within torch.compile, torch.jit, torch.func and dispatch modes, whose tensors are of no use outside.

    Example:
        >>> x = torch.rand(2)
        >>> kept(torch.eye, x, 3) is kept(torch.eye, x, 3)
        True
    """
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None or type(x) is not Tensor:
        return make(*arguments).to(x)
    if maybe_current_level() is not None or torch._C._len_torch_dispatch_stack():
        return make(*arguments).to(x)
    key = (make, arguments, x.dtype, x.device)
    found = _KEPT.get(key)
    if found is None:
        with torch.inference_mode(False), torch.no_grad():
            found = make(*arguments).to(x.device, x.dtype)
        if len(_KEPT) >= MOST:
            _KEPT.clear()
        if found.numel() <= ENTRIES:
            _KEPT[key] = found
    return found
