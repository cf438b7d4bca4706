"""Penalties against closed forms and autograd."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from continual.importance import fisher
from continual.networks import MLP
from continual.regularizers import EWC, L2, MAS, SI, OnlineEWC, Quadratic, make

TIGHT = {"rtol": 1e-9, "atol": 1e-12}
MADE = {
    "l2": lambda model: L2(model, 0.7),
    "ewc": lambda model: EWC(model, 0.7),
    "online_ewc": lambda model: OnlineEWC(model, 0.7, gamma=0.6),
    "si": lambda model: SI(model, 0.7, xi=0.01),
    "mas": lambda model: MAS(model, 0.7),
}


class Point(nn.Module):
    """Parameters alone."""

    def __init__(self, values):
        super().__init__()
        self.theta = nn.Parameter(values.clone())


def _data(task):
    chance = torch.Generator().manual_seed(task)
    x = torch.randn(1, 30, 4, generator=chance, dtype=torch.double)
    return x, (x[..., :3] @ torch.randn(3, 3, generator=chance, dtype=torch.double)).argmax(-1)


def _train(model, regularizer, task, steps=6, lr=0.3, optimizer=torch.optim.SGD, end=True):
    x, y = _data(task)
    descent = optimizer(model.parameters(), lr=lr)
    for _ in range(steps):
        descent.zero_grad()
        F.cross_entropy(model(x, y).flatten(0, 1), y.flatten()).backward()
        regularizer.add_penalty_grad_()
        descent.step()
        regularizer.after_step()
    if end:
        regularizer.end_task([(x, y)])


def _model(head="linear"):
    torch.manual_seed(0)
    return MLP((4, 5), 3, 1, head).double()


def test_si_on_a_quadratic_is_h_over_2_minus_e_h():
    """E = sum H theta² / 2 by descent in steps e. Red if w has half the size, or Delta is not the whole way."""
    H = torch.tensor([0.1, 0.5, 1.0, 3.0], dtype=torch.double)
    step = 0.4
    model = Point(torch.tensor([1.0, -2.0, 0.3, 5.0], dtype=torch.double))
    si = SI(model, 1.0, xi=1e-30)
    descent = torch.optim.SGD(model.parameters(), lr=step)
    for _ in range(600):
        descent.zero_grad()
        (0.5 * H * model.theta.square()).sum().backward()
        si.add_penalty_grad_()
        descent.step()
        si.after_step()
    si.end_task()
    assert_close(si.tensors["importance"]["theta"], H / (2 - step * H), **TIGHT)


def test_si_takes_the_gradient_of_the_task_and_the_change_that_was_made():
    """Adam and a strong penalty. Red if w takes the gradient with the penalty in it, or lr times the gradient."""
    model = _model()
    si = SI(model, 5.0, xi=0.01)
    _train(model, si, 0, optimizer=torch.optim.Adam, lr=0.05)
    x, y = _data(1)
    descent = torch.optim.Adam(model.parameters(), lr=0.05)
    path = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for step in range(4):
        task = torch.autograd.grad(F.cross_entropy(model(x).flatten(0, 1), y.flatten()), list(model.parameters()))
        before = [p.detach().clone() for p in model.parameters()]
        descent.zero_grad()
        F.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
        si.add_penalty_grad_()
        assert step == 0 or not all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), task, strict=True))
        descent.step()
        si.after_step()
        for (name, p), g, old in zip(model.named_parameters(), task, before, strict=True):
            path[name] -= g * (p.detach() - old)
    assert_close(si.tensors["path"], path, **TIGHT)
    anchor, importance = (dict(si.tensors[kind]) for kind in ("anchor", "importance"))
    si.end_task()
    for name, p in model.named_parameters():
        added = path[name] / ((p.detach() - anchor[name]).square() + 0.01)
        assert_close(si.tensors["importance"][name], (importance[name] + added).clamp(min=0), **TIGHT)
        assert si.tensors["path"][name].abs().sum() == 0  # reset for the next task
        assert_close(si.tensors["anchor"][name], p.detach(), rtol=0, atol=0)


def test_importance_is_never_negative_in_si():
    """Red without the rectification: a parameter that climbed would be pushed away from its anchor."""
    model = Point(torch.tensor([1.0], dtype=torch.double))
    si = SI(model, 1.0)
    model.theta.grad = torch.ones(1, dtype=torch.double)
    si.add_penalty_grad_()
    model.theta.data += 0.5  # uphill
    si.after_step()
    si.end_task()
    assert si.tensors["importance"]["theta"].item() == 0


@pytest.mark.parametrize("name", MADE)
def test_the_gradient_is_that_of_the_penalty(name):
    """Against finite differences after two tasks. Red if the factor of one, 2 or 1/2, is not in the other."""
    model = _model()
    regularizer = MADE[name](model)
    for task in range(2):
        _train(model, regularizer, task)
    _train(model, regularizer, 2, end=False)
    for p in model.parameters():
        p.grad = torch.full_like(p, 0.25)  # of some task
    regularizer.add_penalty_grad_()
    for p in model.parameters():
        at = (0, 1, 2)[: p.dim()]
        found, size = p.grad[at] - 0.25, 1e-5
        with torch.no_grad():
            p[at] += size
            above = regularizer.penalty()
            p[at] -= 2 * size
            below = regularizer.penalty()
            p[at] += size
        assert_close(found, (above - below) / (2 * size), rtol=1e-6, atol=1e-9)
        assert found != 0


def test_ewc_is_the_sum_of_a_term_for_each_task():
    """Kept as one quadratic. Red if the centre is the last optimum, a term is lost, or there is no 1/2."""
    model = _model()
    ewc = EWC(model, 0.7)
    terms = []
    for task in range(3):
        _train(model, ewc, task)
        here = {name: p.detach().clone() for name, p in model.named_parameters()}
        terms.append((fisher(model, ewc.parameters, [_data(task)]), here))
    _train(model, ewc, 3, end=False)
    expected = 0.0
    for F_t, here in terms:
        for name, p in model.named_parameters():
            expected = expected + 0.5 * 0.7 * (F_t[name] * (p - here[name]).square()).sum()
    assert_close(ewc.penalty(), expected.detach(), **TIGHT)
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    for p in model.parameters():
        p.grad = None
    ewc.add_penalty_grad_()
    assert_close([p.grad for p in model.parameters()], list(gradients), **TIGHT)


def test_online_ewc_fades_by_gamma():
    """F~ = gamma F~ + F, and gamma in the penalty too. Red if either is left out, or the centre stays behind."""
    model = _model()
    online = OnlineEWC(model, 0.7, gamma=0.6)
    running = None
    for task in range(3):
        _train(model, online, task)
        found = fisher(model, online.parameters, [_data(task)])
        running = found if running is None else {name: 0.6 * running[name] + F_t for name, F_t in found.items()}
    here = {name: p.detach().clone() for name, p in model.named_parameters()}
    _train(model, online, 3, end=False)
    expected = sum(0.5 * 0.7 * 0.6 * (running[n] * (p - here[n]).square()).sum() for n, p in model.named_parameters())
    assert_close(online.penalty(), expected.detach(), **TIGHT)


def test_mas_adds_up_over_tasks():
    """Red if a task's importance replaces that of the tasks before."""
    model = _model()
    mas = MAS(model, 1.0)
    _train(model, mas, 0)
    first = mas.tensors["importance"]
    _train(model, mas, 1)
    again = MAS(model, 1.0)
    again.end_task([_data(1)])
    expected = {name: first[name] + again.tensors["importance"][name] for name in first}
    assert_close(mas.tensors["importance"], expected, **TIGHT)


@pytest.mark.parametrize("name", MADE)
def test_dhp_is_protected_in_its_slow_weights_alone(name):
    """Red if alpha or eta has an importance, or the slow weights of the head have none."""
    model = _model("dhp")
    regularizer = MADE[name](model)
    for task in range(2):
        _train(model, regularizer, task)
    assert set(regularizer.tensors["importance"]) == {"hidden.0.weight", "hidden.0.bias", "head.weight"}
    assert all(value.sum() > 0 for value in regularizer.tensors["importance"].values())
    model.head.alpha.data += 1
    model.head.eta.data += 0.1
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    regularizer.add_penalty_grad_()
    assert model.head.alpha.grad.abs().sum() == 0
    assert model.head.eta.grad.abs().sum() == 0


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("head", ["linear", "dhp"])
def test_a_positive_strength_changes_training(name, head):
    """From the second task on, and not before. Red if the gradient of the penalty never reaches the optimizer."""
    ends = {}
    for which in ("none", name):
        model = _model(head)
        regularizer = MADE[which](model) if which != "none" else make("none", model, 0.0)
        _train(model, regularizer, 0)
        after_one = model.hidden[0].weight.detach().clone()
        _train(model, regularizer, 1)
        ends[which] = after_one, model.hidden[0].weight.detach().clone()
    assert torch.equal(ends[name][0], ends["none"][0])
    assert not torch.equal(ends[name][1], ends["none"][1])


@pytest.mark.parametrize("name", MADE)
def test_strength_zero_is_finetuning(name):
    """Bit for bit. Red if something besides the penalty acts on training."""
    ends = []
    for which, strength in ((name, 0.0), ("none", 0.0)):
        model = _model()
        regularizer = make(which, model, strength)
        for task in range(2):
            _train(model, regularizer, task)
        ends.append([p.detach().clone() for p in model.parameters()])
    assert_close(ends[0], ends[1], rtol=0, atol=0)


@pytest.mark.parametrize("name", MADE)
def test_what_is_saved_is_what_counts(name):
    """Training goes on alike from a loaded state, in the middle of a task. Red if a memory is left out of it."""
    model = _model()
    regularizer = MADE[name](model)
    _train(model, regularizer, 0)
    _train(model, regularizer, 1, steps=3, end=False)
    copy = _model()
    copy.load_state_dict(model.state_dict())
    loaded = MADE[name](copy)
    loaded.load_state_dict({kind: {n: v.clone() for n, v in d.items()} for kind, d in regularizer.state_dict().items()})
    for network, reg in ((model, regularizer), (copy, loaded)):
        _train(network, reg, 1)
        _train(network, reg, 2, end=False)
    assert_close(dict(copy.state_dict()), dict(model.state_dict()), rtol=0, atol=0)
    with pytest.raises(ValueError, match="another network"):
        regularizer.load_state_dict({"anchor": {"hidden.0.weight": torch.zeros(1, 4, 9)}})


@pytest.mark.parametrize("strength", [-1.0, math.nan, math.inf])
def test_a_strength_is_a_number_of_0_or_more(strength):
    """Red if a penalty could push away from what was learned, or turn every weight into NaN."""
    with pytest.raises(ValueError, match="strength"):
        make("si", _model(), strength)


def test_other_settings_have_ranges_too():
    """Red if a damping of zero, or a memory that grows, is accepted."""
    with pytest.raises(ValueError, match="xi"):
        SI(_model(), 1.0, xi=0.0)
    with pytest.raises(ValueError, match="gamma"):
        OnlineEWC(_model(), 1.0, gamma=1.5)
    with pytest.raises(ValueError, match="unknown regularizer"):
        make("lwf", _model(), 1.0)


def test_one_of_your_own_is_a_class_with_one_method():
    """Red if a subclass has to know more than importance and anchor."""

    class Random(Quadratic):
        def end_task(self, loader, answer=None):
            ones = {name: torch.rand_like(p) for name, p in self.parameters.items()}
            self.tensors = {"importance": ones, "anchor": self.here()}

    model = _model()
    regularizer = Random(model, 0.5)
    for task in range(2):
        _train(model, regularizer, task, end=task == 0)
    assert regularizer.penalty() > 0


@pytest.mark.parametrize("name", MADE)
def test_an_implicit_step_follows_the_penalty_where_it_ends(name):
    """d' = d - e (g + k d'). Red if the task's gradient is not divided too, or k lacks the penalty's factor."""
    model = _model()
    regularizer = MADE[name](model)
    _train(model, regularizer, 0)
    regularizer.implicit = rate = 0.3
    x, y = _data(1)
    descent = torch.optim.SGD(model.parameters(), lr=rate)
    F.cross_entropy(model(x, y).flatten(0, 1), y.flatten()).backward()
    before = {key: (p.detach().clone(), p.grad.clone()) for key, p in model.named_parameters()}
    regularizer.add_penalty_grad_()
    descent.step()
    held = 0
    for p in regularizer.parameters.values():
        p.grad = torch.zeros_like(p)
    regularizer.implicit = 0
    regularizer.add_penalty_grad_()  # the gradient of the penalty alone, where the step ended
    for key, p in model.named_parameters():
        start, task = before[key]
        assert_close(p.detach(), start - rate * (task + p.grad), **TIGHT)
        held += int(p.grad.abs().sum() > 0)
    assert held


def test_si_knows_the_change_of_an_implicit_step_beforehand():
    """In a task without and one with importance. Red if the path takes the gradient with the penalty in it twice, or
    the rate is left out."""
    model = _model()
    si = SI(model, 5.0, xi=0.01)
    si.implicit = rate = 0.3
    for task in range(2):
        x, y = _data(task)
        descent = torch.optim.SGD(model.parameters(), lr=rate)
        path = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
        for _ in range(4):
            descent.zero_grad()
            F.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
            before = {name: (p.detach().clone(), p.grad.clone()) for name, p in model.named_parameters()}
            si.add_penalty_grad_()
            descent.step()
            si.after_step()
            for name, p in model.named_parameters():
                path[name] += before[name][1] * (before[name][0] - p.detach())
        assert_close(si.tensors["path"], path, **TIGHT)
        si.end_task()


def test_a_steep_penalty_runs_away_explicitly_and_not_implicitly():
    """e k = 6 > 2. Red if the implicit step is left out."""
    for implicit in (0.0, 0.1):
        point = Point(torch.ones(1, dtype=torch.double))
        held = L2(point, 30.0)
        held.implicit = implicit
        held.end_task([])
        point.theta.data += 1
        descent = torch.optim.SGD(point.parameters(), lr=0.1)
        for _ in range(20):
            point.theta.grad = torch.zeros_like(point.theta)
            held.add_penalty_grad_()
            descent.step()
        away = (point.theta - 1).abs().item()
        assert away < 1e-9 if implicit else away > 1e9
