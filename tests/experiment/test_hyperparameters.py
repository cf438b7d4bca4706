"""TensorBoard's page of hyperparameters, asked as TensorBoard's own server asks."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context
from tiny_task import Config, main

from plastic.experiment import Estimate, Interrupted, Outcome, Together, conduct_together

SMALL = {"episodes": 8, "every": 4, "device": "cpu"}
STATUSES = list(api_pb2.Status.values())


def _page(logdir: Path) -> SimpleNamespace:
    """What the page shows: its columns, those in which runs differ, and its lines by name."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(logdir)).Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(logdir)), logdir=str(logdir)))
    asked = RequestContext(), context, ""
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=100, allowed_statuses=STATUSES)
    lines = list_session_groups.Handler(*asked, request).run().session_groups
    metadata = context.hparams_metadata(RequestContext(), "")
    found = context.experiment_from_metadata(RequestContext(), "", True, metadata, [])
    return SimpleNamespace(
        columns={info.name for info in found.hparam_infos},
        differing=[info.name for info in found.hparam_infos if info.differs],
        metrics={info.name.tag for info in found.metric_infos},
        lines={line.name: line for line in lines},
    )


def _values(line: Any, *names: str) -> list[Any]:
    return [getattr(line.hparams[name], line.hparams[name].WhichOneof("kind")) for name in names]


def test_runs_side_by_side(tmp_path):
    """Red if an option, a final metric or the end of a run is not told, or the runs' lines are not named by folder."""
    plain = main(Config(out=tmp_path / "plain", **SMALL))
    odd = main(Config(out=tmp_path / "odd", lr=0.5, shuffle=True, sizes=(2, 2), **SMALL))
    page = _page(tmp_path)
    assert set(page.lines) == {"plain", "odd"}
    assert {"task", "lr", "sizes", "shuffle", "loss", "seed"} <= page.columns
    assert "max_seconds" not in page.columns
    assert page.differing == ["lr", "shuffle", "sizes"]
    assert _values(page.lines["odd"], "task", "lr", "shuffle", "sizes") == ["tiny", 0.5, True, "2 2"]
    assert {"result/size", "eval/size", "train/loss"} <= page.metrics
    for name, result in (("plain", plain), ("odd", odd)):
        (size,) = [m.value for m in page.lines[name].metric_values if m.name.tag == "result/size"]
        assert size == pytest.approx(result["metrics"]["size"]["mean"])
        (session,) = page.lines[name].sessions
        assert session.status == api_pb2.STATUS_SUCCESS


def test_the_seeds_of_a_run_are_one_line_with_their_mean(tmp_path):
    """Red if each seed has a line of its own, as a run of another setting has."""
    found = {
        rate: main(Config(out=tmp_path / f"rate-{rate}", seeds=2, lr=rate, **SMALL))["metrics"]["size"]
        for rate in (0.05, 0.5)
    }
    page = _page(tmp_path)
    assert set(page.lines) == {str(tmp_path / "rate-0.05"), str(tmp_path / "rate-0.5")}
    assert "seed" not in page.columns
    for rate, metric in found.items():
        line = page.lines[str(tmp_path / f"rate-{rate}")]
        assert {session.name for session in line.sessions} == {f"rate-{rate}/seed-{seed}" for seed in range(2)}
        (mean,) = [value.value for value in line.metric_values if value.name.tag == "result/size"]
        assert mean == pytest.approx(metric["mean"])


def test_a_run_in_several_sittings_is_one_line(tmp_path):
    """Red if an interrupted run counts as ended, or a resumed one as another."""
    with pytest.raises(Interrupted):
        main(Config(out=tmp_path / "run", **SMALL), lambda step: signal.raise_signal(signal.SIGTERM) or 1.0)
    (line,) = _page(tmp_path).lines.values()
    assert line.sessions[0].status == api_pb2.STATUS_UNKNOWN
    main(Config(out=tmp_path / "run", resume=True, **SMALL))
    (line,) = _page(tmp_path).lines.values()
    assert [session.status for session in line.sessions] == [api_pb2.STATUS_SUCCESS]


def test_seeds_side_by_side_tell_their_mean(tmp_path):
    """Red if conduct_together does not conclude, or with one seed's value."""

    def together(config, run):
        values = (1.0, 4.0)
        return Together([Outcome("noise", 8, 0.5, {"size": Estimate(v, float("nan"))}) for v in values], {})

    conduct_together(Config(out=tmp_path / "run", seeds=2, **SMALL), "tiny", together)
    (line,) = _page(tmp_path).lines.values()
    assert [(m.name.tag, m.value) for m in line.metric_values] == [("result/size", 2.5)]
