"""The command line, one subcommand per file of `commands`. A mistake is one line, and status 2."""

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module

from ddpg.arguments import COMMANDS, MISTAKE, parser
from ddpg.mistake import Mistake
from ddpg.terminal import checked, drop, one_line, open_streams

NO_MODULE = "^(gym|jax|envpool|gymnax|playground):"  # which choose where an environment is from
INTERRUPTED = 128 + 2  # SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    open_streams()
    argv = sys.argv[1:] if argv is None else argv
    # A module of environments is looked for in the current folder too, last.
    if any(":" in re.sub(NO_MODULE, "", word) for word in argv):
        with suppress(OSError):
            sys.path += {os.getcwd()}.difference(sys.path)
    try:
        return _run(argv)
    except SystemExit as stop:  # of an environment's code where nothing guards it, whatever its status
        print(f"ddpg: an environment ended the program ({one_line(repr(stop))})", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("ddpg: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # its reader has closed our output, as `head` does
        drop(sys.stdout)
        return 0
    except Mistake as error:
        print(f"ddpg: {error}", file=sys.stderr)
        return MISTAKE
    except (MemoryError, RuntimeError) as error:  # JAX's is a RuntimeError
        if isinstance(error, RuntimeError) and "out of memory" not in str(error).lower():
            raise
        print("ddpg: out of memory; use fewer episodes, seeds or environments, or smaller networks", file=sys.stderr)
        return MISTAKE


def _run(argv: Sequence[str]) -> int:
    try:
        args, rest = parser(of_train="train" in argv[:1]).parse_known_args(argv)
    except SystemExit as stop:  # --help, or a mistake argparse found
        return MISTAKE if stop.code else 0
    refuse(rest, ["from" if name == "from_run" else name for name in vars(args) if name.islower()])
    if args.COMMAND is None:
        raise Mistake(f"no command; expected {', '.join(COMMANDS)}; see `ddpg --help`")
    module, _, function = args.COMMAND.partition(".")
    status = getattr(import_module(f"ddpg.commands.{module}"), function)(args)  # with JAX, for a second
    with checked(sys.stdout):  # which may still hold what an environment printed
        sys.stdout.flush()
    return status


def refuse(rest: Sequence[str], known: Sequence[str]) -> None:
    """Raise Mistake if anything on the command line was not understood, with the options it is near to."""
    if rest and rest[0].startswith("-"):
        word = rest[0].split("=")[0]
        name = word.strip("-").replace("-", "_")
        near = get_close_matches(name, known, n=2, cutoff=0.7) or [each for each in known if name[:4] == each]
        hint = f"did you mean {' or '.join(map(_dashed, near))}?" if near else "see --help"
        raise Mistake(f"unknown option {word}; {hint}")
    if rest:
        raise Mistake(f"unexpected {rest[0]!r}; see --help")


def _dashed(name: str) -> str:
    """An option as it is written; of those with an underscore only these are no paths."""
    return f"--{name.replace('_', '-')}" if name in ("env_args", "env_seeds") else "-" + "-" * (len(name) > 1) + name
