"""Random shifts of pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpg.algorithm.augment import NoAugmentation, RandomShift


def shifted(picture: np.ndarray, down: int, right: int, pixels: int) -> np.ndarray:
    """[h, w, c] as an offset into its border."""
    padded = np.pad(picture, ((pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
    return padded[down : down + picture.shape[0], right : right + picture.shape[1]]


@pytest.mark.parametrize("groups", [1, 3, 10, 99])
@pytest.mark.parametrize("channels_first", [False, True])
def test_each_group_moves_in_a_direction_of_its_own(groups: int, channels_first: bool) -> None:
    shift = RandomShift(pixels=2, groups=groups)
    obs = np.random.default_rng(0).integers(0, 256, (10, 20, 24, 3), dtype=np.uint8)
    words = jax.random.bits(jax.random.key(1), (shift.words,), jnp.uint32)
    given = np.moveaxis(obs, -1, 1) if channels_first else obs
    moved = np.asarray(jax.jit(shift)(jnp.asarray(given), words))
    moved = np.moveaxis(moved, 1, -1) if channels_first else moved
    assert (moved.shape, moved.dtype) == (obs.shape, np.uint8)
    offsets = set()
    for before, after in zip(obs, moved, strict=True):
        (where,) = [(i, j) for i in range(5) for j in range(5) if np.array_equal(shifted(before, i, j, 2), after)]
        offsets.add(where)
    assert len(offsets) <= min(groups, 10)
    assert len(offsets) > 1 or groups == 1


def test_all_directions_are_equally_likely() -> None:
    shift = RandomShift(pixels=1, groups=1)
    obs = jnp.asarray(np.pad(np.full((1, 1, 1, 1), 9, np.uint8), ((0, 0), (20, 20), (20, 20), (0, 0))))
    words = jax.random.bits(jax.random.key(0), (3000, 1), jnp.uint32)
    moved = jax.vmap(lambda w: shift(obs, w))(words)[:, 0, 19:22, 19:22, 0]
    share = np.asarray((moved > 0).mean(axis=0))
    np.testing.assert_allclose(share, 1 / 9, atol=0.03)


def test_without_augmentation_nothing_is_drawn() -> None:
    assert NoAugmentation().words == 0
    obs = jnp.zeros((2, 3))
    assert NoAugmentation()(obs, jnp.zeros(0, jnp.uint32)) is obs
