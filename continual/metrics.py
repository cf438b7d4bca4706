"""What a matrix of accuracies says about learning and forgetting.

R has T + 1 rows and T columns: R[i, j] is the accuracy on task j after learning the tasks 1 to i; row 0 is at
initialisation. Leading dimensions, such as seeds, are kept. Accuracies are fractions in [0, 1].
"""

from collections.abc import Sequence

from torch import Tensor


def average_accuracy(R: Tensor) -> Tensor:
    """(1/T) sum_j R[T, j]: (...,)."""
    return R[..., -1, :].mean(-1)


def forgetting(R: Tensor) -> Tensor:
    """1/(T-1) sum_{j<T} (max_{1<=k<T} R[k, j] - R[T, j]): how far below its best a task has fallen; may be negative.

    Chaudhry et al. 2018. k starts at the task itself, since before it nothing was learned of it.
    """
    tasks = R.shape[-1]
    best = [R[..., j + 1 : tasks, j].amax(-1) - R[..., -1, j] for j in range(tasks - 1)]
    return _mean(best)


def backward_transfer(R: Tensor) -> Tensor:
    """1/(T-1) sum_{j<T} (R[T, j] - R[j, j]): negative where later tasks harm earlier ones (Lopez-Paz, Ranzato 2017)."""
    return _mean([R[..., -1, j] - R[..., j + 1, j] for j in range(R.shape[-1] - 1)])


def forward_transfer(R: Tensor) -> Tensor:
    """1/(T-1) sum_{j>1} (R[j-1, j] - R[0, j]): what earlier tasks do for one not yet seen, against initialisation."""
    return _mean([R[..., j, j] - R[..., 0, j] for j in range(1, R.shape[-1])])


def _mean(values: Sequence[Tensor]) -> Tensor:
    """ValueError for a single task, of which there is nothing to transfer."""
    if not values:
        raise ValueError("forgetting and transfer need at least two tasks")
    return sum(values[1:], values[0]) / len(values)


def as_csv(matrices: Tensor, seeds: Sequence[int], learned: int) -> str:
    """One line for each seed, tasks learned (0 to ``learned``) and task: matrices (seeds, T + 1, T)."""
    lines = ["seed,tasks_learned,task,accuracy"]
    for seed, matrix in zip(seeds, matrices.tolist(), strict=True):
        for i, row in enumerate(matrix[: learned + 1]):
            lines += [f"{seed},{i},{j + 1},{value:.6f}" for j, value in enumerate(row)]
    return "\n".join(lines) + "\n"
