"""The networks of a few moments of training, kept so that one can look back at how the policy came about."""

from collections.abc import Callable

from ddpg.config.config import Config
from ddpg.records.display import Display
from ddpg.records.networks.safetensors import load_moment, save_moment, saved_moments
from ddpg.terminal import reason
from ddpg.training.best import saved_networks
from ddpg.training.driver import Learned
from ddpg.training.folder import RunFolder
from ddpg.training.policy import Policy, load_policy
from ddpg.types import Spec

SHARES = (
    1 / 8,
    1 / 4,
    1 / 2,
)  # of the learning; the beginning is kept too, and the end is networks.safetensors


class Moments:
    """Writes the networks of every seed at the beginning, and at the first log points after SHARES of learning.

    Which steps these are depends on the configuration alone, so that a resumed run leaves the same files.
    """

    def __init__(self, folder: RunFolder, config: Config, spec: Spec, display: Display) -> None:
        self._folder, self._config, self._spec, self._display = folder, config, spec, display

    def keep(self, before: int, step: int, read: Callable[[], Learned]) -> None:
        """Those of `step` if a moment has come since the log point `before`; `read` copies the networks."""
        if step < self._config.steps and any(before < moment <= step for moment in moment_steps(self._config)):
            self.write(step, read())

    def write(self, step: int, learned: Learned) -> None:
        """Those after so many steps; only a warning if that fails, since training does not need them."""
        for i, seed in enumerate(self._config.seed_range):
            try:
                save_moment(self._folder.networks(seed), saved_networks(learned, i), self._spec, step)
            except OSError as error:
                self._display.warn(f"the networks of step {step:,} could not be written ({reason(error)})")
                return


def moment_steps(config: Config) -> list[float]:
    """When a log point is the first after one of SHARES of the time from the first update to the end of the run."""
    first = config.learning_starts
    return [first + share * (config.steps - first) for share in SHARES]


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
