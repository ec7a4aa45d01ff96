"""A Ray cluster, for as long as this process needs it: one that runs, or one of its own on this machine."""

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from ddpg.mistake import Mistake
from ddpg.terminal import one_line
from ddpg.training.devices import cores

ANSWER = 5.0  # seconds in which a cluster must answer
STORE = 2**28  # bytes of a local object store, beside the blocks that may lie in it
# Of a process: one thread, and no accelerator for its JAX.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}


class Cluster:
    """Connects this process with the cluster at `address`, or that of RAY_ADDRESS, or starts one on this machine.

    `asked` is by what option it is needed, and `named` by what option the address is given. A cluster that is started
    has at least so many `cpus`, and an object store with room for `store` bytes beside the usual; with `gpus` the
    machine's GPUs too. If this process is in a cluster already, it stays. Raises Mistake if Ray is missing, or no
    cluster answers.
    """

    def __init__(
        self, address: str | None, cpus: int, *, asked: str, named: str, store: int = 0, gpus: bool = False
    ) -> None:
        if find_spec("ray") is None:
            raise Mistake(f"{asked} needs Ray: pip install 'ddpg-jax[ray]'")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when it is imported
        import ray

        self._folder: str | None = None
        self._connected = not ray.is_initialized()
        if not self._connected:
            return
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        options: dict[str, Any] = {"address": address}
        _check(address, named)
        if address == "local":
            # Short, since the paths of sockets must be.
            self._folder = tempfile.mkdtemp(prefix="ddpg-ray-")
            options |= {"num_cpus": max(cpus, cores()), "object_store_memory": STORE + store}
            options |= {} if gpus else {"num_gpus": 0}
            options |= {"include_dashboard": False, "_temp_dir": self._folder}
        before = _handler()
        logger = logging.getLogger("ray")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():  # of the fork by which Ray starts other programs, at once
                warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
                ray.init(**options, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except Exception as error:  # of several types
            self.close()
            why = one_line(error) or type(error).__name__
            if address == "local":
                raise Mistake(f"Ray cannot start ({why})") from error
            hint = "if it asks for tokens, RAY_AUTH_MODE=token gives ours"
            raise Mistake(f"{named} {address}: no Ray cluster answers ({why}); {hint}") from error
        finally:
            logger.setLevel(level)
            before()  # Ray takes SIGTERM, which asks a run to save and end

    def close(self) -> None:
        """Leave the cluster; one that was started here ends, with all its processes and files."""
        import ray

        if self._connected:
            with suppress(Exception):
                ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _check(address: str, named: str) -> None:
    """Raise Mistake unless it is one, and something answers there: Ray would wait for it for many minutes."""
    if address in ("local", "auto"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise Mistake(f"{named} {address}: expected HOST:PORT, as `ray start --head` prints it, auto or local")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    except (OSError, OverflowError) as error:
        raise Mistake(f"{named} {address}: no Ray cluster answers ({one_line(error)})") from None


def _handler() -> Callable[[], object]:
    """What brings back the handler of SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    handler = signal.getsignal(signal.SIGTERM)
    return lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL if handler is None else handler)
