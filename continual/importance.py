r"""How much each parameter matters for what a network does: sums of per-sample gradients, without a loop over samples.

One backward pass for a batch gives every layer's input h and the gradient delta at its output, for each sample. For a
linear layer the per-sample gradient is h_i delta_o, so sums over samples are one product:

    sum_n |h_ni delta_no| = (|h|ᵀ |delta|)_io   (MAS)        sum_n (h_ni delta_no)² = ((h²)ᵀ (delta²))_io   (Fisher)

Any other layer that owns parameters is taken through ``torch.func.vmap``. Samples must not depend on each other, which
rules out batch normalisation by the batch itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from continual.dhp import DHPSoftmax
from continual.networks import Linear

Fisher = Literal["exact", "sampled", "empirical", "batched"]
Answer = Callable[[Tensor], Tensor]  # inputs to logits
Batches = Iterable[tuple[Tensor, Tensor]]  # inputs, and labels as indices into the logits
Sums = dict[str, Tensor]  # by parameter name


def fisher(
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    batches: Batches,
    kind: Fisher = "exact",
    answer: Answer | None = None,
    chance: torch.Generator | None = None,
) -> Sums:
    """Diagonal of the Fisher information, the mean over samples of what ``kind`` says; no factor of 1/2 in it.

    exact:     E_x sum_c p(c|x) (d log p(c|x) / d theta)², one backward pass a class
    sampled:   the same with one c drawn from p(.|x), by ``chance``
    empirical: (d log p(y|x) / d theta)² with the label y of the data
    batched:   the square of the gradient of a batch's mean loss, averaged over batches. Smaller by about the size of
               the batch (van de Ven 2025, arXiv 2502.11756), so a strength for it is as much larger.

    Args:
        parameters: those of ``model`` that are asked for, by name.
        answer: inputs to logits (..., B, C), by way of ``model``; none: the model itself.
        batches: pairs of inputs (..., B, ...) and labels (..., B).
    Raises ValueError for an unknown kind or no batches.
    """
    if kind not in get_args(Fisher):
        raise ValueError(f"fisher: expected one of {', '.join(get_args(Fisher))}, got {kind!r}")

    def pulls(logits: Tensor, labels: Tensor) -> Iterator[Tensor]:
        """Gradients at the logits whose squares add up to the Fisher information of each sample."""
        p = logits.softmax(-1)
        classes = torch.arange(logits.shape[-1], device=logits.device)
        if kind == "exact":
            for c in range(logits.shape[-1]):
                yield p[..., c : c + 1].sqrt() * ((classes == c).to(p.dtype) - p)
            return
        if kind == "sampled":
            drawn = torch.multinomial(p.flatten(0, -2).cpu(), 1, generator=chance)
            labels = drawn.to(p.device).view(p.shape[:-1])
        hit = (labels.unsqueeze(-1) == classes).to(p.dtype) - p
        yield hit / logits.shape[-2] if kind == "batched" else hit

    return _mean(model, parameters, batches, pulls, "batch" if kind == "batched" else "square", answer)


def output_sensitivity(
    model: nn.Module, parameters: Mapping[str, nn.Parameter], batches: Batches, answer: Answer | None = None
) -> Sums:
    """MAS: the mean over samples of |d ||F(x)||² / d theta|, F the logits; labels are not used.

    Aljundi et al. 2018, arXiv 1711.09601, eq. 2-3. Arguments as for ``fisher``.
    """

    def pulls(logits: Tensor, labels: Tensor) -> Iterator[Tensor]:
        yield 2 * logits

    return _mean(model, parameters, batches, pulls, "size", answer)


def _mean(
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    batches: Batches,
    pulls: Callable[[Tensor, Tensor], Iterator[Tensor]],
    measure: Literal["square", "size", "batch"],
    answer: Answer | None,
) -> Sums:
    """The mean over samples (over batches for ``batch``) of the measured gradients."""
    answer = answer or model
    wanted = {id(p): name for name, p in parameters.items()}
    owners = [layer for layer in model.modules() if any(id(p) in wanted for p in layer.parameters(recurse=False))]
    sums = {name: torch.zeros_like(p, requires_grad=False) for name, p in parameters.items()}
    count = 0
    training = model.training
    model.eval()
    try:
        for inputs, labels in batches:
            with torch.enable_grad(), _watched(owners) as seen:
                logits = answer(inputs)
            count += 1 if measure == "batch" else logits.shape[-2]
            used = [layer for layer in owners if layer in seen]
            outputs = [seen[layer][1] for layer in used]
            # labels may be told to a head in training only; here the pull at the logits is all that carries them
            for pull in pulls(logits.detach(), labels):
                deltas = torch.autograd.grad(logits, outputs, pull, retain_graph=True, allow_unused=True)
                for layer, delta in zip(used, deltas, strict=True):
                    if delta is not None:
                        for key, value in _gradients(layer, seen[layer][0], delta, measure).items():
                            if (name := wanted.get(id(getattr(layer, key)))) is not None:
                                sums[name] += value
    finally:
        model.train(training)
    if count == 0:
        raise ValueError("the importance of parameters needs at least one batch")
    return {name: value / count for name, value in sums.items()}


@contextmanager
def _watched(layers: Iterable[nn.Module]) -> Iterator[dict[nn.Module, tuple[Tensor, Tensor]]]:
    """Input and output of each layer, as they pass."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if layer in seen:
            raise ValueError(f"{type(layer).__name__} is used twice in a pass: its gradients do not come apart")
        seen[layer] = (inputs[0].detach(), output)

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _gradients(layer: nn.Module, h: Tensor, delta: Tensor, measure: str) -> Sums:
    """The layer's own parameters' gradients, measured sample by sample and summed; ``batch``: summed, then squared."""
    if isinstance(layer, Linear | DHPSoftmax | nn.Linear):
        if measure == "batch":
            weight, bias = (h.mT @ delta).square(), delta.sum(-2).square()
        elif measure == "square":
            weight, bias = h.square().mT @ delta.square(), delta.square().sum(-2)
        else:
            weight, bias = h.abs().mT @ delta.abs(), delta.abs().sum(-2)
        found = {"weight": weight.mT if isinstance(layer, nn.Linear) else weight}
        return found if getattr(layer, "bias", None) is None else {**found, "bias": bias}
    own = {name: p.detach() for name, p in layer.named_parameters(recurse=False)}
    at = 0 if getattr(layer, "replicas", None) is None else 1  # where the samples are

    def gradient(x: Tensor, d: Tensor) -> Sums:
        pull = vjp(lambda parameters: functional_call(layer, parameters, (x.unsqueeze(at),)), own)[1]
        (found,) = pull(d.unsqueeze(at))
        return dict(found)

    each: Sums = vmap(gradient, (at, at))(h, delta)  # (B, ...)
    if measure == "batch":
        return {name: value.sum(0).square() for name, value in each.items()}
    return {name: (value.square() if measure == "square" else value.abs()).sum(0) for name, value in each.items()}
