"""What TensorBoard's own pages show beside the scalars, as its backend reads it."""

import json
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext

from ddpg.config.presets import PRESETS
from ddpg.config.reading import values
from ddpg.records.log import TAGS, Log
from ddpg.records.tensorboard import THREE

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the packages that TensorBoard brings along
    from tensorboard.plugins.custom_scalar.custom_scalars_plugin import CustomScalarsPlugin
    from tensorboard.plugins.hparams import backend_context, get_experiment, list_session_groups
    from tensorboard.plugins.text.text_plugin import TextPlugin

API: Any = import_module("tensorboard.plugins.hparams.api_pb2")  # whose classes no type checker sees
CTX = RequestContext()


class Board:
    """TensorBoard on a folder of runs, without its server."""

    def __init__(self, folder: Path) -> None:
        self.multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
        self.multiplexer.Reload()
        self.data = MultiplexerDataProvider(self.multiplexer, str(folder))
        self.context = TBContext(logdir=str(folder), data_provider=self.data, plugin_name_to_instance={})
        self.hparams = backend_context.Context(self.context)

    def groups(self) -> dict[str, Any]:
        """Rows of the table in HPARAMS, by their names."""
        request = API.ListSessionGroupsRequest(
            start_index=0,
            slice_size=100,
            allowed_statuses=[API.STATUS_UNKNOWN],
            aggregation_type=API.AGGREGATION_AVG,
            col_params=[{"metric": {"tag": "eval/return"}}, {"hparam": "critic.lr"}],
        )
        handler = list_session_groups.Handler(CTX, self.hparams, "", request)
        return {group.name: group for group in handler.run().session_groups}

    def experiment(self) -> Any:
        return get_experiment.Handler(CTX, self.hparams, "", API.GetExperimentRequest(include_metrics=True)).run()

    def layout(self) -> Any:
        said: Any = CustomScalarsPlugin(self.context).layout_impl(CTX, "")
        return json.loads(said)

    def text(self, run: str) -> Any:
        return TextPlugin(self.context).text_impl(CTX, run, "config", "", True)


def write(folder: Path, options: dict[str, Any], returns: dict[int, float], resume_at: int | None = None) -> None:
    with Log(folder / "metrics.jsonl", folder / "tensorboard", options, resume_at=resume_at) as log:
        point: Any = {"step": (resume_at or 0) + 10, "seeds": tuple(returns), "return": np.array([*returns.values()])}
        log(point)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    runs = tmp_path_factory.mktemp("board") / "runs"
    write(runs / "a", values(PRESETS["ddpg"]), {0: -1.0, 1: -3.0})
    write(runs / "b", values(PRESETS["article"]) | {"critic.lr": 0.5}, {0: -7.0})
    write(runs / "b", values(PRESETS["article"]) | {"critic.lr": 0.5}, {0: -8.0}, resume_at=10)
    write(runs / "c", values(PRESETS["td3"]) | {"critic.lr": "odd", "exploration.sigma": (0.1, 0.2)}, {0: -9.0})
    return Board(runs)


def test_a_run_is_one_row_with_the_mean_of_its_seeds(board: Board) -> None:
    groups = board.groups()
    assert list(groups) == ["runs/a", "runs/b", "runs/c"]  # another kind of value hides no row
    assert [len(group.sessions) for group in groups.values()] == [2, 1, 1]
    assert [group.metric_values[0].value for group in groups.values()] == [-2.0, -8.0, -9.0]
    shown = [group.hparams for group in groups.values()]
    assert [each["preset"].string_value for each in shown] == ["ddpg", "article", "td3"]
    assert [each["gamma"].number_value for each in shown] == [0.99, 0.9, 0.99]
    assert shown[0]["normalise"].WhichOneof("kind") == "bool_value"
    assert shown[2]["exploration.sigma"].string_value == "0.1,0.2"
    assert "actor.max_grad_norm" not in shown[0]  # none
    assert groups["runs/a"].sessions[1].name == "a/tensorboard/seed-1"


def test_every_option_and_every_scalar_can_be_chosen_and_returns_come_first(board: Board) -> None:
    experiment = board.experiment()
    assert [metric.name.tag for metric in experiment.metric_infos] == list(TAGS.values())
    names = [info.name for info in experiment.hparam_infos]
    assert names[:5] == ["actor.lr", "critic.lr", "env", "gamma", "preset"]  # as many as are shown at first
    assert set(names) in [set(values(PRESETS[preset])) for preset in ("ddpg", "article", "td3")]
    assert not any(info.WhichOneof("domain") for info in experiment.hparam_infos)
    types = {info.name: API.DataType.Name(info.type) for info in experiment.hparam_infos}
    assert types["gamma"] == types["steps"] == "DATA_TYPE_FLOAT64"
    assert types["env"] == types["actor.max_grad_norm"] == "DATA_TYPE_STRING"
    assert types["normalise"] == "DATA_TYPE_BOOL"


def test_numbers_of_the_users_own_can_be_chosen(tmp_path: Path) -> None:
    write(tmp_path / "own", {"log": ("is_success",)}, {0: 1.0})
    tags = [metric.name.tag for metric in Board(tmp_path).experiment().metric_infos]
    assert tags[-2:] == ["eval/info/is_success", "train/info/is_success"]


def test_the_articles_charts_are_side_by_side_once(board: Board) -> None:
    (category,) = board.layout()["category"]
    assert category["title"] == "The article's three charts"
    assert [chart["multiline"]["tag"] for chart in category["chart"]] == [[f"^{tag}$"] for tag in THREE.values()]
    assert set(THREE.values()) < set(TAGS.values())


def test_the_configuration_is_a_table_of_the_first_seed_once(board: Board, tmp_path: Path) -> None:
    (event,) = board.text("b/tensorboard/seed-0")  # which was resumed
    assert event["step"] == 0
    rows = event["text"]
    assert "<table>" in rows
    for path, value in (("critic.lr", "0.5"), ("env", "Pendulum-v1"), ("actor.widths", "64,64"), ("critic.l2", "0")):
        assert f"<td><code>{path}</code></td>\n<td><code>{value}</code></td>" in rows
    runs = board.data.list_tensors(CTX, experiment_id="", plugin_name="text")
    assert sorted(runs) == ["a/tensorboard/seed-0", "b/tensorboard/seed-0", "c/tensorboard/seed-0"]


def test_a_run_says_all_of_it_once_however_often_it_is_resumed(board: Board) -> None:
    about = {"_hparams_/experiment", "_hparams_/session_start_info", "config", "custom_scalars__config__"}
    for seed, expected in (("a/tensorboard/seed-1", {"_hparams_/session_start_info"}), ("b/tensorboard/seed-0", about)):
        events = board.multiplexer.GetAccumulator(seed)
        assert set(events.Tags()["tensors"]) - set(TAGS.values()) == expected
        assert [event.step for tag in expected for event in events.Tensors(tag)] == [0] * len(expected)
