"""The networks of a few moments of training, kept so that one can look back at how the policy came about."""

from collections.abc import Callable, Iterable

from ddpg.config.config import Config
from ddpg.records.display import Display
from ddpg.records.networks.safetensors import load_moment, save_moment, saved_moments
from ddpg.terminal import reason
from ddpg.training.best import saved_networks
from ddpg.training.driver import Learned
from ddpg.training.folder import RunFolder
from ddpg.training.policy import Policy, load_policy
from ddpg.training.schedule import iterations_per_log_point
from ddpg.types import Spec


class Moments:
    """Writes the networks of every seed at the beginning, and at log points 1, 2, 4, 8 … after learning began.

    So their number grows slowly, and most are of the time in which most changes. Which they are does not depend on the
    length of the run, so that one that was stopped, resumed or made longer leaves the same files.
    """

    def __init__(self, folder: RunFolder, config: Config, spec: Spec, display: Display) -> None:
        self._folder, self._config, self._spec, self._display = folder, config, spec, display

    def keep(self, step: int, read: Callable[[], Learned]) -> None:
        """Those of the log point at `step`, if it is one of them; `read` copies the networks."""
        if is_moment(self._config, step):
            self.write(step, read())

    def write(self, step: int, learned: Learned) -> None:
        """Those after so many steps; only a warning if that fails, since training does not need them."""
        for i, seed in enumerate(self._config.seed_range):
            try:
                save_moment(self._folder.networks(seed), saved_networks(learned, i), self._spec, step)
            except OSError as error:
                self._display.warn(f"the networks of step {step:,} could not be written ({reason(error)})")
                return


def is_moment(config: Config, step: int) -> bool:
    """Whether the networks of a log point are kept."""
    per_iteration = config.steps_per_iteration
    every = iterations_per_log_point(config.eval.every, per_iteration) * per_iteration
    learning = step // every - config.learning_starts // every  # log points since it began
    return learning > 0 and learning.bit_count() == 1


def midway(config: Config, steps: Iterable[int]) -> int:
    """The step that is nearest to the middle of learning."""
    middle = (config.learning_starts + config.steps) / 2
    return min(steps, key=lambda step: abs(step - middle))


def moments_of(folder: RunFolder, config: Config, seed: int, end: int) -> dict[int, Callable[[], Policy]]:
    """What loads the policy of each moment of a seed, by its step: those kept before `end`, and the last one.

    Loading one raises Mistake, in one line, if its file is missing or cannot be used.
    """

    def loaded(step: int) -> Policy:
        saved, spec = load_moment(kept[step], config.agent, config.normalise)
        return Policy(saved.online, saved.stats, spec, seed)

    kept = saved_moments(folder.networks(seed))
    found: dict[int, Callable[[], Policy]] = {step: lambda step=step: loaded(step) for step in kept if step < end}
    return found | {end: lambda: load_policy(folder, config, seed)}
