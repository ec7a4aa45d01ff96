"""`ddpg`, and `python -m ddpg`: one command in a process of its own."""

import sys

from ddpg.cli import main
from ddpg.process import end_at_third_press, end_soon
from ddpg.terminal import open_streams


def run() -> None:
    """Run the command; what a signal has stopped does not wait for what was cancelled."""
    open_streams()  # first: what is opened next would take their numbers
    end_at_third_press()
    status = main()
    if status > 128:
        end_soon(status)
    sys.exit(status)


if __name__ == "__main__":
    run()
