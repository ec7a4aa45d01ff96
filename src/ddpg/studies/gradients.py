"""The stochastic policy gradient beside the deterministic one, on a task whose Q is known exactly.

The policy is mu_i(s) = theta_i s_i in every dimension of `PointReach`, and pi(a | s) = N(mu(s), sigma^2).

stochastic      nabla J = E[nabla_theta log pi(a | s) (Q(s, a) - b(s))], a ~ pi
deterministic   nabla J = E[nabla_theta mu(s) nabla_a Q(s, a)] at a = mu(s)
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from time import process_time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.stats import norm
from jax.stages import Wrapped
from jaxtyping import Float

from ddpg.envs.episodes import starts
from ddpg.envs.point_reach import PointReach, PointState
from ddpg.types import Key

LENGTH = 5  # steps of the episodes in `limit`
GAIN = -0.5  # theta: a quarter of the best, so that the gradient is not 0 and no action near its bound
EXACT, BASELINE, PLAIN = "deterministic", "sampled, baseline V(s)", "sampled, no baseline"

Baseline = Callable[[Array, Array, Array], Array]  # b(s) from theta [k], s [k] and sigma


def mu(theta: Float[Array, " k"], s: Float[Array, "*b k"]) -> Float[Array, "*b k"]:
    return theta * s


def q(s: Float[Array, " k"], a: Float[Array, " k"]) -> Float[Array, ""]:
    """Q(s, a) of a one-step episode: its reward."""
    return PointReach(len(s), 1).step(PointState(s, jnp.int32(0)), a)[2]


def deterministic(theta: Float[Array, " k"], s: Float[Array, " k"]) -> Float[Array, " k"]:
    """nabla_theta mu(s) nabla_a Q(s, a) at mu(s): Silver et al. 2014, equation 9, of one state."""
    action, vjp = jax.vjp(lambda theta: mu(theta, s), theta)
    return vjp(jax.grad(q, argnums=1)(s, action))[0]


def v(theta: Float[Array, " k"], s: Float[Array, " k"], sigma: Float[Array, ""]) -> Float[Array, ""]:
    """V(s) = E[Q(s, a)], a ~ pi, exactly: Q is quadratic in the clipped action, whose two moments are known."""
    mean = mu(theta, s)
    low, high = (-1 - mean) / sigma, (1 - mean) / sigma
    inside = norm.cdf(high) - norm.cdf(low)
    below, above = norm.cdf(low), norm.cdf(-high)
    slope = norm.pdf(low) - norm.pdf(high)
    first = above - below + mean * inside + sigma * slope
    curved = inside + low * norm.pdf(low) - high * norm.pdf(high)
    second = above + below + mean**2 * inside + 2 * mean * sigma * slope + sigma**2 * curved
    return -jnp.mean(jnp.square(s) + s * first + second / 4)


def nothing(theta: Float[Array, " k"], s: Float[Array, " k"], sigma: Float[Array, ""]) -> Float[Array, ""]:
    """No baseline."""
    return jnp.float32(0.0)


def sampled(
    theta: Float[Array, " k"],
    s: Float[Array, " k"],
    normal: Float[Array, " k"],
    sigma: Float[Array, ""],
    b: Baseline,
) -> Float[Array, " k"]:
    """nabla_theta log pi(a | s) (Q(s, a) - b(s)) of one action: equation 2; b is `v` or `nothing`."""
    a = jax.lax.stop_gradient(mu(theta, s) + sigma * normal)

    def log_probability(theta: Float[Array, " k"]) -> Float[Array, ""]:
        return -jnp.sum(jnp.square((a - mu(theta, s)) / sigma)) / 2

    return jax.grad(log_probability)(theta) * (q(s, a) - b(theta, s, sigma))


class Estimate(NamedTuple):
    """Of a gradient from one sample: variance over squared length, and the seconds that it takes."""

    variance: float
    seconds: float

    @property
    def samples(self) -> float:
        """As many samples give a gradient whose error is a tenth of its length, in the mean square."""
        return self.variance / 0.1**2

    @property
    def cost(self) -> float:
        """The seconds of so many."""
        return self.samples * self.seconds


@cache
def ways(k: int) -> dict[str, Wrapped]:
    """Each way to the gradient: states [n, k], a key and sigma -> gradients [n, k], compiled."""
    theta = jnp.full(k, GAIN)

    def exact(s: Float[Array, "n k"], key: Key, sigma: Float[Array, ""]) -> Float[Array, "n k"]:
        return jax.vmap(partial(deterministic, theta))(s)

    def drawn(s: Float[Array, "n k"], key: Key, sigma: Float[Array, ""], b: Baseline) -> Float[Array, "n k"]:
        return jax.vmap(partial(sampled, theta, sigma=sigma, b=b))(s, jax.random.normal(key, s.shape))

    return {
        EXACT: jax.jit(exact),
        BASELINE: jax.jit(partial(drawn, b=v)),
        PLAIN: jax.jit(partial(drawn, b=nothing)),
    }


def estimates(k: int, sigma: float = 0.3, n: int = 20_000, seed: int = 0) -> dict[str, Estimate]:
    """Each way to the gradient in k dimensions, from `n` states and as many actions."""
    _, s = starts(PointReach(k), n, seed)
    inputs = s, jax.random.key(seed), jnp.float32(sigma)
    # Of the deterministic gradient, whose mean needs fewest samples: Q is quadratic, so that sigma changes it only by
    # the few actions that are clipped.
    exact = np.asarray(ways(k)[EXACT](*inputs), float).mean(axis=0)
    estimates = {}
    for name, way in ways(k).items():
        each = np.asarray(way(*inputs), float)
        began = process_time()
        for _ in range(5):
            jax.block_until_ready(way(*inputs))
        seconds = (process_time() - began) / (5 * n)
        estimates[name] = Estimate(float(each.var(axis=0).sum() / np.square(exact).sum()), seconds)
    return estimates


def growth(k: Sequence[int], y: Sequence[float]) -> str:
    """The better fit to log y of a power, k^p, and an exponential, b^k, by least squares."""
    if max(y) < 1.1 * min(y):
        return "by less than 10 %"
    x, log = np.array(k, float), np.log(y)
    fits = [(base, np.polyfit(base, log, 1)) for base in (np.log(x), x)]
    errors = [float(np.square(np.polyval(line, base) - log).sum()) for base, line in fits]
    power, rate = (line[0] for _, line in fits)
    return f"like k^{power:.1f}" if errors[0] <= errors[1] else f"like {np.exp(rate):.2f}^k"


class Limit(NamedTuple):
    """How the gradients of ever narrower policies differ from the deterministic one, in shares of its length.

    Whole episodes for the expectation; for one sample the task of one step, whose V(s) is known exactly.
    """

    sigma: Float[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]  # of the expected stochastic gradient of whole episodes
    with_baseline: Float[np.ndarray, " n"]  # the standard deviation of one sample of one step
    without: Float[np.ndarray, " n"]


def limit(k: int = 2, length: int = LENGTH, episodes: int = 20_000) -> Limit:
    """Silver et al. 2014, theorem 2: whole episodes, so that the distribution of states depends on sigma, too."""
    env, theta, sigma = PointReach(k, length), jnp.full(k, GAIN), 0.5 ** np.arange(9)
    _, first = starts(env, episodes)
    normal = jax.random.normal(jax.random.key(1), (episodes, length, k))

    def value(theta: Float[Array, " k"], s: Float[Array, " k"], noise: Float[Array, "t k"]) -> Float[Array, ""]:
        """The return from s with the actions mu + noise."""

        def step(state: PointState, noise: Float[Array, " k"]) -> tuple[PointState, Float[Array, ""]]:
            state, _, reward, _, _ = env.step(state, mu(theta, state.x) + noise)
            return state, reward

        return jax.lax.scan(step, PointState(s, jnp.int32(0)), noise)[1].sum()

    def theorem(s: Float[Array, " k"]) -> Float[Array, " k"]:
        """sum_t nabla_theta mu(s_t) nabla_a Q(s_t, a) at mu(s_t), along the deterministic episode: theorem 1."""
        total = jnp.zeros(k)
        for t in range(length):

            def q(a: Float[Array, " k"], s: Float[Array, " k"] = s, left: int = length - t - 1) -> Float[Array, ""]:
                state, _, reward, _, _ = env.step(PointState(s, jnp.int32(0)), a)
                return reward + value(theta, state.x, jnp.zeros((left, k)))

            a, vjp = jax.vjp(lambda theta, s=s: mu(theta, s), theta)
            total += vjp(jax.grad(q)(a))[0]
            s = env.step(PointState(s, jnp.int32(0)), a)[0].x
        return total

    @jax.jit
    def expected(sigma: Float[Array, ""]) -> Float[Array, " k"]:
        """nabla_theta E[return], the noise drawn first; every noise and its mirror image."""
        gradient = jax.vmap(jax.grad(value), (None, 0, 0))
        return (gradient(theta, first, sigma * normal) + gradient(theta, first, -sigma * normal)).mean(axis=0) / 2

    exact = np.asarray(jax.jit(lambda: jax.vmap(theorem)(first).mean(axis=0))(), float)
    length_of = float(np.linalg.norm(exact))
    distance = [np.linalg.norm(np.asarray(expected(jnp.float32(x)), float) - exact) / length_of for x in sigma]
    each = [estimates(k, float(x)) for x in sigma]
    spread = {name: np.array([one[name].variance ** 0.5 for one in each]) for name in each[0]}
    return Limit(sigma, np.array(distance), spread[BASELINE], spread[PLAIN])
