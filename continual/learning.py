"""One task after another, all seeds side by side: the updates, the evaluations, and what is reported."""

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from continual import metrics
from continual.dhp import DHPSoftmax
from continual.figures import draw_figures
from continual.networks import replicate
from continual.options import ContinualOptions
from continual.regularizers import Quadratic, make
from continual.scenarios import Stream
from plastic.experiment import Diverged, Estimate, Outcome, Run, Stateful, Together, generator, train
from plastic.experiment.checkpoint import write_whole

EXAMINED = 500  # images of a seed that are tested at once
GLANCE = 2_000  # most training examples of a task whose accuracy is reported

TRANSFERS = ("forgetting", "backward_transfer", "forward_transfer")

Make = Callable[[Stream, int], nn.Module]  # a network for R replicas


class Phase(NamedTuple):
    """What is learned without a break: a task, or all of them where learning is joint."""

    rows: Tensor
    """training images (n,)"""
    task: int | Tensor
    """the task of all rows, or of each (n,)"""


class Record:
    """Where learning stands and how well each task was known when: part of a checkpoint."""

    def __init__(self, seeds: int, tasks: int) -> None:
        self.updates = 0
        self.matrix = torch.full((seeds, tasks + 1, tasks), float("nan"), dtype=torch.double)
        """accuracy after learning i tasks, on task j: (R, T + 1, T)"""
        self.trained = torch.zeros(seeds, tasks, dtype=torch.double)
        """accuracy on the training examples of task j by the network of its own, where each has one: (R, T)"""

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "matrix": self.matrix.clone(), "trained": self.trained.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["matrix"].shape != self.matrix.shape:
            raise ValueError("the matrix is of other tasks or seeds")
        self.updates, self.matrix, self.trained = state["updates"], state["matrix"].clone(), state["trained"].clone()


class Learner:
    """R networks, one a seed, that learn a stream."""

    def __init__(self, config: ContinualOptions, stream: Stream, make_network: Make, device: torch.device) -> None:
        self.config, self.stream, self.device = config, stream, device
        self.seeds = range(config.seed, config.seed + config.seeds)
        self._fresh = lambda seeds: replicate(lambda R: make_network(stream, R), seeds, device)
        self.network = self._fresh(self.seeds)
        self.regularizer = make(
            config.reg, self.network, config.settled_strength, config.xi, config.gamma, config.fisher
        )
        kind = torch.optim.SGD if config.optimizer == "sgd" else torch.optim.Adam
        self.optimizer = kind(self.network.parameters(), lr=config.lr, fused=True)
        self.record = Record(len(self.seeds), len(stream.tasks))
        self.phases = self._phases()
        self._per_epoch = [-(-len(phase.rows) // config.batch) for phase in self.phases]
        self.ends = list(accumulate(config.epochs * n for n in self._per_epoch))
        self._offsets = torch.tensor([task.offset for task in stream.tasks], device=device)
        self._taught = torch.zeros(len(stream.tasks), stream.units, dtype=torch.bool, device=device)
        for allowed, task in zip(self._taught, stream.tasks, strict=True):
            allowed[task.taught] = True
        self._order: tuple[tuple[int, int], Tensor] | None = None

    def _phases(self) -> list[Phase]:
        tasks = self.stream.tasks
        if not self.config.joint:
            return [Phase(task.train, t) for t, task in enumerate(tasks)]
        of = [torch.full_like(task.train, t) for t, task in enumerate(tasks)]
        return [Phase(torch.cat([task.train for task in tasks]), torch.cat(of))]

    def order(self, phase: int, epoch: int) -> Tensor:
        """Positions in the phase, shuffled by each seed: (R, n). A function of seed, phase and epoch alone."""
        if self._order is None or self._order[0] != (phase, epoch):
            length = len(self.phases[phase].rows)
            chances = (generator(seed, f"order {phase} {epoch}") for seed in self.seeds)
            orders = torch.stack([torch.randperm(length, generator=chance) for chance in chances])
            self._order = (phase, epoch), orders.to(self.device)
        return self._order[1]

    def step(self) -> dict[str, Tensor]:
        """One update of every seed."""
        config, at = self.config, self.record.updates
        number = next(i for i, end in enumerate(self.ends) if at < end)
        phase, begin = self.phases[number], self.ends[number - 1] if number else 0
        if at == begin:
            self.begin(number)
        self.pace((at - begin) / (self.ends[number] - begin))
        epoch, batch = divmod(at - begin, self._per_epoch[number])
        chosen = self.order(number, epoch)[:, batch * config.batch : (batch + 1) * config.batch]  # (R, B)
        loss = self.update(phase, chosen)
        self.record.updates += 1
        if self.record.updates == self.ends[number] and not config.joint:
            self.regularizer.end_task(self.examples(number), lambda inputs: self.answer(inputs, number))
        return {"loss": loss}

    def begin(self, number: int) -> None:
        """Before a phase: what is not carried over."""
        if number and self.config.scratch:
            # a seed's later networks come from seeds of their own
            fresh = self._fresh([seed + 1_000_003 * number for seed in self.seeds])
            self.network.load_state_dict(fresh.state_dict())
        if number and (self.config.reset_optimizer or self.config.scratch):
            self.optimizer.state.clear()

    def pace(self, done: float) -> None:
        """Set the rate when a share of the phase, 0 to 1, is done."""
        config = self.config
        rate = config.lr * (1 - done) if config.decay else config.lr
        self.optimizer.param_groups[0]["lr"] = rate
        if isinstance(self.regularizer, Quadratic) and config.optimizer == "sgd" and not config.explicit:
            self.regularizer.implicit = rate

    def update(self, phase: Phase, chosen: Tensor) -> Tensor:
        """Gradient of the task, penalty, step: the mean loss of the seeds."""
        rows = phase.rows[chosen]
        task = phase.task if isinstance(phase.task, int) else phase.task[chosen]
        inputs = self.stream.inputs(self.stream.train, rows, task)
        units = self.stream.train_labels[rows] + self._offsets[task]
        self.network.train()
        taught = units
        if self.config.teacher == "prediction":
            taught = self._predicted(inputs, task)
        logits = self._competing(self.network(inputs, taught, self._chances()), task)
        target = units if isinstance(task, Tensor) else units - (self.stream.tasks[task].taught.start)
        losses = F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
        loss = losses.sum() / chosen.shape[1]  # every seed has its own gradient
        self.optimizer.zero_grad()
        if loss.requires_grad:  # a memory has nothing to descend
            loss.backward()
        self.regularizer.add_penalty_grad_()
        self.optimizer.step()
        self.regularizer.after_step()
        return loss.detach() / len(self.seeds)

    def _competing(self, logits: Tensor, task: int | Tensor) -> Tensor:
        """Logits of the units that are taught: those of one task, or the others of each sample at minus infinity."""
        if isinstance(task, int):
            return logits[..., self.stream.tasks[task].taught]
        return logits.masked_fill(~self._taught[task], float("-inf"))

    @torch.no_grad()
    def _predicted(self, inputs: Tensor, task: int | Tensor) -> Tensor:
        """The network's own answer, as units: (R, B)."""
        first = 0 if isinstance(task, Tensor) else self.stream.tasks[task].taught.start
        return self._competing(self.network(inputs), task).argmax(-1) + first

    def _chances(self) -> list[torch.Generator]:
        """What drops units, as a function of seed and update."""
        if not getattr(self.network, "drops", False):
            return []
        return [generator(seed, f"dropout {self.record.updates}", self.device) for seed in self.seeds]

    def examples(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The training examples of a task in batches, labels as indices into ``answer``."""
        config, task = self.config, self.stream.tasks[number]
        most = config.importance_examples or len(task.train)
        chances = [generator(seed, f"importance {number}") for seed in self.seeds]
        picked = torch.stack([torch.randperm(len(task.train), generator=c)[:most] for c in chances]).to(self.device)
        for chosen in picked.split(config.batch if config.fisher == "batched" else EXAMINED, dim=1):
            rows = task.train[chosen]
            labels = self.stream.train_labels[rows] + task.offset - task.answered.start
            yield self.stream.inputs(self.stream.train, rows, number), labels

    def answer(self, inputs: Tensor, number: int) -> Tensor:
        """Logits of the units that may answer in a task."""
        logits: Tensor = self.network(inputs)[..., self.stream.tasks[number].answered]
        return logits

    @torch.no_grad()
    def accuracy(self, number: int, on_training: bool = False) -> Tensor:
        """The share of a task's images that each seed gets right: (R,)."""
        stream, task = self.stream, self.stream.tasks[number]
        images, labels = (stream.train, stream.train_labels) if on_training else (stream.test, stream.test_labels)
        rows = task.train[:GLANCE] if on_training else task.test
        self.network.eval()
        right = torch.zeros(len(self.seeds), device=self.device)
        for part in rows.split(EXAMINED):
            inputs = stream.inputs(images, part.expand(len(self.seeds), -1), number)
            wanted = labels[part] + task.offset - task.answered.start
            right += (self.answer(inputs, number).argmax(-1) == wanted).sum(-1)
        return right.double().cpu() / len(rows)

    def examine(self) -> Tensor:
        """The accuracy on every task now: (R, T)."""
        return torch.stack([self.accuracy(j) for j in range(len(self.stream.tasks))], -1)

    def look(self) -> None:
        """Enter into the record what is known now."""
        self.record.matrix[:, self.learned] = self.examine()
        if self.config.scratch:  # the network of the next task will know nothing of this one
            self.record.trained[:, self.learned - 1] = self.accuracy(self.learned - 1, on_training=True)

    def training_accuracy(self) -> Tensor:
        """The mean over the tasks learned, on their training examples: (R,)."""
        if self.config.scratch:
            return self.record.trained[:, : self.learned].mean(-1)
        return torch.stack([self.accuracy(j, on_training=True) for j in range(self.learned)], -1).mean(-1)

    @property
    def learned(self) -> int:
        """Tasks that learning has begun and, with the last update, may have finished."""
        if self.config.joint:
            return len(self.stream.tasks)
        return 1 + sum(self.record.updates > end for end in self.ends[:-1])


def learn(config: ContinualOptions, run: Run, stream: Stream, make_network: Make) -> Together:
    """Train all seeds on the stream, evaluating after every task."""
    learner = Learner(config, stream, make_network, run.device)
    record = learner.record
    facts = {"dataset": stream.name, "trained_seeds": list(learner.seeds)}
    run.describe(**facts)
    if run.restored is None:
        record.matrix[:, 0] = learner.examine()

    def evaluate(updates: int) -> dict[str, float]:
        learner.look()
        now = record.matrix[:, learner.learned]
        each = {f"eval/task_{j + 1}": value for j, value in enumerate(now.mean(0).tolist())}
        n = learner.learned
        so_far = summary(record.matrix[:, : n + 1, :n], config)
        seen = {"accuracy_seen": now[:, :n].mean(), **{k: so_far[k].mean() for k in TRANSFERS if k in so_far}}
        return {**{f"eval/{name}": value.item() for name, value in seen.items()}, **each, **_state(learner)}

    parts: dict[str, Stateful | torch.Generator] = {
        "network": learner.network,
        "optimizer": learner.optimizer,
        "regularizer": learner.regularizer,
        "record": record,
    }
    try:
        progress = train(run, learner.step, evaluate, parts, learner.ends[-1], 1, set(learner.ends), facts)
    except Diverged as error:
        raise Diverged(f"{error}; {_advice(learner)}") from error
    if torch.isnan(record.matrix[:, learner.learned]).any():  # resumed when all was done but for the last evaluation
        learner.look()
    learned = learner.learned
    table = metrics.as_csv(record.matrix, list(learner.seeds), learned)
    write_whole(run.folder / "accuracy_matrix.csv", table.encode())
    draw_figures(run, record.matrix[:, : learned + 1], config, stream.name, progress.episodes)
    found = summary(record.matrix[:, : learned + 1, :learned], config)
    found["train_accuracy"] = learner.training_accuracy()
    outcomes = [
        Outcome(
            stream.name,
            progress.episodes,
            progress.seconds / len(learner.seeds),
            {name: Estimate(values[r].item(), float("nan")) for name, values in found.items()},
        )
        for r in range(len(learner.seeds))
    ]
    matrices = record.matrix[:, : learned + 1].tolist()
    rows = [[[None if x != x else x for x in row] for row in matrix] for matrix in matrices]  # joint: none between
    shown = {"tasks_learned": learned, "strength": config.settled_strength, "accuracy_matrix": rows}
    return Together(outcomes, shown)


def summary(matrix: Tensor, config: ContinualOptions) -> dict[str, Tensor]:
    """The metrics of each seed (R,) from R (R, T + 1, T)."""
    if config.scratch:
        return {"average_accuracy": matrix[:, 1:].diagonal(dim1=1, dim2=2).mean(-1)}
    found = {"average_accuracy": metrics.average_accuracy(matrix)}
    if matrix.shape[-1] > 1 and not config.joint:
        found["forgetting"] = metrics.forgetting(matrix)
        found["backward_transfer"] = metrics.backward_transfer(matrix)
        found["forward_transfer"] = metrics.forward_transfer(matrix)
    return found


def _advice(learner: Learner) -> str:
    """What to try when learning diverged."""
    config, pace = learner.config, learner.config.lr * learner.regularizer.steepest()
    if config.explicit and config.optimizer == "sgd" and pace > 2:
        return (
            f"explicit steps run away where --lr times the curvature of the penalty is above 2, here {pace:.3g}: "
            "leave --explicit out, or lower --strength or --lr"
        )
    return "lower --lr" if config.reg == "none" else "lower --lr or --strength"


def _state(learner: Learner) -> dict[str, float]:
    """The penalty, and how plastic the read-out has become."""
    found = {"plasticity/penalty": learner.regularizer.penalty().item() / len(learner.seeds)}
    head = getattr(learner.network, "head", None)
    if isinstance(head, DHPSoftmax):
        found["plasticity/eta"] = head.eta.mean().item()
        found["plasticity/alpha_mean"] = head.alpha.mean().item()
        found["plasticity/trace_size"] = head.trace.abs().mean().item()
    return found
