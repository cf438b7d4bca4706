"""The compiled sequences and steps against the reference loop and against torch operations."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from plastic import Acting, Hebb, PlasticRNN, PlasticRNNCell, PlasticState, reference
from plastic import functional as PF
from plastic.kernels import build, compiled, sequence
from plastic.rules import as_rule

RULES = ["hebb", "oja", "clipped_hebb", "modulated"]
ALPHA = {"full": 2, "neuron": 1, "shared": 0}  # the dimensions of alpha
TIGHT = {"rtol": 1e-9, "atol": 1e-11}

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler")


@st.composite
def cases(draw):
    """Everything that may change the path of a sequence: sizes beside the width of a vector and a stretch rebuilt,
    the rule, the masks, the state that comes and the gradients that are asked for."""
    return {
        "T": draw(st.sampled_from([1, 2, 3, 8, 9, 17, 40])),
        "B": draw(st.integers(1, 5)),
        "N": draw(st.sampled_from([1, 2, 3, 4, 5, 7, 9, 13])),
        "rule": draw(st.sampled_from(RULES)),
        "alpha": draw(st.sampled_from(sorted(ALPHA))),
        "per_unit": draw(st.booleans()),
        "carried": draw(st.booleans()),
        "masked": draw(st.booleans()),
        "held": draw(st.sampled_from([0, 1, 3])),
        "relu": draw(st.booleans()),
        "trace_wanted": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }


def tensors(case, dtype=torch.float64):
    """Leaves by name, and the mask."""
    generator = torch.Generator().manual_seed(case["seed"])

    def random(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    T, B, N = case["T"], case["B"], case["N"]
    spread = 2 * N**0.5 * (4 if case["relu"] else 1)  # activity that a relu does not blow up
    leaves = {
        "input": random(T, B, N) / (4 if case["relu"] else 1),
        "weight": random(N, N) / spread,
        "alpha": random(*[N] * ALPHA[case["alpha"]]) / spread,
        "eta": random(*[N] * case["per_unit"]).sigmoid(),
    }
    if case["carried"]:  # a trace beyond the bound of a clip
        leaves |= {"hidden": random(B, N), "trace": random(B, N, N)}
    if case["rule"] == "modulated":
        leaves |= {"m_weight": random(N), "m_bias": random()}
    held = [case["held"] > 0 and t % case["held"] == 0 for t in range(T)]
    clamp = torch.rand(T, B, N, generator=generator) < 0.4
    return leaves, clamp if case["masked"] else None, held


def mine(case, clamp, held, backend="compiled"):
    def run(input, weight, alpha, eta, hidden=None, trace=None, m_weight=None, m_bias=None):
        state = None if hidden is None else PlasticState(hidden, trace)
        modulator = None if m_weight is None else (m_weight, m_bias)
        f = "relu" if case["relu"] else "tanh"
        output, state = PF.plastic_rnn(
            *(input, state, weight, alpha, eta, case["rule"], clamp, held, modulator, f), backend=backend
        )
        return output, state.trace if case["trace_wanted"] else None

    return run


def truth(case, clamp, held):
    def run(input, weight, alpha, eta, hidden=None, trace=None, m_weight=None, m_bias=None):
        B, N = input.shape[1:]
        mask = torch.zeros_like(input, dtype=torch.bool) if clamp is None else clamp.clone()
        mask[torch.tensor(held)] = True
        output, last, _ = reference.plastic_rnn(
            input,
            input.new_zeros(B, N) if hidden is None else hidden,
            input.new_zeros(B, N, N) if trace is None else trace,
            *(weight, alpha, eta, case["rule"], mask),
            modulator=None if m_weight is None else (m_weight, m_bias),
            nonlinearity=torch.relu if case["relu"] else torch.tanh,
        )
        return output, last if case["trace_wanted"] else None

    return run


def test_equals_the_reference_with_every_gradient(outcome):
    """Red when: a trace is rebuilt one step off, the clip's mask is taken after the clip, a tail of columns or rows is
    left out, or two episodes of a pair mix."""

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(cases())
    def check(case):
        leaves, *masks = tensors(case)
        assert_close(outcome(mine(case, *masks), **leaves), outcome(truth(case, *masks), **leaves), **TIGHT)

    check()


CASE = {"T": 150, "B": 3, "N": 21, "rule": "oja", "alpha": "full", "per_unit": True, "carried": True, "masked": False}
CASE |= {"held": 0, "relu": False, "trace_wanted": True, "seed": 5}


@pytest.mark.parametrize("rule", RULES)
def test_long_lives_equal_torch_operations(rule, outcome):
    """Red when: a rebuilding of the second level begins from the wrong trace. 150 steps are more than 4 · 8."""
    case = CASE | {"rule": rule}
    leaves, *masks = tensors(case)
    leaves |= {name: leaves[name] / 3 for name in ("weight", "alpha")}  # not chaotic: rounding errors do not grow
    assert_close(outcome(mine(case, *masks), **leaves), outcome(mine(case, *masks, "torch"), **leaves), **TIGHT)


@pytest.mark.parametrize("rule", RULES)
def test_float32_within_a_ten_thousandth(rule, outcome):
    """Red when: a path loses half of its digits. In units of the largest value."""
    case = CASE | {"rule": rule, "T": 60}
    leaves, *masks = tensors(case)
    leaves |= {name: leaves[name] / 3 for name in ("weight", "alpha")}
    single = outcome(mine(case, *masks), **{name: value.float() for name, value in leaves.items()})
    for name, value in outcome(truth(case, *masks), **leaves).items():
        assert single[name].dtype is torch.float32
        assert_close(single[name].double(), value, rtol=0, atol=1e-4 * value.abs().max().item(), msg=name)


@pytest.mark.parametrize("rule", ["hebb", "oja"])
def test_a_retain_of_zero(rule, outcome):
    """Red when: eta's gradient divides by a retain that is zero or nearly so."""
    case = CASE | {"rule": rule, "T": 9, "N": 4}
    leaves, _, held = tensors(case)
    leaves["eta"] = torch.tensor([1.0, 1 - 1e-13, 0.999, 1.2], dtype=torch.float64)
    leaves["input"] = leaves["input"].sign()  # shown and held, so that oja's retain is 1 - eta
    clamp = torch.rand(9, 3, 4, generator=torch.Generator().manual_seed(0)) < 0.7
    assert_close(outcome(mine(case, clamp, held), **leaves), outcome(truth(case, clamp, held), **leaves), **TIGHT)


def test_a_trace_at_its_bound_still_answers(outcome):
    """Red when: a connection that lies at its bound without being cut off loses its gradient."""
    case = CASE | {"rule": "clipped_hebb", "T": 4, "N": 5}
    leaves, _, held = tensors(case)
    leaves["trace"] = leaves["trace"].sign()
    leaves["input"][:, :, 0], leaves["hidden"][:, 0] = 0, 0
    clamp = torch.zeros(4, 3, 5, dtype=torch.bool)
    clamp[:, :, 0] = True  # a silent unit: nothing moves its traces
    found = outcome(mine(case, clamp, held), **leaves)
    assert_close(found, outcome(mine(case, clamp, held, "torch"), **leaves), **TIGHT)
    assert found["gradient of trace"][:, 0].abs().min() > 0


def test_threads_do_not_change_a_bit(outcome):
    """Red when: a sum is shared out by the number of threads."""
    case = CASE | {"B": 9}
    leaves, *masks = tensors(case, torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            results.append(outcome(mine(case, *masks), **leaves))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for name, value in results[0].items():
            assert torch.equal(other[name], value), name


def test_the_state_that_came_is_left_alone():
    """Red when: forward or backward writes into the caller's trace."""
    leaves, *masks = tensors(CASE)
    before = {name: value.clone() for name, value in leaves.items()}
    output, trace = mine(CASE, *masks)(**{name: value.requires_grad_() for name, value in leaves.items()})
    (output.sum() + trace.sum()).backward()
    assert_close({name: value.detach() for name, value in leaves.items()}, before, rtol=0, atol=0)


def test_what_is_not_a_number_shows():
    """Red when: tanh or the clip turns NaN into a bound."""
    case = CASE | {"rule": "clipped_hebb"}
    leaves, *masks = tensors(case)
    leaves["input"][3, 1, 2] = float("nan")
    output, trace = mine(case, *masks)(**leaves)
    assert output[3:, 1, 2].isnan().all()
    assert trace[1, :, 2].isnan().all()
    assert output[:, 0].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh_to_a_few_units_in_the_last_place(dtype):
    """Red when: a term of the series is missing, or tanh saturates too early."""
    drive = torch.cat([torch.linspace(-12, 12, 4001), torch.logspace(-20, 0, 400), torch.tensor([0.0, 50, -50, 1e9])])
    drive = torch.cat([drive, torch.tensor([float("inf"), -float("inf")])]).to(dtype).view(1, -1, 1)
    one = torch.zeros(1, 1, dtype=dtype)
    output, _ = PF.plastic_rnn(drive, None, one, one, one[0, 0], "hebb", backend="compiled")
    exact = drive.double().tanh()
    assert_close(output.double(), exact, rtol=4 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("alpha", ["full", "neuron", "shared"])
@pytest.mark.parametrize("rule", [*RULES, Hebb(clip=0.1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_acting_is_that_of_torch(rule, alpha, dtype, random):
    """Red when: a step answers with the trace that it has written, or with the one before the last; or when a look at
    the state writes what is owed twice, or not."""
    cell = PlasticRNNCell(4, 6, rule, alpha, eta=0.2, dtype=dtype, backend="compiled")
    plain = PlasticRNNCell(4, 6, rule, alpha, eta=0.2, dtype=dtype, backend="torch")
    plain.load_state_dict(cell.state_dict())
    with torch.no_grad():
        for each in (cell, plain):
            each.alpha.mul_(100)
    ours, theirs = (Acting(each, each.initial_state(3)) for each in (cell, plain))
    for t, x in enumerate((3 * random(9, 3, 4)).to(dtype)):
        assert_close(ours(x), theirs(x))
        if t in (0, 3, 4, 8):
            assert_close(ours.state, theirs.state)
    assert ours.state.trace.abs().max() > 0


def test_acting_on_a_trace_that_is_not_contiguous(random):
    """Red when: the compiled step takes rows of a transposed trace for its columns, or writes into it."""
    cell = PlasticRNNCell(4, 6, "oja", eta=0.2, dtype=torch.float64)
    hidden, trace, x = random(3, 6), random(3, 6, 6).mT, random(3, 4)
    given = trace.clone()
    expected, after = cell(x, PlasticState(hidden, given))
    acting = Acting(cell, PlasticState(hidden, trace))
    assert_close((acting(x), acting.state.trace), (expected.detach(), after.trace.detach()))
    assert torch.equal(trace, given)


def test_acting_refuses_inputs_of_another_shape(random):
    """Red when: the compiled step reads past the end of a smaller batch."""
    acting = Acting(PlasticRNNCell(4, 6), PlasticRNNCell(4, 6).initial_state(3))
    with pytest.raises(ValueError, match=r"input: expected \(3, 4\)"):
        acting(torch.zeros(2, 4))


FORKED = """
import os, torch
from plastic import PlasticRNN
torch.set_num_threads(3)
rnn, x = PlasticRNN(3, 5, backend="compiled"), torch.randn(4, 9, 3)
expected = rnn(x)[0]
child = os.fork()
if not child:
    os._exit(0 if torch.equal(rnn(x)[0], expected) and torch.equal(rnn(x)[0], expected) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_has_threads_of_its_own():
    """Red when: it takes its parent's, which are not there, and waits for them."""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], timeout=120, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


class Own(Hebb):
    def vectors(self, post, eta, m=None):
        return 1 - eta, eta * post * post


def test_what_cannot_be_compiled_runs_in_torch_or_says_so(random):
    """Red when: a subclass is taken for its parent, another precision for float32, or a refusal is silent."""
    own, half = PlasticRNN(2, 3, Own(), backend="compiled"), PlasticRNN(2, 3, dtype=torch.bfloat16, backend="compiled")
    for rnn, reason in ((own, "no compiled step for Own"), (half, "takes all float32 or all float64")):
        x = torch.randn(4, 1, 2).to(rnn.cell.weight.dtype)
        with pytest.raises(ValueError, match=reason):
            rnn(x)
        with pytest.raises(ValueError, match=reason):
            Acting(rnn.cell, rnn.initial_state(1))
        rnn.cell.backend = "auto"
        rnn(x)
    with pytest.raises(ValueError, match="expected one of auto, torch, compiled, triton, got 'fast'"):
        PlasticRNN(2, 3, backend="fast")(torch.randn(4, 1, 2))
    R = [torch.randn(s) for s in ((4, 2, 1, 3), (2, 3, 3), (2, 3, 3), (2,))]
    with pytest.raises(ValueError, match="takes no replica dimension"):
        PF.plastic_rnn(R[0], None, R[1], R[2], R[3], "hebb", backend="compiled")


def test_room_grows_with_steps_by_vectors():
    """Red when: backward keeps traces in proportion to the steps."""
    N = 200
    vectors = 2 * (10_000 - 250) * (2 * N + 1)  # two numbers a unit and step, and the signal, of two episodes
    traces = (compiled.scratch_of(10_000, N) - compiled.scratch_of(250, N) - vectors) / N**2
    assert 0 <= traces <= 30
    assert compiled.scratch_of(250, N) < 50 * N**2


@pytest.mark.parametrize(
    ("rule", "clamped", "units", "kernel"),
    [
        ("oja", 4, 200, "compiled"),
        ("oja", 6, 200, "factored"),
        ("oja", 0, 600, "factored"),
        ("clipped_hebb", 6, 600, "compiled"),
    ],
)
def test_what_is_left_to_itself_takes_the_faster_way(rule, clamped, units, kernel):
    """Red when: steps that are mostly clamped, or traces beyond the cache, are compiled though outer products win; or
    free steps, or a clip, are left to torch operations."""
    weight, rule = torch.zeros(units, units), as_rule(rule)
    worth = sequence.worth_compiling(rule, [t < clamped for t in range(10)], weight)
    assert sequence.choose("auto", rule, worth, 0, (weight,)) == kernel


SILENT = "from plastic import PlasticRNN as P; import torch; print(P(2, 3)(torch.ones(2, 1, 2))[0].shape[0])"


@pytest.mark.parametrize("compiler", ["false", "no-such-compiler"])
def test_without_a_compiler_torch_does_it_in_silence(compiler, tmp_path, monkeypatch):
    """Red when: a build that fails raises, or leaves something behind."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("PATH", "" if compiler == "no-such-compiler" else "/bin:/usr/bin")
    done = subprocess.run([sys.executable, "-c", SILENT], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("2\n", "")
    assert not [*tmp_path.rglob("*.so")]


def test_builds_at_once_do_not_meet(tmp_path, monkeypatch):
    """Red when: a library is written in its own place, where another process may load half of it."""
    source = tmp_path / "small.cpp"
    source.write_text('extern "C" int seven() { return 7; }')
    monkeypatch.setattr(build, "SOURCE", source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places = []

    def whole(path):
        build._build(path)
        places.append(path)
        return build.ctypes.CDLL(str(path)).seven()

    with ThreadPoolExecutor(3) as pool:
        assert [*pool.map(whole, [build._place()] * 3)] == [7, 7, 7]
    assert [*(tmp_path / "cache" / "plastic").iterdir()] == [places[0]]


def test_another_processor_or_source_is_another_library(tmp_path, monkeypatch):
    """Red when: a shared home serves a library that was built for another machine, or from an older source or part."""
    places = [build._place()]
    monkeypatch.setattr(build, "_processor", lambda: "another")
    places.append(build._place())
    monkeypatch.setattr(build, "SOURCE", tmp_path / "other.cpp")
    for name in ("other.cpp", "part.h", "part.h"):
        with (tmp_path / name).open("a") as file:
            file.write("// more\n")
        places.append(build._place())
    (tmp_path / "notes.txt").write_text("not compiled")
    assert build._place() == places[-1]
    assert len({*places}) == 5
