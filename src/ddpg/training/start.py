"""What a run may begin with: another run's networks, and transitions in its replay."""

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddpg.config.config import Config
from ddpg.config.reading import values
from ddpg.experience.ring import refilled, trimmed
from ddpg.experience.transitions import Transitions, check_transitions, to_block
from ddpg.mistake import Mistake
from ddpg.records.networks.safetensors import SavedNetworks
from ddpg.records.tree_file import from_numpy, keys_to_data
from ddpg.records.untrusted import check_plain
from ddpg.terminal import count, one_line, plain, thousands
from ddpg.training.assessment import begin_assessment
from ddpg.training.backend import learner_for
from ddpg.training.driver import Driver
from ddpg.training.folder import RunFolder
from ddpg.training.learner import LearnerState
from ddpg.training.policy import load_seed
from ddpg.types import Keys, Row, Spec

LARGEST_FILE = 2**34  # bytes


class Start(NamedTuple):
    """Networks [S, ...] and a block of rows [K, N, ...], the same for every seed; and a line about each."""

    networks: SavedNetworks | None = None
    block: Row | None = None
    notes: tuple[str, ...] = ()


def start_from(
    config: Config, spec: Spec, run: RunFolder | None, best: bool, demonstrations: str | Path | Mapping[str, Any] | None
) -> Start:
    """What a run of `config` begins with. Raises Mistake if it does not fit its networks, its spaces or its replay."""
    start = Start()
    if run is not None:
        source = run.read_config()
        start = Start(_networks(run, source, config, spec, best))
        which = "best" if best else "last"
        seeds = count(len(source.seed_range), "seed")
        start = start._replace(notes=(f"begins with the {which} networks of {run} ({seeds}); optimisers are new",))
    if demonstrations is not None:
        transitions = check_transitions(_read(demonstrations), spec)
        block = to_block(transitions, spec, learner_for(config, spec).rows, config.collect.envs)
        rows, capacity = block.reward.size, config.replay.capacity
        if rows > capacity:
            raise Mistake(
                f"demonstrations of {len(transitions.reward)} transitions take {rows} steps of the replay, which has "
                f"{capacity}; use --replay.capacity {rows} or fewer transitions"
            )
        note = f"begins with {thousands(len(transitions.reward))} transitions in the replay"
        start = start._replace(block=jax.tree.map(jnp.asarray, block), notes=(*start.notes, note))
    return start


def begin(driver: Driver, keys: Keys, config: Config, spec: Spec, start: Start) -> None:
    """Go to the first iteration, with what the run begins with."""
    driver.start(keys)
    if start.networks is None and start.block is None:
        return
    learner, snapshot = learner_for(config, spec), driver.snapshot()
    block = jax.eval_shape(
        learner.empty_block, jax.ShapeDtypeStruct((config.collect.envs, *spec.obs_shape), spec.obs_dtype)
    )
    like = jax.eval_shape(learner.init, keys[0], block)
    state = snapshot.learner._replace(ring=refilled(snapshot.learner.ring, like.ring))
    seeds = list[LearnerState]()
    for i in range(config.seeds):
        own: LearnerState = jax.tree.map(jnp.asarray, from_numpy(jax.tree.map(itemgetter(i), state), like))
        if start.networks is not None:
            online, target, stats = jax.tree.map(itemgetter(i), start.networks)
            own = own._replace(agent=config.agent.warm_start(own.agent, online, target), stats=stats)
            if own.assessed is not None:
                own = own._replace(assessed=begin_assessment(own.candidate, config.collect.envs))
            if own.perturbed is not None:
                own = own._replace(perturbed=own.perturbed._replace(actor=online.actor))
        if start.block is not None:
            own = learner.store(own, start.block)
        seeds.append(keys_to_data(own))
    changed = jax.tree.map(lambda *leaves: np.stack(leaves), *seeds)
    driver.resume(snapshot._replace(learner=changed._replace(ring=trimmed(changed.ring))), keys)


def _networks(run: RunFolder, source: Config, config: Config, spec: Spec, best: bool) -> SavedNetworks:
    """Seed i begins with the i-th seed of the run, or again with the first after the last."""
    if source.normalise != config.normalise:
        have = str(source.normalise).lower()
        raise Mistake(f"normalise: {run} was trained with {have}, and its networks need it; use --normalise {have}")
    seeds = [source.seed_range[i % source.seeds] for i in range(config.seeds)]
    saved = [load_seed(run, source, seed, spec, best)[0] for seed in seeds]
    like = jax.eval_shape(lambda: config.agent.init(jax.random.key(0), spec).online)
    own = jax.tree.structure(saved[0].online), [leaf.shape for leaf in jax.tree.leaves(saved[0].online)]
    if own != (jax.tree.structure(like), [leaf.shape for leaf in jax.tree.leaves(like)]):
        here, there = values(config), values(source)
        parts = ("actor.", "critic", "encoder", "value")
        odd = [path for path in there if path.startswith(parts) and here.get(path) != there[path]]
        path = next((path for path in odd if not path.endswith((".lr", ".init"))), odd[0])
        asked, have = plain(here.get(path)), plain(there[path])
        raise Mistake(f"{path} {asked}: the networks of {run} have {have}; use --{path} {have}")
    return jax.tree.map(lambda *leaves: np.stack(leaves), *saved)


def _read(demonstrations: str | Path | Mapping[str, Any]) -> Transitions:
    """Transitions by name, from a mapping or an NPZ file of anyone's."""
    if not isinstance(demonstrations, Mapping | str | Path):
        kind, names = type(demonstrations).__name__, ", ".join(Transitions._fields)
        raise Mistake(f"demonstrations of type {kind}: expected an NPZ file or a mapping of arrays {names}")
    if isinstance(demonstrations, Mapping):
        arrays = {name: np.asarray(value) for name, value in demonstrations.items()}
    else:
        try:
            check_plain(Path(demonstrations), LARGEST_FILE)
            with np.load(demonstrations, allow_pickle=False) as file:
                arrays = {name: file[name] for name in Transitions._fields if name in file}
        except Exception as error:  # of several types, by zipfile and NumPy
            raise Mistake(f"demonstrations {demonstrations} cannot be read ({one_line(error)})") from None
    if missing := [name for name in Transitions._fields if name not in arrays]:
        raise Mistake(
            f"demonstrations lack {', '.join(missing)}; expected arrays {', '.join(Transitions._fields)}, "
            f"as ddpg.replay gives them"
        )
    return Transitions(**{name: arrays[name] for name in Transitions._fields})
