"""How the tests of the core compare two ways to compute the same thing."""

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor

Outcome = Callable[..., dict[str, Tensor]]


def _outcome(function: Callable[..., Iterable[Tensor | None]], seed: int = 7, **inputs: Tensor) -> dict[str, Tensor]:
    """The outputs of a function and the gradient of each of its inputs, by name, each output with a random upstream
    gradient: two ways to compute the same thing have equal outcomes."""
    leaves = {name: value.detach().clone().requires_grad_() for name, value in inputs.items()}
    outputs = [value for value in function(**leaves) if value is not None]
    generator = torch.Generator().manual_seed(seed)
    upstream = [torch.randn(v.shape, generator=generator, dtype=torch.float64).to(v.dtype) for v in outputs]
    gradients = torch.autograd.grad(outputs, [*leaves.values()], upstream, allow_unused=True, materialize_grads=True)
    named = {f"output {i}": v.detach() for i, v in enumerate(outputs)}
    return named | {f"gradient of {name}": g for name, g in zip(leaves, gradients, strict=True)}


@pytest.fixture(scope="session")
def outcome() -> Outcome:
    return _outcome


@pytest.fixture
def random() -> Callable[..., Tensor]:
    """Normal float64 numbers, the same in every run of a test."""
    generator = torch.Generator().manual_seed(1)
    return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)
