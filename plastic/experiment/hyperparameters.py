"""What TensorBoard's page of hyperparameters wants to know of a run; its metrics are the run's scalars.

Nothing says beforehand which hyperparameters and metrics there are: TensorBoard then gathers them from all the runs
that it is shown, so that runs of different tasks share the page.
"""

import time
from pathlib import Path
from typing import Any

from plastic.experiment.options import Options

IDLE = ("preset", "seeds", "max_seconds")  # of the identity: what names no property of a seed's run


def begun(folder: Path, task: str, config: Options) -> Any:
    """A summary with the options of the run in ``folder``. The seeds of a run are one group, a line of the table."""
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    options = {name: value for name, value in config.identity().items() if name not in IDLE}
    start = SessionStartInfo(start_time_secs=time.time())
    if folder.name == f"seed-{config.seed}":
        start.group_name = str(folder.parent)
        del options["seed"]
    for name, value in {"task": task, **options}.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, int | float):
            start.hparams[name].number_value = value
        elif value is not None:
            start.hparams[name].string_value = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return _summary(SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))


def ended() -> Any:
    """A summary that says that the run has come to its end."""
    from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
    from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    end = SessionEndInfo(status=STATUS_SUCCESS, end_time_secs=time.time())
    return _summary(SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))


def _summary(tag: str, content: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams.metadata import PLUGIN_DATA_VERSION, PLUGIN_NAME

    content.version = PLUGIN_DATA_VERSION
    plugin = SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=content.SerializeToString())
    return Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))])
