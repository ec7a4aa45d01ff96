"""The command line, one subcommand per file of `commands`. A mistake is one line, and status 2."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import NoReturn

from ddpg.mistake import Mistake
from ddpg.terminal import checked, drop, one_line, open_streams, plain

SEEDS = "seeds of resets: episode, once, LOW:HIGH or never (episode)"
# Of train, beside the paths.
NAMED = ("env", "env_args", "env_seeds", "log", "pixels", "preset", "steps", "seed", "seeds", "devices")
BEST = "the policy of the best evaluation, not the last one"
COMMANDS = ("train", "resume", "eval", "plot", "compare", "report", "export", "doctor", "study", "sweep", "presets")
NO_MODULE = "^(gym|jax|envpool|gymnax|playground):"  # which choose where an environment is from
INTERRUPTED, MISTAKE = 130, 2  # 128 and the signal's number


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line: its usage block buries what is wrong."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(MISTAKE)


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


def parser(of_train: bool = False) -> Parser:
    """Every command's arguments: values are named in capitals, options in small letters.

    `of_train` adds the options by path, which need the configuration, whose import takes a second.
    """
    top = Parser(prog="ddpg", description="Deterministic policy gradients for continuous control.", allow_abbrev=False)
    top.set_defaults(COMMAND=None)
    commands = top.add_subparsers(metavar="COMMAND")

    def command(name: str, function: str, summary: str, usage: str | None = None) -> Parser:
        layout = partial(argparse.HelpFormatter, max_help_position=36)
        sub = commands.add_parser(
            name, help=summary, description=summary, usage=usage, formatter_class=layout, allow_abbrev=False
        )
        sub.set_defaults(COMMAND=function)
        return sub

    usage = "ddpg train [ENV] [--preset NAME|FILE] [--small] [--steps N] [--seed S]\n"
    usage += "                  [--seeds K] [--run DIR] [--from RUN] [--actors N] [--quiet]\n"
    usage += "                  [--PART.FIELD VALUE ...]"
    train = command(
        "train", "train.train_command", "Train agents, by default 20 000 steps of DDPG on Pendulum-v1.", usage
    )
    train.add_argument("ENV", nargs="?", help="environment id (Pendulum-v1)")
    train.add_argument(
        "--preset",
        metavar="NAME",
        help="where to start from: see `ddpg presets`, or a .json file of `ddpg sweep` (ddpg)",
    )
    train.add_argument("--from", dest="from_run", metavar="RUN", help="begin with its networks and its options")
    train.add_argument("--best", action="store_true", help="with --from: those of its best evaluation")
    train.add_argument("--small", action="store_true", help="the preset in sizes for a small task, such as Pendulum")
    train.add_argument("--demonstrations", metavar="FILE", help="an NPZ of transitions, as ddpg.replay gives them")
    train.add_argument("--steps", metavar="N", help="environment steps of each seed (the preset's: 20000 of ddpg)")
    train.add_argument("--seed", metavar="S", help="the first seed (0)")
    train.add_argument("--seeds", metavar="K", help="how many agents, with seeds S to S+K-1 (1)")
    train.add_argument("--run", metavar="DIR", help="the run folder (a new one under runs/)")
    train.add_argument("--quiet", action="store_true", help="print nothing but errors, warnings and the result")
    train.add_argument("--envs", dest="collect.envs", metavar="N", help="environments side by side (1)")
    _add_devices(train)
    _add_actors(train)
    train.add_argument(
        "--env-args",
        dest="env_args",
        nargs="+",
        metavar="KEY=VALUE",
        help="the environment's keyword arguments, such as gravity=9.8",
    )
    train.add_argument("--env-seeds", dest="env_seeds", metavar="HOW", help=SEEDS)
    train.add_argument(
        "--pixels",
        nargs="?",
        const="drawn",
        metavar="HOW",
        help="see pictures, as the environment draws itself: drawn, or own observations (the preset's)",
    )
    train.add_argument("--log", metavar="KEYS", help="numbers of info to log, such as is_success,episode.r (none)")
    train.add_argument("--eval-every", dest="eval.every", metavar="N", help="steps between evaluations")
    train.add_argument("--eval-episodes", dest="eval.episodes", metavar="N", help="episodes of an evaluation")
    train.epilog = "Gymnasium's environments have other eval.* and collect.* than in brackets: docs/own_environment.md"
    if of_train:
        _add_paths(train)

    resume = command("resume", "train.resume_command", "Go on with a run exactly where its last checkpoint left it.")
    resume.add_argument("RUN", type=Path, help="a run folder")
    resume.add_argument("--steps", type=_natural, metavar="N", help="steps of each seed in all (the run's own)")
    resume.add_argument("--env", metavar="ID", help="the run's own id, if that imports a module")
    _add_devices(resume)
    _add_actors(resume)
    resume.add_argument("--quiet", action="store_true", help="print nothing but errors, warnings and the result")

    evaluate = command("eval", "evaluate.eval_command", "Play greedy episodes with the policies of a run.")
    evaluate.add_argument("RUN", type=Path, help="a run folder")
    evaluate.add_argument("--episodes", type=_natural, default=100, metavar="N", help="episodes of each seed (100)")
    evaluate.add_argument(
        "--seed", type=_whole, default=0, metavar="S", help="seed of the starts, not of the agent (0)"
    )
    evaluate.add_argument("--env", metavar="ID", help="another environment of the same spaces")
    evaluate.add_argument(
        "--env-args", nargs="+", default=[], metavar="KEY=VALUE", help="its keyword arguments, beside the run's"
    )
    evaluate.add_argument("--log", metavar="KEYS", help="numbers of info to report (the run's)")
    evaluate.add_argument("--best", action="store_true", help=BEST)
    evaluate.add_argument("--video", type=Path, metavar="FILE", help="write a film of one episode, .gif or .mp4")
    evaluate.add_argument("--render", action="store_true", help="show one episode in a window")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object on stdout")

    plot = command("plot", "plot.plot_command", "Draw the learning curves of runs in one figure, grouped by preset.")
    plot.add_argument("RUN", nargs="+", type=Path, help="run folders, and tables (.csv) of other projects' curves")
    plot.add_argument(
        "-o",
        type=Path,
        default=Path("learning_curves.png"),
        metavar="FILE",
        help="a PNG, or a table: .csv (learning_curves.png)",
    )
    plot.add_argument("--env", metavar="NAME", help="the environment's name in the tables (the runs' own)")
    plot.add_argument("--metric", metavar="NAME", help="the metric in the tables (avg_return, or the only one)")

    compare = command(
        "compare",
        "compare.compare_command",
        "Compare algorithms over seeds and environments: intervals, probability of improvement, tests.",
    )
    compare.add_argument(
        "RUN",
        nargs="+",
        help="run folders, and tables (.csv) of other projects' curves; LABEL=RUN names the algorithm (its preset)",
    )
    compare.add_argument(
        "-o",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="FILE",
        help="what to write: .png, .json, .md, .tex or .csv (nothing)",
    )
    compare.add_argument(
        "--env", nargs="+", default=[], metavar="NAME", help="only these environments (all that there are)"
    )
    compare.add_argument("--metric", metavar="NAME", help="the metric in the tables (avg_return, or the only one)")
    compare.add_argument("--step", type=_natural, metavar="N", help="compare at this step (the last that all have)")
    compare.add_argument(
        "--reference",
        nargs="+",
        metavar="ENV=LOW:HIGH",
        help="returns that are 0 and 1 of the scale over environments (the lowest and highest that were compared)",
    )
    compare.add_argument("--json", action="store_true", help="print one JSON object on stdout")

    report = command("report", "report.report_command", "Write one HTML page about runs, with all pictures inside.")
    report.add_argument("RUN", nargs="+", type=Path, help="run folders")
    report.add_argument("-o", type=Path, metavar="FILE", help="the page (report.html; in Chinese report.zh.html)")
    report.add_argument("--env", metavar="ID", help="what films are drawn in (the run's own)")
    report.add_argument("--lang", choices=("en", "zh"), default="en", help="the page's language: en or zh (en)")

    export = command(
        "export", "export.export_command", "Write the greedy policy of a run as a file that needs no ddpg."
    )
    export.add_argument("RUN", type=Path, help="a run folder")
    export.add_argument("--format", required=True, choices=("onnx", "hdf5", "numpy"), help="onnx, hdf5 or numpy")
    export.add_argument("--best", action="store_true", help=BEST)
    export.add_argument("--seed", type=_whole, metavar="S", help="whose policy (the run's first seed)")
    export.add_argument("-o", type=Path, metavar="PATH", help="the file (RUN/policy.onnx, .hdf5 or .npz)")

    doctor = command(
        "doctor",
        "doctor.doctor_command",
        "Step an environment at random; say what it is like and what to choose for it.",
    )
    doctor.add_argument("ENV", help="environment id")
    doctor.add_argument("--env-args", nargs="+", default=[], metavar="KEY=VALUE", help="its keyword arguments")
    doctor.add_argument("--env-seeds", default="episode", metavar="HOW", help=SEEDS)
    doctor.add_argument("--steps", type=_natural, default=5_000, metavar="N", help="random steps (5000)")
    doctor.add_argument("--seed", type=_whole, default=0, metavar="S", help="of its episodes and the actions (0)")
    doctor.add_argument("--json", action="store_true", help="print one JSON object on stdout instead")

    study = command(
        "study", "study.study_command", "Do an experiment on what the tutorial article argues; without NAME list them."
    )
    study.add_argument("NAME", nargs="?", help="which one (lists them all)")
    study.add_argument("--steps", type=_natural, metavar="N", help="environment steps of each training (the study's)")
    study.add_argument("--seeds", type=_natural, metavar="K", help="agents of each training (the study's)")
    study.add_argument("-o", type=Path, metavar="DIR", help="the folder of its answer (studies/NAME)")

    sweep = command("sweep", "sweep.sweep_command", "Search for settings with Optuna, with several seeds per trial.")
    sweep.add_argument("ENV", help="environment id")
    sweep.add_argument(
        "--space", metavar="FILE", help="a TOML of options and ranges, or a preset's name (the preset's)"
    )
    sweep.add_argument("--trials", type=_natural, default=50, metavar="N", help="how many in all (50)")
    sweep.add_argument("--preset", default="ddpg", metavar="NAME", help="where to start from, a name or a file (ddpg)")
    sweep.add_argument("--steps", type=_natural, metavar="N", help="environment steps of each seed (the preset's)")
    sweep.add_argument(
        "--seed", type=_whole, default=0, metavar="S", help="of the search, and the first of each trial (0)"
    )
    sweep.add_argument("--seeds", type=_natural, default=3, metavar="K", help="agents of each trial (3)")
    sweep.add_argument(
        "--objective", choices=("last", "best"), default="last", help="the IQM of evaluations: last or best (last)"
    )
    sweep.add_argument(
        "--pruning", choices=("median", "none"), default="median", help="what ends bad trials: median or none (median)"
    )
    sweep.add_argument("--jobs", type=_natural, default=1, metavar="N", help="trials at once, which needs Ray (1)")
    sweep.add_argument("--ray-address", metavar="ADDR", help="the Ray cluster of trials (one of its own)")
    sweep.add_argument("--population", type=_natural, default=1, metavar="N", help="trials as one compiled program (1)")
    sweep.add_argument("--quiet", action="store_true", help="print nothing but the result")
    sweep.add_argument("-o", type=Path, metavar="DIR", help="the folder (sweeps/ENV-PRESET)")

    command("presets", "presets.presets_command", "Print the presets side by side, only where they differ.")
    return top


def _add_devices(command: Parser) -> None:
    """Of `train` and `resume`: a run may go on with more or fewer."""
    command.add_argument("--devices", metavar="N", help="devices that compute one seed together (1)")


def _add_actors(command: Parser) -> None:
    """Of `train` and `resume`: how many actors there are and in which cluster may change on the way."""
    command.add_argument("--actors", dest="actors.number", metavar="N", help="processes that collect, by Ray (0)")
    command.add_argument(
        "--ray-address", dest="actors.address", metavar="ADDR", help="of a Ray cluster that runs (one is started here)"
    )


PARTS = {
    "": "algorithm (in brackets, here and below, what the ddpg preset chose)",
    "actor": "actor, the policy mu(s)",
    "critic": "critic, the values Q(s, a)",
    "exploration": "exploration, noise on the actions, in units of half the action range",
    "smoothing": "smoothing, noise on the target's action",
    "replay": "replay, the memory of past steps",
    "collect": "collect, acting and learning in turns",
    "actors": "actors, processes that collect in a Ray cluster",
    "eval": "eval, greedy episodes along the way",
    "checkpoint": "checkpoint, what a run can go on from",
}


def _add_paths(train: Parser) -> None:
    """The options by path, a group for each part of the configuration with what its own docstring says."""
    from ddpg.config.presets import PRESETS
    from ddpg.config.reading import options

    config = PRESETS["ddpg"]
    groups = {"": train.add_argument_group(PARTS[""])}
    for option in options(config):
        if option.path in NAMED:
            continue
        name = option.path.split(".")[0]
        if name in PARTS and name not in groups:
            about = type(getattr(config, name, None) or getattr(config.agent, name)).__doc__
            repeated = name == "critic"  # a Network as the actor is
            groups[name] = train.add_argument_group(PARTS[name], None if repeated else cleandoc(about or ""))
        choices = f"{', '.join(option.choices)} " if option.choices else ""
        kinds = f"of {' and '.join(option.kinds)} " if option.kinds else ""
        letter = "NAME" if option.choices else "N" if isinstance(option.value, int) else "X"
        groups.get(name, groups[""]).add_argument(
            f"--{option.path}",
            dest=option.path,
            metavar="N,N" if isinstance(option.value, tuple) else letter,
            help=f"{choices}{kinds}({plain(option.value)})",
        )


def refuse(rest: Sequence[str], known: Sequence[str]) -> None:
    """Mistake if anything on the command line was not understood, with the options it is near to."""
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


def _natural(text: str) -> int:
    return _whole(text, least=1)


def _whole(text: str, least: int = 0) -> int:
    if re.fullmatch(r"\d{1,9}e\d", text):  # 1e5 is a whole number too
        text = str(int(float(text)))
    if not text.isdecimal() or not least <= int(text[:20]) < 2**31:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: expected a whole number of at least {least}, below 2^31")
    return int(text)
