"""Runs what `ddpg export RUN --format numpy` writes; needs NumPy alone, and may be copied to wherever it is run."""

import numpy as np

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x / 2 * (1 + np.tanh(x / 2)),
    # Its tanh is ±1 beyond ±10, where the cube may be too large for 32 bits.
    "gelu": lambda x: x / 2 * (1 + np.tanh(0.7978845608 * (y := np.clip(x, -10, 10)) * (1 + 0.044715 * y * y))),
}

# What each step between observation and tanh is done with; a norm may have no mean and deviation.
STEPS = {"dense": ("weight", "bias"), "norm": ("gain", "offset", "mean", "deviation"), "activation": ()}

STEPS |= {"keep": (), "add": ()}


def load(path):
    """The greedy policy: observations [*obs] or [b, *obs] -> actions [m] or [b, m], in the environment's units."""
    with np.load(path, allow_pickle=False) as file:
        return policy_of(dict(file))


def policy_of(arrays):
    """The same from arrays by their names."""
    found = str(arrays.get("format")), int(arrays.get("format_version", 0))
    if found not in (("ddpg-policy", 1), ("ddpg-policy", 2)):
        raise ValueError(f"{found[0]} of version {found[1]}, expected ddpg-policy of version 1 or 2; export it again")
    shape, dtype = tuple(arrays["obs_shape"].tolist()), np.dtype(str(arrays["obs_dtype"]))
    shift, scale, limit = arrays["shift"], arrays["scale"], float(arrays["limit"])
    steps = [(step.partition("_")[0], numbers_of(step, arrays)) for step in steps_of(arrays)]
    activation = ACTIVATIONS[str(arrays["activation"])]
    low, high = arrays["action_low"], arrays["action_high"]
    middle, half = low / 2 + high / 2, high / 2 - low / 2

    def policy(obs):
        with np.errstate(over="ignore"):  # what is too large is beyond the limit, too
            obs = np.asarray(obs, dtype)
            if obs.shape != shape and obs.shape[1:] != shape:
                raise ValueError(f"an observation of shape {obs.shape}, expected {shape} or a batch of them")
            x = (obs.reshape(-1, scale.size) - shift) / scale
        x = kept = np.minimum(np.maximum(x, -limit), limit)
        for kind, numbers in steps:
            if kind == "dense":
                x = x @ numbers["weight"] + numbers["bias"]
            elif kind == "norm":
                x = normed(x, **numbers)
            elif kind == "activation":
                x = activation(x)
            elif kind == "keep":
                kept = x
            else:
                x = x + kept
        action = np.minimum(np.maximum(middle + half * np.tanh(x), low), high)
        return action[0] if obs.shape == shape else action

    return policy


def steps_of(arrays):
    """In words, such as dense_0 activation dense_1."""
    if int(arrays["format_version"]) == 1:
        return " activation ".join(f"dense_{i}" for i in range(int(arrays["layers"]))).split()
    steps = str(arrays["steps"]).split()
    if unknown := {step.partition("_")[0] for step in steps} - {*STEPS}:
        raise ValueError(f"steps {sorted(unknown)} are not known here; use the reader of the ddpg that exported it")
    return steps


def numbers_of(step, arrays):
    """What a step is done with, by name."""
    kind, _, i = step.partition("_")
    return {name: arrays[f"{name}_{i}"] for name in STEPS[kind] if f"{name}_{i}" in arrays}


def normed(x, gain, offset, mean=None, deviation=None):
    """With mean 0 and deviation 1, those of x itself unless others are given; then scaled and shifted."""
    centred = x - (x.mean(axis=-1, keepdims=True) if mean is None else mean)
    if deviation is None:
        deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(1e-5))
    return centred / deviation * gain + offset
