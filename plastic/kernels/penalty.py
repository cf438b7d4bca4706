"""A quadratic penalty in a training step, in one pass over the parameters.

Such a step waits for memory: half a dozen operations with a pass each take as long as the network itself. On a
processor with a compiler they are one compiled loop (``cpu/penalty.h``), elsewhere torch operations.
"""

import ctypes

import torch
from torch import Tensor

from plastic.kernels.build import library

ARGUMENTS = (*[ctypes.c_int64] * 2, *[ctypes.c_void_p] * 4, *[ctypes.c_double] * 2, ctypes.c_void_p)
FEW = 4096  # numbers for which the compiled loop is not worth its call


@torch.no_grad()
def pull_(
    gradient: Tensor,
    parameter: Tensor,
    anchor: Tensor,
    importance: Tensor,
    factor: float,
    rate: float = 0.0,
    path: Tensor | None = None,
) -> None:
    """``gradient`` g becomes t = (g + k d) / (1 + rate k), with k = factor importance and d = parameter - anchor.

    All are of one shape. ``path`` takes rate g t on: what plain descent along t at that rate, with g alone for the
    loss, lowers the loss by.
    """
    given = (parameter, anchor, importance, *(() if path is None else (path,)))
    if _compiled(gradient, given):
        function = getattr(library(), f"pull_{str(gradient.dtype).removeprefix('torch.')}")
        function.argtypes, function.restype = ARGUMENTS, None
        pointers = (v.data_ptr() for v in (gradient, parameter, anchor, importance))
        threads = torch.get_num_threads()
        function(gradient.numel(), threads, *pointers, factor, rate, None if path is None else path.data_ptr())
        return
    before = None if path is None else gradient.clone()
    gradient.addcmul_(parameter - anchor, importance, value=factor)
    if rate:
        gradient /= torch.rsub(importance, 1, alpha=-rate * factor)  # 1 + rate k, in one pass
    if path is not None and before is not None:
        path.addcmul_(gradient, before, value=rate)


def _compiled(gradient: Tensor, others: tuple[Tensor, ...]) -> bool:
    """Whether these can be walked through side by side by the compiled loop."""
    return (
        gradient.numel() > FEW
        and gradient.device.type == "cpu"
        and gradient.dtype in (torch.float32, torch.float64)
        and all((v.shape, v.dtype, v.device) == (gradient.shape, gradient.dtype, gradient.device) for v in others)
        and all(v.is_contiguous() for v in (gradient, *others))
        and library() is not None
    )
