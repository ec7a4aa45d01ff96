"""Where a run stands between two chunks, and the newest checkpoint that it can go on from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
from pydantic import TypeAdapter, ValidationError

from ddpg.config.config import Config
from ddpg.config.file import versions
from ddpg.config.reading import from_data, values
from ddpg.envs.gymnasium_edge import Misbehaved
from ddpg.mistake import Mistake
from ddpg.ranges import NonNegative, Whole
from ddpg.records import checkpoint
from ddpg.training.divergence import DivergenceState, init_divergence
from ddpg.training.driver import Driver
from ddpg.training.reports import PendingReports, no_reports
from ddpg.types import Keys, PyTree

LARGEST = 2**31  # iterations, and pieces of a report


@dataclass
class Progress:
    """How far a run has come: what its checkpoints say in plain JSON."""

    iteration: Whole = 0  # of the loop, done
    logged: Whole = 0  # the step of the last log point
    learned: Whole = 0  # steps of one seed while learning
    learning_seconds: NonNegative = 0.0
    wall_seconds: NonNegative = 0.0
    returned: float | None = None  # greedily, over all seeds, when last evaluated
    lost: dict[int, str] = field(default_factory=dict)  # seeds that diverged, and how it shows


class State(NamedTuple):
    """All that a checkpoint holds of arrays, of every seed."""

    driver: PyTree  # what the driver has kept
    pieces: PendingReports
    watch: DivergenceState


class Restored(NamedTuple):
    """Where a run stood."""

    progress: Progress
    pieces: PendingReports
    watch: DivergenceState
    notes: tuple[str, ...]


def restored(folder: Path, config: Config, driver: Driver, keys: Keys, note: Callable[[str], None]) -> Restored:
    """Take the driver to the newest checkpoint in FOLDER that can be used; others are noted and set aside.

    ValueError, in one line, if there is none, or an environment misbehaves while its episode is played again.
    """
    pieces = jax.tree.map(lambda x: jax.ShapeDtypeStruct((-LARGEST, *x.shape[1:]), x.dtype), no_reports(config.seeds))
    like = State(driver.snapshot_shapes(keys), pieces, init_divergence(config.seeds))
    paths = checkpoint.found(folder / "checkpoints")
    for i, path in enumerate(paths):
        try:
            progress = _progress(path, config)
            state: State = checkpoint.read(path, like)
            if len({len(leaf) for leaf in jax.tree.leaves(state.pieces)}) > 1:
                raise Mistake(f"checkpoint {path} cannot be used: its reports are of different lengths")
            notes = driver.resume(state.driver, keys)
        except Misbehaved as error:
            raise Mistake(f"while episodes were played again up to where they stood, {error}") from None
        except ValueError as error:
            note(f"{error}{'; trying the one before' if path != paths[-1] else ''}")
            continue
        for newer in paths[:i]:  # so that they are not counted among those to keep
            newer.replace(newer.with_suffix(".damaged"))
        other = _other_versions(checkpoint.read_said(path))
        return Restored(progress, state.pieces, state.watch, (*notes, *other))
    said = "none of its checkpoints can be used" if paths else "it has no checkpoint"
    raise Mistake(f"{folder} cannot be resumed: {said}; train again into another --run")


def _progress(path: Path, config: Config) -> Progress:
    """What a checkpoint says of itself. ValueError, in one line, if it is none of this run."""
    said = checkpoint.read_said(path)
    try:
        progress = TypeAdapter(Progress).validate_python(said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Mistake(f"checkpoint {path} cannot be used: {where}: {first['msg']}") from None
    try:
        found = from_data(said["config"]) if isinstance(said.get("config"), dict) else None
    except ValueError as error:
        raise Mistake(f"checkpoint {path} cannot be used: in its configuration, {error}") from None
    if found is None:
        raise Mistake(f"checkpoint {path} cannot be used: it says no configuration")
    # A run may be made longer, and its checkpoints more or less frequent.
    found = replace(found, steps=config.steps, checkpoint=config.checkpoint)
    if found != config:
        then, now = values(found), values(config)
        odd = min(name for name in {**then, **now} if then.get(name) != now.get(name))
        raise Mistake(
            f"checkpoint {path} is of a run with another configuration "
            f"({odd} {repr(then.get(odd))[:60]}, and config.json has {repr(now.get(odd))[:60]})"
        )
    if progress.iteration * config.collect.steps * config.collect.envs >= LARGEST:
        raise Mistake(f"checkpoint {path} says it is after {progress.iteration} iterations")
    return progress


def _other_versions(said: Mapping[str, Any]) -> Iterator[str]:
    """What no longer is as it was, so that numbers may come out differently in their last bits."""
    then = said.get("versions")
    for name, now in versions().items():
        if isinstance(then, dict) and then.get(name) != now:
            was = " ".join(str(then.get(name)).split())[:40]
            yield f"the run was made with {name} {was}, this is {now}: it goes on, but perhaps not to the last bit"
