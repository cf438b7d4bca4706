"""The training loop of every command: it counts, watches the clock and the signals, logs and saves.

Losses stay on the device between two evaluations, so nothing waits for them. Several processes go through it in step.
"""

import math
import sys
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from plastic.errors import UserError
from plastic.experiment import processes
from plastic.experiment.options import Diverged
from plastic.experiment.run import Run
from plastic.experiment.signals import Interrupted, Signals

PIECES = 1024  # of what updates returned, before they are joined


class Stateful(Protocol):
    """A model, an optimizer, a schedule: whatever a checkpoint has to bring back."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any) -> object: ...


class Progress:
    """How far a run is: episodes and seconds of training, over all its sittings."""

    def __init__(self) -> None:
        self.episodes = 0
        self.logged = 0
        """episodes at the last evaluation"""
        self.seconds = 0.0
        self.recorded: dict[str, list[Tensor]] = {}
        """what ``step`` returned since then, in pieces (n,)"""

    def record(self, scalars: Mapping[str, Tensor]) -> None:
        """What one update returned; pieces are joined now and then, since a tensor takes a kilobyte however small."""
        for name, value in scalars.items():
            pieces = self.recorded.setdefault(name, [])
            pieces.append(value.detach().reshape(1))
            if len(pieces) == PIECES:
                self.recorded[name] = [torch.cat(pieces)]


def train(
    run: Run,
    step: Callable[[], dict[str, Tensor]],
    evaluate: Callable[[int], Mapping[str, float]],
    parts: Mapping[str, Stateful | torch.Generator],
    episodes: int,
    batch: int,
    every: int | Collection[int],
    facts: Mapping[str, Any] | None = None,
) -> Progress:
    """Call ``step``, one update on ``batch`` episodes, until ``episodes`` are done or --max-seconds are over.

    Args:
        step: returns scalars on the device, ``loss`` among them; logged as their means under ``train/``.
        evaluate: given the episodes so far, returns scalars with their full names; called every ``every`` episodes, or
            at these counts, before each checkpoint, and at the end.
        parts: what the checkpoint holds; restored first when the run resumes.
        facts: more for the checkpoint (dicts, lists, tensors, numbers, strings).
    Raises Diverged for a non-finite loss or weight, keeping the last good checkpoint; Interrupted after SIGINT or
    SIGTERM, with the checkpoint saved; UserError where the disk refuses.
    """
    progress = _restored(run, parts)
    started = time.monotonic() - progress.seconds
    limit = run.config.max_seconds or math.inf

    def save() -> None:
        recorded = {name: torch.cat(pieces) for name, pieces in progress.recorded.items()}
        states = {
            name: part.get_state() if isinstance(part, torch.Generator) else part.state_dict()
            for name, part in parts.items()
        }
        position = {"episodes": progress.episodes, "logged": progress.logged, "seconds": progress.seconds}
        run.save({**position, "recorded": recorded, "parts": states, **(facts or {})})

    def due(at: int) -> bool:
        return at % every < batch if isinstance(every, int) else at in every

    def report(bar: Any) -> None:
        means = _means(progress)
        rate = progress.episodes / max(progress.seconds, 1e-9)
        clock = {"time/seconds": progress.seconds, "time/episodes_per_second": rate}
        scalars = {**means, **evaluate(progress.episodes), **clock}
        run.log(progress.episodes, scalars)
        progress.logged = progress.episodes
        shown = "  ".join(f"{name} {scalars[name]:.4f}" for name in scalars if name.startswith(("train/", "eval/")))
        if not processes.first():
            return
        if bar.disable:
            print(f"{run.task} {progress.episodes}/{episodes} episodes  {progress.seconds:.0f} s  {shown}", flush=True)
        else:
            bar.set_postfix_str(shown)

    off = None if processes.first() else True
    bar = tqdm(total=episodes, initial=progress.episodes, unit="ep", disable=off, file=sys.stderr, dynamic_ncols=True)
    with Signals() as signals, bar:
        watch = processes.Watch(started, progress.seconds, signals)
        while progress.episodes < episodes and progress.seconds < limit:
            progress.record(step())
            progress.episodes += batch
            progress.seconds = watch.look(1)
            bar.update(batch)
            if due(progress.episodes) or progress.episodes >= episodes:
                _check_finite(progress, parts, batch)
                progress.seconds = watch.look()
                report(bar)
                save()
                progress.seconds = watch.look()
            if watch.signal is not None:
                break
        if progress.recorded:  # a signal or --max-seconds ended it between two evaluations
            _check_finite(progress, parts, batch)
            save()  # before the report: resumed, the run goes on as if it had not stopped here
            watch.look()
            if watch.signal is None:
                report(bar)
                watch.look()
        if watch.signal is not None:
            raise Interrupted(watch.signal, f"interrupted at {progress.episodes} episodes; checkpoint saved")
    return progress


def _restored(run: Run, parts: Mapping[str, Stateful | torch.Generator]) -> Progress:
    """The progress of the checkpoint that the run resumes, with every part put back; else a fresh one."""
    progress, content = Progress(), run.restored
    if content is None:
        return progress
    try:
        for name, part in parts.items():
            state = content["parts"][name]
            if isinstance(part, torch.Generator):
                part.set_state(state)
            else:
                part.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError) as error:
        path = run.checkpoint_path
        raise UserError(f"{path} does not fit the {name} of this program: choose another --out") from error
    progress.episodes, progress.logged, progress.seconds = content["episodes"], content["logged"], content["seconds"]
    progress.recorded = {name: [values.to(run.device)] for name, values in content["recorded"].items()}
    return progress


def _check_finite(progress: Progress, parts: Mapping[str, Stateful | torch.Generator], batch: int) -> None:
    """Diverged if a loss since the last evaluation, or a weight now, is not a finite number."""
    finite = torch.isfinite(torch.cat(progress.recorded["loss"])).cpu()
    if not finite.all():
        updates = len(finite) - int(finite.to(torch.int8).argmin())
        at = progress.episodes - (updates - 1) * batch
        raise Diverged(f"the loss stopped being finite at episode {at}; the last checkpoint before it is kept")
    modules = (part for part in parts.values() if isinstance(part, nn.Module))
    if not all(p.isfinite().all() for module in modules for p in module.parameters()):
        raise Diverged(
            f"a weight stopped being finite at episode {progress.episodes}; the last checkpoint before it is kept"
        )


def _means(progress: Progress) -> dict[str, float]:
    """The means since the last evaluation, brought to the host at once."""
    columns = {name: torch.cat(pieces).double().cpu() for name, pieces in progress.recorded.items()}
    progress.recorded = {}
    return {f"train/{name}": values.mean().item() for name, values in columns.items()}
