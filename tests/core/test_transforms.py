"""What PyTorch does to functions and modules: vmap, compile, autocast, copies, another precision."""

import copy
import io
import pickle
import warnings
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from plastic import PlasticLinear, PlasticRNN, PlasticRNNCell, PlasticState
from plastic import functional as PF

T, B, I, N, R = 11, 2, 3, 4, 3
RULES = ["hebb", "oja", "clipped_hebb", "modulated", "retroactive"]
ALPHAS = {"full": (N, N), "neuron": (N,), "shared": ()}
TIGHT = {"rtol": 1e-10, "atol": 1e-12}
MODULES = [PlasticLinear, PlasticRNNCell, PlasticRNN]


def sequence_loss(rule, input, state, modulator):
    """The loss of a sequence as a function of weight, alpha and eta."""

    def loss(weight, alpha, eta):
        output, final = PF.plastic_rnn(input, state, weight, alpha, eta, rule, modulator=modulator)
        return output.pow(2).sum() + final.trace.pow(2).sum()

    return loss


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("rule", RULES)
def test_vmap_over_parameters_equals_a_loop(rule, alpha, random):
    """Red when: vmap folds a parameter, a gradient or the activity into the wrong dimension."""
    modulated = rule in ("modulated", "retroactive")
    state = PlasticState(random(B, N), random(B, N, N), random(B, N, N) if rule == "retroactive" else None)
    modulator = (random(N), random()) if modulated else None
    loss = sequence_loss(rule, random(T, B, N), state, modulator)
    many = (random(R, N, N) / 2, random(R, *ALPHAS[alpha]) / 2, random(R).sigmoid())
    every = torch.func.grad(loss, argnums=(0, 1, 2))
    loop = [every(*one) for one in zip(*many, strict=True)]
    expected = tuple(torch.stack(gradients) for gradients in zip(*loop, strict=True))

    assert_close(torch.func.vmap(loss)(*many), torch.stack([loss(*one) for one in zip(*many, strict=True)]), **TIGHT)
    assert_close(torch.func.vmap(every)(*many), expected, **TIGHT)
    outer = torch.func.grad(lambda *many: torch.func.vmap(loss)(*many).sum(), argnums=(0, 1, 2))
    assert_close(outer(*many), expected, **TIGHT)


def test_vmap_over_any_dimension_of_the_state(random):
    """Red when: vmap takes its dimension to be the first one of every argument."""
    input, hidden, trace = random(T, B, R, N), random(B, N, R), random(B, N, N, R)
    clamp = (random(T, B, N) > 0.5).contiguous()
    weight, alpha, eta = random(N, N) / 2, random(N, N), random().sigmoid()

    def run(input, hidden, trace):
        output, state = PF.plastic_rnn(input, PlasticState(hidden, trace), weight, alpha, eta, "oja", clamp)
        return output, state.trace

    output, traces = torch.func.vmap(run, in_dims=(2, 2, 3), out_dims=(2, 3))(input, hidden, trace)
    for r in range(R):
        assert_close((output[:, :, r], traces[..., r]), run(input[:, :, r], hidden[..., r], trace[..., r]), **TIGHT)


@pytest.mark.parametrize("rule", ["hebb", "oja", "clipped_hebb", "modulated"])
def test_vmap_over_writes_equals_a_loop(rule, random):
    """Red when: trace_write or plastic_linear looks at the data, which vmap forbids."""
    m = random(B, T) if rule == "modulated" else None
    weight, alpha, question = random(I, N), random(N), random(B, I)

    def answer(trace, pre, post, eta):
        return PF.plastic_linear(question, weight, alpha, PF.trace_write(trace, pre, post, eta, rule, m))

    many = random(R, B, I, N), random(R, B, T, I), random(R, B, T, N), random(R).sigmoid()
    loop = torch.stack([answer(*one) for one in zip(*many, strict=True)])
    assert_close(torch.func.vmap(answer)(*many), loop, **TIGHT)


@pytest.mark.parametrize("module", MODULES)
def test_compiled_equals_eager(module):
    """Red when: a module branches on data, or compiles into other numbers; a step compiles into a single graph."""
    torch.compiler.reset()
    layer = module(I, N, "oja", eta=0.2)
    input = torch.randn(*([T] if module is PlasticRNN else []), B, I)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own
        compiled = torch.compile(layer, backend="aot_eager", fullgraph=module is not PlasticRNN)
        for _ in range(2):
            results = []
            for run in (layer, compiled):
                output, state = run(input)
                trace = state if module is PlasticLinear else state.trace
                gradients = torch.autograd.grad(output.sum() + trace.pow(2).sum(), [*layer.parameters()])
                results.append((output, trace, *gradients))
            assert_close(*results)


@pytest.mark.parametrize("module", MODULES)
def test_autocast_keeps_the_trace_in_float32(module):
    """Red when: the trace takes the precision of the activity that is written to it."""
    layer = module(I, N, "oja", eta=0.2)
    state = None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(2):
            input = torch.randn(*([T] if module is PlasticRNN else []), B, I, dtype=torch.bfloat16)
            output, state = layer(input, state)
    trace = state if module is PlasticLinear else state.trace
    assert trace.dtype is torch.float32
    assert output.isfinite().all()


@pytest.mark.parametrize("rule", ["hebb", "oja"])
def test_autocast_does_not_reach_into_a_write_or_a_sequence(rule):
    """Red when: a product of trace_write or plastic_rnn is taken in bfloat16."""
    state = PlasticState(torch.randn(B, N), torch.randn(B, N, N))
    pre, post, input, weight = torch.randn(B, T, N), torch.randn(B, T, N), torch.randn(T, B, N), torch.randn(N, N)

    def run():
        trace = PF.trace_write(state.trace, pre, post, 0.2, rule)
        output, final = PF.plastic_rnn(input, state, weight, torch.ones(N), torch.tensor(0.2), rule)
        return trace, output, final.trace

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = run()
    assert_close(inside, run(), rtol=0, atol=0)


@pytest.mark.parametrize("eta", [0.001, torch.tensor(0.001)], ids=["number", "tensor"])
@pytest.mark.parametrize("write", [PF.trace_step, PF.trace_write])
def test_low_precision_does_not_round_the_decay_away(write, eta):
    """Red when: the retain is computed from bfloat16 activity as it is: 1 - 0.001 · 0.5² is 1 in bfloat16."""
    post = torch.full((1, 4), 0.5, dtype=torch.bfloat16)
    post = post.unsqueeze(1) if write is PF.trace_write else post
    trace = write(torch.ones(1, 3, 4), torch.zeros_like(post[..., :3]), post, eta, "oja")
    assert_close(trace, torch.full((1, 3, 4), 1 - 0.00025), rtol=1e-6, atol=0)


@pytest.mark.parametrize("rule", ["hebb", "retroactive"])
def test_a_trace_keeps_its_precision(rule, random):
    """Red when: float64 activity makes a float32 trace a float64 one."""
    traces = [torch.zeros(B, I, N)] * (2 if rule == "retroactive" else 1)
    step = PF.retroactive_step if rule == "retroactive" else PF.trace_step
    written = step(*traces, random(B, I), random(B, N), 0.1, rule, random(B))
    assert {v.dtype for v in (written if rule == "retroactive" else [written])} == {torch.float32}


@pytest.mark.parametrize("rule", RULES)
def test_a_backward_under_autocast_is_the_same(rule):
    """Red when: the reverse sweep takes its products in bfloat16."""
    rnn, input = PlasticRNN(I, N, rule, "neuron", eta=0.2), torch.randn(40, B, I)
    expected = torch.autograd.grad(rnn(input)[0].sum(), rnn.cell.weight)
    output, _ = rnn(input)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(torch.autograd.grad(output.sum(), rnn.cell.weight), expected)


def deep_copied(layer, make):
    return copy.deepcopy(layer)


def pickled(layer, make):
    return pickle.loads(pickle.dumps(layer))


def loaded(layer, make):
    """A new layer that takes over the parameters of the old one."""
    saved = io.BytesIO()
    torch.save(layer.state_dict(), saved)
    saved.seek(0)
    other = make()
    other.load_state_dict(torch.load(saved, weights_only=True))
    return other


@pytest.mark.parametrize("way", [deep_copied, pickled, loaded])
@pytest.mark.parametrize("rule", ["hebb", "modulated"])
@pytest.mark.parametrize("module", [PlasticRNNCell, PlasticRNN])
def test_a_copy_computes_the_same(module, rule, way):
    """Red when: a parameter or an option is not part of the module's own state."""
    make = partial(module, I, N, rule, "neuron", eta=torch.rand(N), nonlinearity="relu")
    layer, input = make(), torch.randn(*([T] if module is PlasticRNN else []), B, I)
    other = way(layer, make)
    assert other is not layer
    (output, state), (expected, final) = other(input), layer(input)
    assert_close((output, state.trace), (expected, final.trace), rtol=0, atol=0)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_moves_to_double(module, random):
    """Red when: a state or a rate is made in a fixed precision."""
    layer = module(I, N, "oja").double()
    output, state = layer(random(*([T] if module is PlasticRNN else []), B, I))
    trace = state if module is PlasticLinear else state.trace
    assert output.dtype is trace.dtype is torch.float64
    assert {p.dtype for p in layer.parameters()} == {torch.float64}
