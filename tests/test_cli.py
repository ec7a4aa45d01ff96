"""The command line as its user meets it: what works, and one clear line for everything that cannot."""

import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest

import ddpg
from ddpg.arguments import COMMANDS, parser
from ddpg.cli import main
from ddpg.config.presets import PRESETS
from ddpg.envs import catalogue
from ddpg.envs.probes import ACTION
from ddpg.records.networks.safetensors import SavedNetworks, save_networks
from ddpg.training.evaluate import CompiledEvaluator
from ddpg.training.session import Session
from tests.tiny import TINY, words

SHORT = [*words(TINY), "--steps", "600", "--exploration.sigma=0.2"]


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def unchanged(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """What differs as soon as anything in a folder is written, made or deleted."""
    stats = {path: path.lstat() for path in folder.rglob("*")}
    return {path: (stat.st_ino, stat.st_size, stat.st_ctime_ns) for path, stat in stats.items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "draw", lambda self, note: self.folder.curve.touch())
        assert main(["train", *SHORT, "--run", str(folder)]) == 0
    return folder


def copied(run: Path, folder: Path) -> Path:
    """The run without its event files and its lock."""
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("tensorboard", "lock"))
    return folder


@pytest.fixture(scope="module")
def damaged(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to make mistakes in: a run, its damaged copies, and files that are in the way."""
    place, text, models = tmp_path_factory.mktemp("place"), (run / "config.json").read_text(), Path("models/seed-0")
    networks = (run / models / "networks.safetensors").read_bytes()
    checkpoint = max(run.glob("checkpoints/step-*"))
    copied(run, place / "run")
    for name, file, data in [
        ("cut", "config.json", text[:100].encode()),
        ("binary", "config.json", b"\xff\xfe\x00{" * 9),
        ("nan", "config.json", text.replace('"gamma": 0.99', '"gamma": NaN').encode()),
        ("old", "config.json", text.replace('"format": 3', '"format": 0').encode()),
        ("junk", "metrics.jsonl", b'{"step": 1, "seed": 0, "return": \xff\xfe}\n'),
        ("dead", "metrics.jsonl", b""),
        ("half", models / "networks.safetensors", networks[: len(networks) // 2]),
        ("swapped", models / "networks.safetensors", checkpoint.read_bytes()),
    ]:
        (copied(run, place / name) / file).write_bytes(data)
    early = copied(run, place / "early") / models
    for name in ("networks.safetensors", "best.safetensors"):
        (early / name).unlink()
    (place / "file").write_text("in the way")
    (place / "foreign").mkdir()
    (place / "foreign/config.json").write_text('{"model": "of somebody else"}')
    return place


@pytest.fixture
def place(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run, which is the current one."""
    monkeypatch.chdir(tmp_path)
    copied(run, tmp_path / "run")
    return tmp_path


MISTAKES = [  # command line, what the one line must say
    ("", ["no command", "train", "presets"]),
    ("tarin", ["'tarin'", "train"]),
    ("train Pendulm-v1", ["'Pendulm-v1'", "did you mean Pendulum-v1"]),
    ("train my_module:MyEnv-v0", ["'my_module:MyEnv-v0'", "cannot be made", "my_module"]),
    ("train gym:Pendulm-v1", ["'gym:Pendulm-v1'", "did you mean Pendulum-v1"]),
    ("train Pendulum-v9", ["'Pendulum-v9'", "did you mean Pendulum-v1"]),
    ("train qqqqqq", ["'qqqqqq'", "an id that gymnasium.make takes"]),
    ("train CartPole-v1", ["CartPole-v1", "Discrete(2)", "continuous"]),
    ("train CartPole-v0", ["CartPole-v0", "Discrete(2)", "continuous"]),
    ("train jax:CartPole-v1", ["'CartPole-v1'", "available: Pendulum-v1", "use gym:CartPole-v1"]),
    ("train jax:Pendulum-v1 --env-args g=9.8", ["'Pendulum-v1'", "takes no env-args", "gym:Pendulum-v1"]),
    ("train --env-args g", ["'g'", "key=value"]),
    ("train --env-args gravity=9.8", ["'Pendulum-v1' cannot be made", "gravity"]),
    ("train --env-arg g=9.8", ["--env-arg", "did you mean --env-args"]),
    ("train --envs 0", ["collect.envs 0", "at least 1"]),
    ("train --eval-every 0", ["eval.every 0", "at least 1"]),
    ("train --action_repeat 0", ["action_repeat 0", "at least 1"]),
    ("train --reward_scale 0", ["reward_scale '0'", "more than 0"]),
    ("train --normalise maybe", ["normalise 'maybe'"]),
    ("train --critic.max_grad_norm 0", ["critic.max_grad_norm '0'", "more than 0"]),
    ("train --collect.vector threads", ["collect.vector 'threads'", "'sync' or 'async'"]),
    ("train --preset artcle", ["'artcle'", "did you mean article", "lillicrap"]),
    ("train Pendulum-v1 Hopper-v5", ["unexpected 'Hopper-v5'"]),
    ("train --steps", ["--steps", "expected one argument"]),
    ("train --steps 0", ["steps 0", "at least 1"]),
    ("train --steps -5", ["steps -5", "at least 1"]),
    ("train --steps abc", ["steps 'abc'", "a whole number"]),
    ("train --steps 2.5", ["steps '2.5'", "a whole number"]),
    ("train --steps 1e12", ["steps 1000000000000", "at most 2147483647"]),
    ("train --steps " + 5_000 * "9", ["steps '999", "a whole number"]),
    ("train --seed -1", ["seed -1", "at least 0"]),
    ("train --seeds 0", ["seeds 0", "at least 1"]),
    ("train --actor.lr -1e-3", ["--actor.lr"]),
    ("train --actor.lr=-1e-3", ["actor.lr '-1e-3'", "more than 0"]),
    ("train --actor.lr nan", ["actor.lr 'nan'", "a finite number"]),
    ("train --tau 2", ["tau '2'", "at most 1"]),
    ("train --actor.widths 64,0", ["actor.widths 0", "at least 1"]),
    ("train --actor.activation rleu", ["actor.activation 'rleu'", "'relu'"]),
    ("train --actor.action_layer 1", ["actor.action_layer 1", "--critic.action_layer"]),
    ("train --exploration purple", ["exploration 'purple'", "'gaussian', 'ou'"]),
    ("train --exploration.theta 0.2", ["exploration.theta", "add --exploration ou"]),
    ("train --exploration.sigma 0.1,0.2", ["exploration.sigma 0.1,0.2", "Pendulum-v1 has 1 action dimension"]),
    ("train --exploration.schedule.final 0.1", ["exploration.schedule.final", "add --exploration.schedule linear"]),
    ("train --relpay.batch 32", ["--relpay.batch", "did you mean --replay.batch"]),
    ("train --replay.batch 64 --replay.capacity 32", ["replay.batch 64", "replay.capacity 32"]),
    ("train --replay.capacity 2e9", ["replay.capacity 2000000000", "GB", "smaller --replay.capacity"]),
    ("train --collect.warmup 30000", ["collect.warmup 30000", "20000 steps", "--steps above 30000"]),
    ("train --collect.learning_starts 20000", ["20000", "nothing would be learned", "--steps above"]),
    ("train --collect.warmup 10", ["after 10 steps", "at least"]),
    ("train --collect.envs 100000", ["replay.capacity 100000", "at least 200000"]),
    ("train --run run", ["run folder run already holds another run", "--run"]),
    (f"train --actor.widths {'1,' * 64}1", ["actor.widths", "at most 64"]),
    ("train --run foreign", ["run folder foreign already holds another run"]),
    ("train --run file", ["run folder file already holds other files"]),
    ("train --run file/run", ["run folder file/run cannot be written", "--run"]),
    ("eval", ["RUN"]),
    ("eval nowhere", ["nowhere", "no run folder"]),
    ("eval file", ["file", "no run folder"]),
    ("eval foreign", ["foreign/config.json", "expected 3"]),
    ("eval cut", ["cut/config.json", "not JSON"]),
    ("eval binary", ["binary/config.json", "invalid start byte"]),
    ("eval nan", ["nan/config.json", "gamma nan", "a finite number"]),
    ("eval old", ["old/config.json", "format 0, expected 3"]),
    ("eval half", ["half/models/seed-0/networks.safetensors", "cannot be used", "cut off"]),
    ("eval swapped", ["swapped/models/seed-0/networks.safetensors", "cannot be used", "spec"]),
    ("eval early", ["early/models/seed-0/networks.safetensors", "saved no networks yet"]),
    ("eval early --best", ["early/models/seed-0/best.safetensors", "the run has not been evaluated yet"]),
    ("export early --format numpy --best", ["early/models/seed-0/best.safetensors", "not been evaluated yet"]),
    ("eval run --episodes 0", ["--episodes", "'0'", "at least 1"]),
    ("eval run --episodes many", ["--episodes", "'many'", "a whole number"]),
    ("eval run --seed -1", ["--seed", "'-1'", "at least 0"]),
    ("eval run --jsn", ["--jsn", "did you mean --json"]),
    ("eval run --env CartPole-v1", ["CartPole-v1", "Discrete(2)"]),
    ("eval run --env probe-action", ["observations of shape (3,)", "(1,)", "choose an environment"]),
    ("eval run --video film.avi", ["film.avi", ".gif or .mp4"]),
    ("eval run --video nowhere/film.gif", ["nowhere/film.gif", "cannot be written"]),
    ("eval run --video file/film.gif", ["file/film.gif", "cannot be written"]),
    ("eval run --video run/metrics.jsonl", ["run/metrics.jsonl", ".gif"]),
    ("eval run --render", ["no screen", "--video"]),
    ("plot", ["RUN"]),
    ("plot nowhere", ["nowhere", "no run folder"]),
    ("plot run --env Ant-v4", ["--env Ant-v4", ".csv"]),
    ("plot foreign", ["foreign/config.json", "expected 3"]),
    ("plot run cut", ["cut/config.json", "not JSON"]),
    ("plot junk", ["junk/metrics.jsonl, line 1", "delete or repair"]),
    ("plot dead", ["nothing to draw"]),
    ("plot run -o file/curves.png", ["file/curves.png", "cannot be written", "-o"]),
    ("plot run -o run/config.json", ["run/config.json", ".png", "-o"]),
    ("export", ["RUN", "--format"]),
    ("export run", ["--format"]),
    ("export run --format tflite", ["'tflite'", "onnx", "hdf5", "numpy"]),
    ("export nowhere --format onnx", ["nowhere", "no run folder"]),
    ("export file --format onnx", ["file", "no run folder"]),
    ("export foreign --format onnx", ["foreign/config.json", "expected 3"]),
    ("export half --format numpy", ["half/models/seed-0/networks.safetensors", "cannot be used"]),
    ("export run --format onnx --seed 7", ["seed 7", "seeds 0 to 0"]),
    ("export run --format onnx --seed -1", ["--seed", "'-1'", "at least 0"]),
    ("export run --format onnx -o policy", ["policy", ".onnx", "-o"]),
    ("export run --format numpy -o policy.onnx", ["policy.onnx", ".npz", "-o"]),
    ("export run --format onnx -o nowhere/policy.onnx", ["nowhere/policy.onnx", "nowhere is no folder", "-o"]),
    ("export run --format onnx -o file/policy.onnx", ["file/policy.onnx", "file is no folder", "-o"]),
    ("export run --format hdf5 -o run/models/seed-0/actor.hdf5", ["actor.hdf5", "networks of the run", "-o"]),
    ("doctor", ["ENV"]),
    ("doctor Pendulm-v1", ["'Pendulm-v1'", "did you mean Pendulum-v1"]),
    ("doctor Pendulum-v1 --steps none", ["--steps", "'none'", "a whole number"]),
    ("presets --all", ["--all"]),
]


@pytest.mark.parametrize(("line", "said"), MISTAKES, ids=[line[:60] or "nothing" for line, _ in MISTAKES])
def test_a_mistake_is_one_line_and_changes_nothing(
    line: str, said: list[str], damaged: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(damaged)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(catalogue.NATIVE, "probe-action", ACTION)
    before = unchanged(damaged)
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ddpg")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert len(err) < 400
    for part in said:
        assert part in err
    assert unchanged(damaged) == before


def test_train_then_eval_then_plot(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ddpg.records.video.PATIENCE", math.inf)  # however slow the machine draws
    before = contents(run)
    assert main(["eval", str(run), "--episodes", "3", "--json", "--video", "film.gif"]) == 0
    out, err = capfd.readouterr()
    said = json.loads(out)
    assert out.count("\n") == 1
    assert set(said) >= {"return_mean", "return_std", "return_iqm", "episodes", "gap_to_optimum"}
    assert said["episodes"] == 3
    assert said["gap_to_optimum"] == pytest.approx(said["optimum"] - said["return_mean"])
    assert err == "film: film.gif\n"  # and nothing of a screen that is not there
    assert Path("film.gif").read_bytes().startswith(b"GIF89a")

    assert main(["eval", str(run), "--episodes", "3"]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert f"return {said['return_mean']:.1f} ± {said['return_std']:.1f}" in err

    assert main(["plot", str(run), str(run), "-o", "curves.png"]) == 0
    out, err = capfd.readouterr()
    assert (out, err) == ("", "curves: curves.png\n")
    assert Path("curves.png").read_bytes().startswith(b"\x89PNG")
    assert contents(run) == before


@pytest.mark.parametrize(("format", "suffix"), [("onnx", "onnx"), ("hdf5", "hdf5"), ("numpy", "npz")])
def test_export(format: str, suffix: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(place)
    for line, path in (("", f"run/policy.{suffix}"), (f"--seed 0 -o mine.{suffix}", f"mine.{suffix}")):
        assert main(["export", "run", "--format", format, *line.split()]) == 0
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"policy: {path}\nparity over 1 064 observations: largest difference ")
        assert err.endswith(" of the action range\n")
        after = contents(place)
        assert after.keys() - before.keys() == {path}
        assert after.items() >= before.items()
        before = after


def test_a_policy_of_no_numbers_is_said_in_valid_json(
    run: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = ddpg.load("run")
    nets = policy.nets._replace(actor=jax.tree.map(lambda leaf: leaf * np.float32(np.nan), policy.nets.actor))
    save_networks(place / "run/models/seed-0", SavedNetworks(nets, nets, None), policy.spec)
    assert main(["eval", "run", "--episodes", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["return_mean"] is None
    assert main(["eval", "run", "--episodes", "3", "--video", "film.gif"]) == 2
    assert "diverged" in capsys.readouterr().err
    assert not Path("film.gif").exists()


def test_training_that_diverges_leaves_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def lost(self: CompiledEvaluator, *_: Any) -> Any:
        return lambda *nets: self(*nets)._replace(returns=np.full((1, 4), np.nan))

    monkeypatch.setattr(CompiledEvaluator, "compile", lost)
    assert main(["train", *SHORT, "--run", str(folder)]) == 0
    err = capsys.readouterr().err
    assert "nothing to draw" in err
    assert "return unknown" in err
    said = json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)
    assert said["iqm"] is said["gap_to_optimum"] is None
    assert main(["plot", str(folder), "-o", str(tmp_path / "curves.png")]) == 2
    assert "nothing to draw" in capsys.readouterr().err


def test_an_environment_that_prints_spoils_no_json(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Talking(gymnasium.Wrapper):
        def step(self, action: Any) -> Any:
            print("a step")
            return super().step(action)

    def make(**kwargs: Any) -> gymnasium.Env:
        return Talking(gymnasium.make("Pendulum-v1", **kwargs))

    gymnasium.register("Talking-v0", make, max_episode_steps=10, disable_env_checker=True)
    try:
        command = ["eval", str(run), "--env", "Talking-v0", "--episodes", "2", "--video", str(tmp_path / "a.gif")]
        assert main([*command, "--env-args", "max_episode_steps=3", "--json"]) == 0
    finally:
        del gymnasium.registry["Talking-v0"]
    out, err = capsys.readouterr()
    assert json.loads(out)["env"] == "Talking-v0"
    assert err.count("a step") == 2 * 3 + 3


def test_too_much_memory_is_a_mistake(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(*_: object) -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 234000000388 bytes.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddpg.commands.evaluate.evaluate_run", refuse)
        assert main(["eval", str(run), "--episodes", "2000000000"]) == 2
    assert capsys.readouterr().err.startswith("ddpg: out of memory; use fewer episodes")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_presets_fit_a_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["presets"]) == 0
    out = capsys.readouterr().out
    assert columns == 40 or max(map(len, out.splitlines())) <= columns
    seen = list[str]()
    for table in out.split("\n\n"):
        rows = [line.split() for line in table.splitlines()]
        names = rows[0]
        assert names[0] == "ddpg"
        seen += names[1:]
        said = {option: dict(zip(names, values, strict=True)) for option, *values in rows[1:]}
        assert all(len(set(row.values())) > 1 for row in said.values())
        presets = {
            name: preset for full, preset in PRESETS.items() for name in names if full.startswith(name.strip("…"))
        }
        presets |= {name: PRESETS[name] for name in names if name in PRESETS}
        for name in names:
            for path, value in (
                ("replay.batch", presets[name].replay.batch),
                ("policy_delay", presets[name].agent.policy_delay),
            ):
                if path in said:
                    assert said[path][name] == str(value)
        thetas = {name: getattr(presets[name].agent.exploration, "theta", "-") for name in names}
        if not any("…" in word for word in (*names, *said)):
            assert said.get("exploration.theta", dict.fromkeys(names, "-")) == {n: str(t) for n, t in thetas.items()}
    assert len(seen) + 1 == len(PRESETS)
    assert all(full.startswith(name.strip("…")) for full, name in zip(PRESETS, ["ddpg", *seen], strict=True))


@pytest.mark.parametrize("command", ["", "train", "eval", "plot", "export", "doctor", "presets"])
def test_help_fits_a_terminal(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    if command == "train":
        for option in ("--gamma X", "--actor.widths N,N", "--exploration.schedule.rate X", "--collect.learning_starts"):
            assert option in out
        assert "gaussian, ou, pink, per_env, parameters (gaussian)" in " ".join(out.split())
        assert "constant, linear, exponential, table (constant)" in " ".join(out.split())
        assert PRESETS["ddpg"].steps == 20_000  # as it says
        assert "preset's: 20000 of ddpg" in " ".join(out.split())


def test_ctrl_c_leaves_a_complete_run(
    cached_programs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    # Two seeds, so that there are as many devices as here, and programs of them in the cache.
    command = [sys.executable, "-m", "ddpg", "train", *SHORT, "--steps=1e8", "--seeds=2", "--run", str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | cached_programs
    ) as process:
        assert process.stderr is not None
        heard = ""
        for begin in ("step", "stopped at step"):  # the impatient press it twice
            for line in iter(process.stderr.readline, ""):
                heard += line
                if line.startswith(begin):
                    break
            process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130, heard + err
    assert out == ""
    assert "Traceback" not in heard + err
    assert f"run folder: {folder}" in err
    assert json.loads((folder / "summary.json").read_text())["interrupted"]
    files = {path.name for path in folder.iterdir()}
    whole = {
        "checkpoints",
        "config.json",
        "metrics.jsonl",
        "models",
        "tensorboard",
        "learning_curve.png",
        "policy.gif",
        "summary.json",
    }
    assert files == whole
    assert main(["eval", str(folder), "--episodes", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == 4


NOISY = """
import atexit, ctypes, os
import gymnasium
import numpy as np

class Noisy(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self):
        print("made")
        os.write(1, b"by the system\\n")
        ctypes.CDLL(None).puts(b"by C, which keeps it in a buffer of its own")
        atexit.register(print, "at the end")

    def reset(self, seed=None, options=None):
        os.system("echo by a child")
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(2, np.float32), 1.0, self.t >= 30, False, {}

gymnasium.register("Noisy-v0", entry_point=Noisy)
"""


def test_json_is_one_object_whoever_prints_and_modules_are_found_here(tmp_path: Path) -> None:
    (tmp_path / "noisy_module.py").write_text(NOISY)
    # -P: as the script `ddpg`, which does not have the current folder among its own.
    command = [sys.executable, "-P", "-m", "ddpg", "doctor", "noisy_module:Noisy-v0", "--steps", "40", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    assert json.loads(done.stdout)["env"] == "noisy_module:Noisy-v0"
    for text in ("made", "by the system", "by C", "by a child", "at the end"):
        assert text in done.stderr


def test_what_ends_the_program_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(*_: Any) -> int:
        sys.exit(0)

    monkeypatch.setattr("ddpg.commands.presets.presets_command", leave)
    assert main(["presets"]) == 2
    assert capsys.readouterr().err == "ddpg: an environment ended the program (SystemExit(0))\n"


def test_streams_that_were_closed_are_opened_again(tmp_path: Path) -> None:
    code = "from ddpg.terminal import open_streams; open_streams(); import sys; print('to nobody', file=sys.stderr); "
    code += f"file = open({str(tmp_path / 'file')!r}, 'w'); assert file.fileno() > 2; print('whole')"
    done = subprocess.run(f'exec "{sys.executable}" -c "{code}" 2>&-', shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "whole\n")
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
def test_a_command_whose_streams_are_closed_does_what_it_is_to_do(closed: str) -> None:
    """Nothing that it opens first, such as the pipe for Ctrl-C, may take their numbers."""
    code = "import sys, os; from ddpg.cli import main; import ddpg.__main__ as m; "
    code += "m.main = lambda: 7 * all(os.fstat(n).st_mode & 0o170000 != 0o010000 for n in (0, 1, 2)); m.run()"
    assert subprocess.run(f'exec "{sys.executable}" -c "{code}" {closed} </dev/null', shell=True).returncode == 7


def test_the_list_of_commands_is_the_parsers() -> None:
    listed = re.findall(r"^    (\w+) ", parser().format_help(), re.MULTILINE)
    assert listed == list(COMMANDS)
