"""The arguments of every command: values are named in capitals, options in small letters."""

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from inspect import cleandoc
from pathlib import Path
from typing import NamedTuple, NoReturn

from ddpg.terminal import plain

SEEDS = "seeds of resets: episode, once, LOW:HIGH or never (episode)"
# Of train, beside the paths.
NAMED = ("env", "env_args", "env_seeds", "log", "pixels", "preset", "steps", "seed", "seeds", "devices")
BEST = "the policy of the best evaluation, not the last one"
MISTAKE = 2  # the exit status


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line: its usage block buries what is wrong."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(MISTAKE)


def parser(of_train: bool = False) -> Parser:
    """The parser of every command.

    `of_train` adds the options by path, which need the configuration, whose import takes a second.
    """
    top = Parser(prog="ddpg", description="Deterministic policy gradients for continuous control.", allow_abbrev=False)
    top.set_defaults(COMMAND=None)
    subparsers = top.add_subparsers(metavar="COMMAND")
    layout = partial(argparse.HelpFormatter, max_help_position=36)
    for name, (function, summary, add_arguments) in COMMANDS.items():
        command = subparsers.add_parser(
            name, help=summary, description=summary, formatter_class=layout, allow_abbrev=False
        )
        command.set_defaults(COMMAND=function)
        add_arguments(command)
        if name == "train" and of_train:
            _add_paths(command)
    return top


def _train(command: Parser) -> None:
    command.usage = "ddpg train [ENV] [--preset NAME|FILE] [--small] [--steps N] [--seed S]\n"
    command.usage += "                  [--seeds K] [--run DIR] [--from RUN] [--actors N] [--quiet]\n"
    command.usage += "                  [--PART.FIELD VALUE ...]"
    command.add_argument("ENV", nargs="?", help="environment id (Pendulum-v1)")
    command.add_argument(
        "--preset",
        metavar="NAME",
        help="where to start from: see `ddpg presets`, or a .json file of `ddpg sweep` (ddpg)",
    )
    command.add_argument("--from", dest="from_run", metavar="RUN", help="begin with its networks and its options")
    command.add_argument("--best", action="store_true", help="with --from: those of its best evaluation")
    command.add_argument("--small", action="store_true", help="the preset in sizes for a small task, such as Pendulum")
    command.add_argument("--demonstrations", metavar="FILE", help="an NPZ of transitions, as ddpg.replay gives them")
    command.add_argument("--steps", metavar="N", help="environment steps of each seed (the preset's: 20000 of ddpg)")
    command.add_argument("--seed", metavar="S", help="the first seed (0)")
    command.add_argument("--seeds", metavar="K", help="how many agents, with seeds S to S+K-1 (1)")
    command.add_argument("--run", metavar="DIR", help="the run folder (a new one under runs/)")
    command.add_argument("--quiet", action="store_true", help="print nothing but errors, warnings and the result")
    command.add_argument("--envs", dest="collect.envs", metavar="N", help="environments side by side (1)")
    _add_devices(command)
    _add_actors(command)
    command.add_argument(
        "--env-args",
        dest="env_args",
        nargs="+",
        metavar="KEY=VALUE",
        help="the environment's keyword arguments, such as gravity=9.8",
    )
    command.add_argument("--env-seeds", dest="env_seeds", metavar="HOW", help=SEEDS)
    command.add_argument(
        "--pixels",
        nargs="?",
        const="drawn",
        metavar="HOW",
        help="see pictures, as the environment draws itself: drawn, or own observations (the preset's)",
    )
    command.add_argument("--log", metavar="KEYS", help="numbers of info to log, such as is_success,episode.r (none)")
    command.add_argument("--eval-every", dest="eval.every", metavar="N", help="steps between evaluations")
    command.add_argument("--eval-episodes", dest="eval.episodes", metavar="N", help="episodes of an evaluation")
    command.epilog = (
        "Gymnasium's environments have other eval.* and collect.* than in brackets: docs/own_environment.md"
    )


def _resume(command: Parser) -> None:
    command.add_argument("RUN", type=Path, help="a run folder")
    command.add_argument("--steps", type=_natural, metavar="N", help="steps of each seed in all (the run's own)")
    command.add_argument("--env", metavar="ID", help="the run's own id, if that imports a module")
    _add_devices(command)
    _add_actors(command)
    command.add_argument("--quiet", action="store_true", help="print nothing but errors, warnings and the result")


def _eval(command: Parser) -> None:
    command.add_argument("RUN", type=Path, help="a run folder")
    command.add_argument("--episodes", type=_natural, default=100, metavar="N", help="episodes of each seed (100)")
    command.add_argument("--seed", type=_whole, default=0, metavar="S", help="seed of the starts, not of the agent (0)")
    command.add_argument("--env", metavar="ID", help="another environment of the same spaces")
    command.add_argument(
        "--env-args", nargs="+", default=[], metavar="KEY=VALUE", help="its keyword arguments, beside the run's"
    )
    command.add_argument("--log", metavar="KEYS", help="numbers of info to report (the run's)")
    command.add_argument("--best", action="store_true", help=BEST)
    command.add_argument("--video", type=Path, metavar="FILE", help="write a video of one episode, .gif or .mp4")
    command.add_argument("--render", action="store_true", help="show one episode in a window")
    command.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def _plot(command: Parser) -> None:
    command.add_argument("RUN", nargs="+", type=Path, help="run folders, and tables (.csv) of other projects' curves")
    command.add_argument(
        "-o",
        type=Path,
        default=Path("learning_curves.png"),
        metavar="FILE",
        help="a PNG, or a table: .csv (learning_curves.png)",
    )
    command.add_argument("--env", metavar="NAME", help="the environment's name in the tables (the runs' own)")
    command.add_argument("--metric", metavar="NAME", help="the metric in the tables (avg_return, or the only one)")


def _compare(command: Parser) -> None:
    command.add_argument(
        "RUN",
        nargs="+",
        help="run folders, and tables (.csv) of other projects' curves; LABEL=RUN names the algorithm (its preset)",
    )
    command.add_argument(
        "-o",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="FILE",
        help="what to write: .png, .json, .md, .tex or .csv (nothing)",
    )
    command.add_argument(
        "--env", nargs="+", default=[], metavar="NAME", help="only these environments (all that there are)"
    )
    command.add_argument("--metric", metavar="NAME", help="the metric in the tables (avg_return, or the only one)")
    command.add_argument("--step", type=_natural, metavar="N", help="compare at this step (the last that all have)")
    command.add_argument(
        "--reference",
        nargs="+",
        metavar="ENV=LOW:HIGH",
        help="returns that are 0 and 1 of the scale over environments (the lowest and highest that were compared)",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def _report(command: Parser) -> None:
    command.add_argument("RUN", nargs="+", type=Path, help="run folders")
    command.add_argument("-o", type=Path, metavar="FILE", help="the page (report.html; in Chinese report.zh.html)")
    command.add_argument("--env", metavar="ID", help="what videos are drawn in (the run's own)")
    command.add_argument("--lang", choices=("en", "zh"), default="en", help="the page's language: en or zh (en)")


def _export(command: Parser) -> None:
    command.add_argument("RUN", type=Path, help="a run folder")
    command.add_argument("--format", required=True, choices=("onnx", "hdf5", "numpy"), help="onnx, hdf5 or numpy")
    command.add_argument("--best", action="store_true", help=BEST)
    command.add_argument("--seed", type=_whole, metavar="S", help="whose policy (the run's first seed)")
    command.add_argument("-o", type=Path, metavar="PATH", help="the file (RUN/policy.onnx, .hdf5 or .npz)")


def _doctor(command: Parser) -> None:
    command.add_argument("ENV", help="environment id")
    command.add_argument("--env-args", nargs="+", default=[], metavar="KEY=VALUE", help="its keyword arguments")
    command.add_argument("--env-seeds", default="episode", metavar="HOW", help=SEEDS)
    command.add_argument("--pixels", action="store_true", help="examine it as it draws itself, for --preset pixels")
    command.add_argument("--steps", type=_natural, default=5_000, metavar="N", help="random steps (5000)")
    command.add_argument("--seed", type=_whole, default=0, metavar="S", help="of its episodes and the actions (0)")
    command.add_argument("--json", action="store_true", help="print one JSON object on stdout instead")


def _study(command: Parser) -> None:
    command.add_argument("NAME", nargs="?", help="which one (lists them all)")
    command.add_argument("--steps", type=_natural, metavar="N", help="environment steps of each training (the study's)")
    command.add_argument("--seeds", type=_natural, metavar="K", help="agents of each training (the study's)")
    command.add_argument("-o", type=Path, metavar="DIR", help="the folder of its answer (studies/NAME)")


def _sweep(command: Parser) -> None:
    command.add_argument("ENV", help="environment id")
    command.add_argument(
        "--space", metavar="FILE", help="a TOML of options and ranges, or a preset's name (the preset's)"
    )
    command.add_argument("--trials", type=_natural, default=50, metavar="N", help="how many in all (50)")
    command.add_argument(
        "--preset", default="ddpg", metavar="NAME", help="where to start from, a name or a file (ddpg)"
    )
    command.add_argument("--steps", type=_natural, metavar="N", help="environment steps of each seed (the preset's)")
    command.add_argument(
        "--seed", type=_whole, default=0, metavar="S", help="of the search, and the first of each trial (0)"
    )
    command.add_argument("--seeds", type=_natural, default=3, metavar="K", help="agents of each trial (3)")
    command.add_argument(
        "--objective", choices=("last", "best"), default="last", help="the IQM of evaluations: last or best (last)"
    )
    command.add_argument(
        "--pruning", choices=("median", "none"), default="median", help="what ends bad trials: median or none (median)"
    )
    command.add_argument("--jobs", type=_natural, default=1, metavar="N", help="trials at once, which needs Ray (1)")
    command.add_argument("--ray-address", metavar="ADDR", help="the Ray cluster of trials (one of its own)")
    command.add_argument(
        "--population", type=_natural, default=1, metavar="N", help="trials as one compiled program (1)"
    )
    command.add_argument("--quiet", action="store_true", help="print nothing but the result")
    command.add_argument("-o", type=Path, metavar="DIR", help="the folder (sweeps/ENV-PRESET)")


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
    "replay": "replay, the buffer of past steps",
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
            repeated = name == "critic"  # a NetworkConfig as the actor is
            groups[name] = train.add_argument_group(PARTS[name], None if repeated else cleandoc(about or ""))
        choices = f"{', '.join(option.choices)} " if option.choices else ""
        kinds = f"of {' and '.join(option.kinds)} " if option.kinds else ""
        defaults = "; ".join([plain(option.value), *(f"{kind} {plain(value)}" for kind, value in option.others)])
        letter = "NAME" if option.choices else "N" if isinstance(option.value, int) else "X"
        groups.get(name, groups[""]).add_argument(
            f"--{option.path}",
            dest=option.path,
            metavar="N,N" if isinstance(option.value, tuple) else letter,
            help=f"{choices}{kinds}({defaults})",
        )


def _natural(text: str) -> int:
    return _whole(text, least=1)


def _whole(text: str, least: int = 0) -> int:
    if re.fullmatch(r"\d{1,9}e\d", text):  # 1e5 is a whole number too
        text = str(int(float(text)))
    if not text.isdecimal() or not least <= int(text[:20]) < 2**31:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: expected a whole number of at least {least}, below 2^31")
    return int(text)


class Command(NamedTuple):
    function: str  # "MODULE.FUNCTION" of ddpg.commands
    summary: str
    add_arguments: Callable[[Parser], None]


COMMANDS = {
    "train": Command("train.train_command", "Train agents, by default 20 000 steps of DDPG on Pendulum-v1.", _train),
    "resume": Command("train.resume_command", "Go on with a run exactly where its last checkpoint left it.", _resume),
    "eval": Command("evaluate.eval_command", "Play greedy episodes with the policies of a run.", _eval),
    "plot": Command("plot.plot_command", "Draw the learning curves of runs in one figure, grouped by preset.", _plot),
    "compare": Command(
        "compare.compare_command",
        "Compare algorithms over seeds and environments: intervals, probability of improvement, tests.",
        _compare,
    ),
    "report": Command("report.report_command", "Write one HTML page about runs, with all pictures inside.", _report),
    "export": Command(
        "export.export_command", "Write the greedy policy of a run as a file that needs no ddpg.", _export
    ),
    "doctor": Command(
        "doctor.doctor_command",
        "Step an environment at random; say what it is like and what to choose for it.",
        _doctor,
    ),
    "study": Command(
        "study.study_command", "Do an experiment on what the tutorial article argues; without NAME list them.", _study
    ),
    "sweep": Command("sweep.sweep_command", "Search for settings with Optuna, with several seeds per trial.", _sweep),
    "presets": Command(
        "presets.presets_command", "Print the presets side by side, only where they differ.", lambda command: None
    ),
}
