"""Runs the networks that ddpg writes; needs NumPy alone, and may be copied to wherever it is run."""

import json

import numpy as np


def gelu(x):
    y = np.clip(x, -10, 10)  # beyond, the tanh is ±1, and the cube may be too large for 32 bits
    return x / 2 * (1 + np.tanh(0.7978845608 * y * (1 + 0.044715 * y * y)))


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def join(x, action):
    action = np.asarray(action, np.float32)
    return np.concatenate([x, np.broadcast_to(action, (*x.shape[:-1], action.shape[-1]))], axis=-1)


def picture(x, axes, shape):
    axes, shape = axes.astype(int), shape.astype(int)
    return x.transpose(0, *(axes + 1)).reshape(len(x), *shape)


def convolution(x, weight, bias, stride):
    k, stride = len(weight), int(stride)
    rows, columns = (stride * ((size - k) // stride) + 1 for size in x.shape[1:3])
    parts = [x[:, i : i + rows : stride, j : j + columns : stride] for i in range(k) for j in range(k)]
    return np.concatenate(parts, axis=-1) @ weight.reshape(-1, weight.shape[-1]) + bias


def part(x, begin, end, shape):
    return x[:, int(begin) : int(end)].reshape(len(x), *shape.astype(int))


def place(x, whole, begin, end):
    whole = np.broadcast_to(whole, (*x.shape[:-1], whole.shape[-1]))
    return np.concatenate([whole[..., : int(begin)], x, whole[..., int(end) :]], axis=-1)


# What each step makes of x [..., features], with its arrays by name. Some more are in `network_of`.
STEPS = {
    "bytes": lambda x, high: x / high,
    "picture": picture,
    "convolution": convolution,
    "flatten": lambda x: x.reshape(len(x), int(np.prod(x.shape[1:]))),
    "dense": lambda x, weight, bias: x @ weight + bias,
    "centre": lambda x: x - x.mean(axis=-1, keepdims=True),
    "rms": lambda x: x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(1e-5)),
    "l1": lambda x: x / np.maximum(abs(x).mean(axis=-1, keepdims=True), np.float32(1e-8)),
    "standardise": lambda x, mean, deviation: (x - mean) / deviation,
    "affine": lambda x, gain, offset: x * gain + offset,
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x / 2 * (1 + np.tanh(x / 2)),
    "gelu": gelu,
    "softmax": softmax,
}


def flatten(leaves, obs):
    """A Dict or Tuple observation as the vector that the network takes: its parts in the order of `leaves`."""
    vector = []
    for leaf in leaves:
        part = obs
        for key in leaf["path"]:
            part = part[key]
        part = np.asarray(part)
        if part.shape != tuple(leaf["shape"]):
            raise ValueError(f"{leaf['path']} of shape {part.shape}, expected {leaf['shape']}")
        if leaf["bytes"] and not (part.dtype.kind in "iub" and (part >= 0).all() and (part <= 255).all()):
            raise ValueError(f"{leaf['path']} of {part.dtype}, expected bytes from 0 to 255, which are divided here")
        if leaf["counts"]:  # one-hot: a number for each value that it may have
            values = zip(part.ravel(), leaf["starts"], leaf["counts"], strict=False)
            part = np.concatenate([np.arange(start, start + count) == value for value, start, count in values])
            if part.sum() != len(leaf["counts"]):
                raise ValueError(f"{leaf['path']} has a value that its space does not have")
        vector.append(part.ravel())
    return np.concatenate(vector)


def load(path):
    """The greedy policy in an .npz: observations -> actions in their own units.

    Arrays [*obs] or [b, *obs] give [m] or [b, m]. A Dict or Tuple observation is taken as it comes, one at a time.
    """
    with np.load(path, allow_pickle=False) as file:
        return policy_of(dict(file))


def policy_of(arrays):
    """The same, from arrays by their names."""
    network, shape = network_of(arrays), tuple(arrays["obs_shape"].tolist())
    leaves = json.loads(str(arrays["leaves"]))

    def policy(obs):
        if leaves and not (isinstance(obs, np.ndarray) and obs.shape[-1:] == shape):
            obs = flatten(leaves, obs)
        obs = np.asarray(obs)
        if obs.shape != shape and obs.shape[1:] != shape:
            raise ValueError(f"an observation of shape {obs.shape}, expected {shape} or a batch of them")
        action = network(obs.reshape(-1, *shape))
        return action[0] if obs.shape == shape else action

    return policy


def network_of(arrays):
    """Any network: observations [b, *obs], to a critic also actions [b, m] in [-1, 1] -> what its last step gives."""
    read = str(arrays.get("format")), int(arrays.get("format_version", 0))
    if read != ("ddpg-network", 2):
        raise ValueError(f"{read[0]} of version {read[1]}, expected ddpg-network of version 2; export it again")
    program, dtype = [], str(arrays["obs_dtype"])
    for word in str(arrays["steps"]).split():  # such as dense_0, whose arrays are dense_0/weight and dense_0/bias
        own = {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(f"{word}/")}
        program.append((word.partition("_")[0], own))
    if unknown := {kind for kind, _ in program} - {*STEPS, "keep", "add", "join", "part", "place"}:
        raise ValueError(f"steps {sorted(unknown)} are not known here; use the reader of the ddpg that wrote them")

    def network(obs, *action):
        obs = np.asarray(obs)
        if dtype == "uint8" and not (obs.dtype.kind in "iub" and (obs >= 0).all() and (obs <= 255).all()):
            raise ValueError(f"an observation of {obs.dtype}, expected bytes from 0 to 255, which are divided here")
        with np.errstate(over="ignore"):  # what is too large for 32 bits becomes infinity, and is clipped
            x, skips = obs.astype(np.float32), []
            for kind, own in program:
                if kind == "keep":
                    skips.append(x)
                elif kind == "add":
                    x = x + skips.pop()
                elif kind == "part":
                    skips.append(x)
                    x = part(x, **own)
                elif kind == "place":
                    x = place(x, skips.pop(), **own)
                elif kind == "join":
                    x = join(x, *action)
                else:
                    x = STEPS[kind](x, **own)
        return x

    return network
