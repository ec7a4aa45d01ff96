"""The command line: train · eval · plot · presets. Every mistake is one line on stderr and exit status 2."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

INTERRUPTED, MISTAKE = 130, 2


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line: its usage block buries what is wrong."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(MISTAKE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    try:
        args, rest = parser().parse_known_args(argv)
        return args.command(args, rest)
    except SystemExit as stop:  # --help, or a mistake argparse found
        return int(stop.code or 0)
    except ValueError as error:
        print(f"ddpg: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("ddpg: interrupted", file=sys.stderr)
        return INTERRUPTED


def parser() -> Parser:
    top = Parser(prog="ddpg", description="Deterministic policy gradients for continuous control.", allow_abbrev=False)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable[..., int], summary: str) -> Parser:
        sub = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        sub.set_defaults(command=function)
        return sub

    train = command("train", _train, "Train agents, by default 20 000 steps of DDPG on Pendulum-v1.")
    train.add_argument("env", nargs="?", default="Pendulum-v1", metavar="ENV", help="environment id (Pendulum-v1)")
    train.add_argument("--preset", default="ddpg", metavar="NAME", help="where to start from; see `ddpg presets` (ddpg)")
    train.add_argument("--steps", metavar="N", help="environment steps of each seed (20000)")
    train.add_argument("--seed", metavar="S", help="the first seed (0)")
    train.add_argument("--seeds", metavar="K", help="how many agents, with seeds S to S+K-1 (1)")
    train.add_argument("--run", metavar="DIR", help="the run folder (a new one under runs/)")
    # The options by path need the configuration, whose import takes a second that other commands should not wait.
    train.format_help = lambda: argparse.ArgumentParser.format_help(train) + _options()  # pyright: ignore

    evaluate = command("eval", _eval, "Play greedy episodes with the policies of a run.")
    evaluate.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    evaluate.add_argument("--episodes", type=_natural, default=100, metavar="N", help="episodes of each seed (100)")
    evaluate.add_argument("--seed", type=_whole, default=0, metavar="S", help="seed of the starts, not of the agent (0)")
    evaluate.add_argument("--env", metavar="ID", help="another environment of the same spaces")
    evaluate.add_argument("--video", type=Path, metavar="FILE", help="write a GIF of one episode")
    evaluate.add_argument("--render", action="store_true", help="show one episode in a window")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object on stdout")

    plot = command("plot", _plot, "Draw the learning curves of runs in one figure, grouped by preset.")
    plot.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders")
    plot.add_argument("-o", dest="file", type=Path, default=Path("learning_curves.png"), metavar="FILE", help="the PNG")

    command("presets", _presets, "Print the presets side by side, only where they differ.")
    return top


def _train(args: argparse.Namespace, rest: list[str]) -> int:
    given = {"steps": args.steps, "seed": args.seed, "seeds": args.seeds}
    options = {name: value for name, value in given.items() if value is not None} | _by_path(rest)
    from ddpg.training.train import train

    run = train(args.env, preset=args.preset, run=args.run, options=options)
    said = run.summary
    interval = "" if said["ci_low"] is None else f" [{said['ci_low']:.1f}, {said['ci_high']:.1f}]"
    gap = f", {said['gap_to_optimum']:.1f} below the optimum" if "gap_to_optimum" in said else ""
    speed = f"{said['steps_per_second']:,.0f}".replace(",", " ")
    print(f"return {said['iqm']:.1f}{interval}{gap} · {speed} steps/s · {said['wall_seconds']:.1f} s", file=sys.stderr)
    print(f"run folder: {run.path}", file=sys.stderr)
    return INTERRUPTED if run.interrupted else 0


def _by_path(rest: list[str]) -> dict[str, str]:
    """--PART.FIELD VALUE or --PART.FIELD=VALUE, as paths and texts."""
    options, words = {}, iter(rest)
    for word in words:
        path, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not path:
            raise ValueError(f"unexpected {word!r}; options are --PART.FIELD VALUE, see `ddpg train --help`")
        if not equals:
            value = next(words, None)
        if value is None or value.startswith("--"):
            raise ValueError(f"option --{path} has no value; write --{path} VALUE")
        options[path.replace("-", "_")] = value
    return options


def _options() -> str:
    from ddpg.training.config import Config, describe, to_data

    lines = [f"  --{path:34s} {_plain(value)}" for path, value, _ in describe(to_data(Config())) if "." in path or _]
    head = "\nby path (the ddpg preset's values; a part such as --exploration takes a kind: gaussian or ou):\n"
    return head + "\n".join(lines) + "\n"


def _eval(args: argparse.Namespace, rest: list[str]) -> int:
    _nothing_more(rest)
    from ddpg.training.evaluate import evaluate_run
    from ddpg.training.policy import film_run, show_run

    said = evaluate_run(args.run, args.episodes, args.seed, args.env)
    if args.json:
        print(json.dumps(said))
    else:
        gap = f" · {said['gap_to_optimum']:.1f} below the optimum" if "gap_to_optimum" in said else ""
        mean = f"return {said['return_mean']:.1f} ± {said['return_std']:.1f} · IQM {said['return_iqm']:.1f}{gap}"
        print(f"{mean} · {said['episodes']} episodes on {said['env']}", file=sys.stderr)
    if args.video:
        film_run(args.run, args.video, args.seed, args.env)
        print(f"film: {args.video}", file=sys.stderr)
    if args.render:
        show_run(args.run, args.seed, args.env)
    return 0


def _plot(args: argparse.Namespace, rest: list[str]) -> int:
    _nothing_more(rest)
    from ddpg.training.curves import plot_runs

    plot_runs(args.runs, args.file)
    print(f"curves: {args.file}", file=sys.stderr)
    return 0


def _presets(args: argparse.Namespace, rest: list[str]) -> int:
    _nothing_more(rest)
    from rich.console import Console
    from rich.table import Table

    from ddpg.training.config import describe, to_data
    from ddpg.training.presets import PRESETS

    columns = [{path: value for path, value, _ in describe(to_data(config))} for config in PRESETS.values()]
    paths = dict.fromkeys(path for column in columns for path in column if path != "preset")
    table = Table("", *PRESETS, box=None, header_style="bold")
    for path in paths:
        values = [_plain(column[path]) if path in column else "" for column in columns]
        if len(set(values)) > 1:
            table.add_row(path, *values)
    Console().print(table)
    return 0


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if value is None else str(value)


def _nothing_more(rest: list[str]) -> None:
    if rest:
        known = ("--episodes", "--seed", "--env", "--video", "--render", "--json", "--help", "-o")
        near = get_close_matches(rest[0], known, n=1)
        raise ValueError(f"unknown option {rest[0]}; {f'did you mean {near[0]}?' if near else 'see --help'}")


def _natural(text: str) -> int:
    if (number := _whole(text)) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected at least 1")
    return number


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 0")
    return int(text)
