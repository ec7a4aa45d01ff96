"""The state of a run between two chunks, and the newest checkpoint from which it can go on."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
from pydantic import TypeAdapter, ValidationError

from ddpg.config.config import Config
from ddpg.config.file import rewrite_config, versions
from ddpg.config.reading import from_data, values
from ddpg.envs.foreign import EnvironmentFailure
from ddpg.experience.ring import Ring
from ddpg.mistake import Mistake
from ddpg.ranges import NonNegative, Whole
from ddpg.records import tree_file
from ddpg.records.checkpoint import list_checkpoints
from ddpg.records.display import Display
from ddpg.records.frames import with_frames
from ddpg.records.log import read_records
from ddpg.terminal import one_line
from ddpg.training.driver import Driver
from ddpg.training.folder import RunFolder
from ddpg.training.watch import WatchState, init_watch
from ddpg.types import Keys, PyTree

MOST_ITERATIONS = 2**31  # iterations, and pieces of a report


@dataclass
class Progress:
    """How far a run is: the plain JSON in the headers of its checkpoints."""

    iteration: Whole = 0  # of the loop, done
    logged: Whole = 0  # the step of the last log point
    learning_steps: Whole = 0  # steps of one seed while learning
    learning_seconds: NonNegative = 0.0
    wall_seconds: NonNegative = 0.0
    diverged: dict[int, str] = field(default_factory=dict)  # seeds that diverged, and how it shows
    start: list[str] = field(default_factory=list)  # what it began with, if not with nothing
    warnings: dict[str, str] = field(default_factory=dict)  # given so far, by their kind


class CheckpointState(NamedTuple):
    """All arrays of a checkpoint, of every seed."""

    driver: PyTree  # the driver's snapshot
    watch: WatchState


def with_ring(snapshot: PyTree, ring: Ring) -> PyTree:
    """A driver's snapshot with another ring."""
    return snapshot._replace(learner=snapshot.learner._replace(ring=ring))


class Restored(NamedTuple):
    """The state of a run at a checkpoint, and what to tell its user."""

    progress: Progress
    watch: WatchState
    notes: tuple[str, ...]
    header: Mapping[str, Any]  # of the checkpoint


def restore(folder: RunFolder, config: Config, driver: Driver, keys: Keys, note: Callable[[str], None]) -> Restored:
    """Take the driver to the newest checkpoint that can be used; damaged ones are noted and renamed.

    Raises Mistake if there is none, or an environment misbehaves while its episode is played again. Any other
    exception is a bug of ours: it says nothing of a checkpoint, and all of them keep their names.
    """
    fresh = init_watch(config)
    pending = jax.tree.map(lambda x: jax.ShapeDtypeStruct((-MOST_ITERATIONS, *x.shape[1:]), x.dtype), fresh.pending)
    like = CheckpointState(driver.snapshot_shapes(keys), fresh._replace(pending=pending))
    paths = list_checkpoints(folder.checkpoints)
    for i, path in enumerate(paths):
        try:
            header = tree_file.read_header(path)
            progress = _progress(path, header, config)
            state: CheckpointState = tree_file.read(path, like)
            ring = with_frames(state.driver.learner.ring, like.driver.learner.ring, path, header)
            state = state._replace(driver=with_ring(state.driver, ring))
            if len({len(leaf) for leaf in jax.tree.leaves(state.watch.pending)}) > 1:
                raise Mistake(f"{path} cannot be used: its reports are of different lengths")
            notes = driver.resume(state.driver, keys)
        except EnvironmentFailure as error:
            raise Mistake(f"while episodes were played again up to where they stood, {error}") from error
        except tree_file.TooLarge:
            raise
        except Mistake as error:
            note(f"{error}{'; trying the one before' if path != paths[-1] else ''}")
            continue
        for newer in paths[:i]:  # so that they are not counted among those to keep
            newer.replace(newer.with_suffix(".damaged"))
        return Restored(progress, state.watch, (*notes, *_other_versions(header)), header)
    why = "none of its checkpoints can be used" if paths else "it has no checkpoint"
    raise Mistake(f"{folder} cannot be resumed: {why}; train again into another --run")


def _progress(path: Path, header: Mapping[str, Any], config: Config) -> Progress:
    """The progress in a checkpoint's header. Raises Mistake if it is none of this run."""
    try:
        progress = TypeAdapter(Progress).validate_python(header)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Mistake(f"{path} cannot be used: {where}: {first['msg']}") from None
    if not isinstance(header.get("config"), dict):
        raise Mistake(f"{path} cannot be used: its header has no configuration")
    try:
        own = from_data(header["config"])
    except Mistake as error:
        raise Mistake(f"{path} cannot be used: in its configuration, {error}") from None
    # A run may be made longer, its checkpoints more or less frequent, its devices and its actors more or fewer.
    own = replace(own, steps=config.steps, checkpoint=config.checkpoint, devices=config.devices)
    if own.actors.number and config.actors.number:
        own = replace(own, actors=config.actors)
    if own != config:
        then, now = values(own), values(config)
        odd = min(name for name in {**then, **now} if then.get(name) != now.get(name))
        raise Mistake(
            f"checkpoint {path} is of a run with another configuration "
            f"({odd} {repr(then.get(odd))[:60]}, and config.json has {repr(now.get(odd))[:60]})"
        )
    if progress.iteration * config.steps_per_iteration >= MOST_ITERATIONS:
        raise Mistake(f"{path} cannot be used: it claims {progress.iteration} iterations")
    return progress


def _other_versions(header: Mapping[str, Any]) -> Iterator[str]:
    """The packages that changed since, so that numbers may differ in their last bits."""
    then = header.get("versions")
    for name, now in versions().items():
        if isinstance(then, dict) and then.get(name) != now:
            was = one_line(then.get(name), 40)
            yield f"the run was made with {name} {was}, this is {now}: it goes on, but perhaps not to the last bit"


def recall(folder: RunFolder, config: Config, progress: Progress, display: Display, notes: Iterable[str]) -> None:
    """Show where a resumed run stands, and prepare its folder for what follows."""
    logged, step = progress.logged, progress.iteration * config.steps_per_iteration
    records = read_records(folder.metrics) if folder.metrics.exists() else []
    display.recall(records, logged)
    last = max((int(record["step"]) for record in records), default=0)
    again = f"; what had come after it, up to step {last:,}, is done again" if last > step else ""
    display.note(f"resumed at step {step:,} of {config.steps:,}{again}")
    if last < logged:
        display.warn(f"metrics.jsonl ends at step {last:,}: what followed, to step {logged:,}, is lost")
    for line in notes:
        display.warn(line)
    rewrite_config(config, folder.config)  # which may be longer now
    folder.summary.unlink(missing_ok=True)  # which is of a run that had ended
