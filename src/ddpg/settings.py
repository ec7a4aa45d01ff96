"""Settings of JAX and NumPy that change what a program does: ours while we compute, the caller's in foreign code."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np

NUMPY = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # NumPy's own defaults

JAX: dict[str, tuple[tuple[Any, ...], Callable[[], AbstractContextManager[Any]]]] = {  # the values we compute with
    "jax_enable_x64": ((False,), lambda: jax.enable_x64(False)),
    "jax_debug_nans": ((False,), lambda: jax.debug_nans(False)),  # NaN stands for what is unknown
    "jax_debug_infs": ((False,), lambda: jax.debug_infs(False)),
    "jax_disable_jit": ((False,), lambda: jax.disable_jit(False)),
    "jax_numpy_rank_promotion": (("allow",), lambda: jax.numpy_rank_promotion("allow")),
    "jax_numpy_dtype_promotion": (("standard",), lambda: jax.numpy_dtype_promotion("standard")),
    **{
        f"jax_transfer_guard{way}": ((None, "allow"), lambda: jax.transfer_guard("allow"))
        for way in ("", "_host_to_device", "_device_to_host", "_device_to_device")
    },
}


class _Changed:
    """The settings that were changed from the caller's to ours."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.any, self._depth = False, 1  # in how many pieces of foreign code we are, one inside the other

    def change(self) -> None:
        """Change those that differ from ours."""
        self._depth -= 1
        if self._depth:
            return
        contexts = [ours for name, (values, ours) in JAX.items() if getattr(jax.config, name) not in values]
        if np.geterr() != NUMPY:
            contexts.append(lambda: np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        for ours in contexts:
            self._stack.enter_context(ours())
        self.any = bool(contexts)

    def undo(self) -> None:
        self._depth += 1
        self._stack.close()
        self.any = False


_CHANGED = ContextVar[_Changed | None]("changed", default=None)


@contextmanager
def own_settings() -> Iterator[None]:
    """A context, and a decorator, in which ddpg computes as if nobody had changed a setting."""
    changed = _Changed()
    changed.change()
    token = _CHANGED.set(changed)
    try:
        yield
    finally:
        _CHANGED.reset(token)
        changed.undo()


def keep_own_settings() -> None:
    """The same for the rest of this thread: settings are of a thread."""
    changed = _Changed()
    changed.change()
    _CHANGED.set(changed)


def leave_own_settings(may_change: bool) -> Callable[[], None] | None:
    """Let the caller's settings hold again, for code that is not ours; what is returned brings back ours.

    What that code changes holds for it from then on, and not for us: that is looked for if it `may_change` something.
    """
    changed = _CHANGED.get()
    if changed is None or not (may_change or changed.any):
        return None
    changed.undo()
    return changed.change
