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


def load(path):
    """The greedy policy: observations [*obs] or [b, *obs] -> actions [m] or [b, m], in the environment's units."""
    with np.load(path, allow_pickle=False) as file:
        return policy_of(dict(file))


def policy_of(arrays):
    """The same from arrays by their names."""
    found = str(arrays.get("format")), int(arrays.get("format_version", 0))
    if found != ("ddpg-policy", 1):
        raise ValueError(f"{found[0]} of version {found[1]}, expected ddpg-policy of version 1; export it again")
    shape, dtype = tuple(arrays["obs_shape"].tolist()), np.dtype(str(arrays["obs_dtype"]))
    shift, scale, limit = arrays["shift"], arrays["scale"], float(arrays["limit"])
    *hidden, last = [(arrays[f"weight_{i}"], arrays[f"bias_{i}"]) for i in range(int(arrays["layers"]))]
    activation = ACTIVATIONS[str(arrays["activation"])]
    low, high = arrays["action_low"], arrays["action_high"]
    middle, half = low / 2 + high / 2, high / 2 - low / 2

    def policy(obs):
        with np.errstate(over="ignore"):  # what is too large is beyond the limit, too
            obs = np.asarray(obs, dtype)
            if obs.shape != shape and obs.shape[1:] != shape:
                raise ValueError(f"an observation of shape {obs.shape}, expected {shape} or a batch of them")
            x = (obs.reshape(-1, scale.size) - shift) / scale
        x = np.minimum(np.maximum(x, -limit), limit)
        for weight, bias in hidden:
            x = activation(x @ weight + bias)
        unit = np.tanh(x @ last[0] + last[1])
        action = np.minimum(np.maximum(middle + half * unit, low), high)
        return action[0] if obs.shape == shape else action

    return policy
