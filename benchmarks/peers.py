"""ddpg beside libraries that pip installs: the same task, algorithm and constants, in turns, with one judge.

    python benchmarks/peers.py [--tasks pendulum cheetah] [--names ddpg sb3 ...] [--repeats 3] [--venvs .peers]
    python benchmarks/peers.py --table

Each contender trains in a process of its own, in a virtual environment under `--venvs` that is made when it is first
needed (`ddpg` from this checkout). They take turns, so that a busy minute of the machine meets all of them.
`steps/s` is of steps with an update, when everything is compiled: here over all of them, of others over the second half
of the run. `seconds` is what `time` would say of the program, with imports and a first compilation. Every trained
policy then plays the same episodes with the same code, greedily, one observation at a time.

All are DDPG (Lillicrap et al. 2016) with the constants of `TASKS`: Adam, relu, one update a step, Gaussian noise of 0.1
half ranges, uniformly random actions until learning begins. What differs is in `CONTENDERS`. Needs the extra `mujoco`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple


class Task(NamedTuple):
    id: str
    steps: int
    begin: int  # steps of random actions, without updates
    widths: tuple[int, ...]
    batch: int
    episodes: int  # of the judge
    torch_threads: int  # with which PyTorch is faster


TASKS = {
    "pendulum": Task("Pendulum-v1", 20_000, 1_000, (64, 64), 64, 100, 1),
    "cheetah": Task("HalfCheetah-v5", 5_000, 1_000, (256, 256), 256, 10, 2),
}
RATE, GAMMA, TAU, SIGMA, CAPACITY = 1e-3, 0.99, 0.005, 0.1, 100_000
FIRST = 10_000  # seed of the judge's first episode

Act = Callable[[Any], Any]  # one observation -> an action in the environment's units
Trained = tuple[Act, float]  # and steps a second


def ours(prefix: str, task: Task, seed: int, *more: tuple[str, Any]) -> Trained:
    ddpg = import_module("ddpg")
    of_networks = {"widths": ",".join(map(str, task.widths)), "lr": RATE, "activation": "relu"}
    options = {f"{name}.{path}": value for name in ("actor", "critic") for path, value in of_networks.items()}
    options |= {"gamma": GAMMA, "tau": TAU, "exploration.sigma": SIGMA, "clip_values": "none"}
    options |= {"replay.capacity": CAPACITY, "replay.batch": task.batch, "collect.warmup": task.begin}
    options |= {"eval.every": task.steps, "checkpoint.share": "none", **dict(more)}
    folder = Path.cwd() / "run"
    run = ddpg.train(f"{prefix}{task.id}", steps=task.steps, seed=seed, run=folder, options=options, quiet=True)
    return ddpg.load(run.path), run.summary["steps_per_second"]


def compiled(task: Task, seed: int) -> Trained:
    return ours("", task, seed)


def through_gymnasium(task: Task, seed: int) -> Trained:
    return ours("gym:", task, seed)


def one_by_one(task: Task, seed: int) -> Trained:
    return ours("gym:", task, seed, ("collect.steps", 1), ("collect.updates", 1))


def baselines(package: str, task: Task, seed: int, at_once: int = 1) -> Trained:
    noise = import_module("stable_baselines3.common.noise")
    callbacks = import_module("stable_baselines3.common.callbacks")
    gymnasium, np = import_module("gymnasium"), import_module("numpy")
    env = gymnasium.make(task.id)
    half = Half(task.steps)

    class Clock(callbacks.BaseCallback):
        def _on_step(self) -> bool:
            half(self.num_timesteps)
            return True

    if package == "stable_baselines3":
        import_module("torch").set_num_threads(task.torch_threads)
    size = env.action_space.shape
    rates = {"qf_learning_rate": RATE} if package == "sbx" else {"device": "cpu"}
    model = import_module(package).DDPG(
        "MlpPolicy",
        env,
        learning_rate=RATE,
        buffer_size=CAPACITY,
        learning_starts=task.begin,
        batch_size=task.batch,
        tau=TAU,
        gamma=GAMMA,
        action_noise=noise.NormalActionNoise(np.zeros(size), np.full(size, SIGMA)),
        train_freq=at_once,
        gradient_steps=at_once,
        policy_kwargs={"net_arch": list(task.widths)},
        seed=seed,
        **rates,
    )
    model.learn(task.steps, callback=Clock())
    return lambda obs: model.predict(obs, deterministic=True)[0], half.rate()


def sb3(task: Task, seed: int) -> Trained:
    return baselines("stable_baselines3", task, seed)


def sbx(task: Task, seed: int) -> Trained:
    return baselines("sbx", task, seed)


def sbx_in_blocks(task: Task, seed: int) -> Trained:
    return baselines("sbx", task, seed, at_once=100)


def tianshou(task: Task, seed: int) -> Trained:
    torch, gymnasium, np = import_module("torch"), import_module("gymnasium"), import_module("numpy")
    data, common = import_module("tianshou.data"), import_module("tianshou.utils.net.common")
    ddpg, parts = import_module("tianshou.algorithm.modelfree.ddpg"), import_module("tianshou.utils.net.continuous")
    adam = import_module("tianshou.algorithm.optim").AdamOptimizerFactory(lr=RATE)
    torch.set_num_threads(task.torch_threads)
    torch.manual_seed(seed)
    np.random.seed(seed)
    env, half = gymnasium.make(task.id), Half(task.steps)
    inputs, action = env.observation_space.shape, env.action_space.shape
    body = common.Net(state_shape=inputs, hidden_sizes=task.widths)
    actor = parts.ContinuousActorDeterministic(preprocess_net=body, action_shape=action)
    both = common.Net(state_shape=inputs, action_shape=action, hidden_sizes=task.widths, concat=True)
    policy = ddpg.ContinuousDeterministicPolicy(
        actor=actor,
        action_space=env.action_space,
        exploration_noise=import_module("tianshou.exploration").GaussianNoise(sigma=SIGMA),
    )
    critic = parts.ContinuousCritic(preprocess_net=both)
    agent = ddpg.DDPG(policy=policy, policy_optim=adam, critic=critic, critic_optim=adam, tau=TAU, gamma=GAMMA)
    envs = import_module("tianshou.env").DummyVectorEnv([lambda: gymnasium.make(task.id)])
    envs.seed(seed)
    collector = data.Collector(agent, envs, data.VectorReplayBuffer(CAPACITY, 1), exploration_noise=True)
    collector.reset()
    collector.collect(n_step=task.begin, random=True)
    params = import_module("tianshou.trainer").OffPolicyTrainerParams(
        training_collector=collector,
        max_epochs=1,
        epoch_num_steps=task.steps - task.begin,
        collection_step_num_env_steps=1,
        batch_size=task.batch,
        training_fn=lambda epoch, step: half(task.begin + step),
        verbose=False,
        show_progress=False,
    )
    agent.run_training(params)
    half(task.steps)

    def act(obs: Any) -> Any:
        with torch.no_grad():
            return policy.map_action(policy.compute_action(obs))

    return act, half.rate()


class Half:
    """The rate of the second half of so many steps; called with the steps done."""

    def __init__(self, steps: int) -> None:
        self._steps, self._began, self._ended = steps, 0.0, 0.0

    def __call__(self, step: int) -> None:
        if step == self._steps // 2:
            self._began = time.perf_counter()
        if step == self._steps:
            self._ended = time.perf_counter()

    def rate(self) -> float:
        return (self._steps - self._steps // 2) / (self._ended - self._began)


class Contender(NamedTuple):
    title: str
    train: Callable[[Task, int], Trained]
    packages: tuple[str, ...]  # of its virtual environment; the first is named with its version
    differs: str = ""
    tasks: tuple[str, ...] = tuple(TASKS)


CHECKOUT = str(Path(__file__).resolve().parents[1])
CONTENDERS = {
    "ddpg-compiled": Contender(
        "ddpg, its own compiled Pendulum", compiled, (CHECKOUT,), "no Python in a step", ("pendulum",)
    ),
    "ddpg": Contender(
        "ddpg, Gymnasium", through_gymnasium, (CHECKOUT,), "100 steps beside 100 updates, on two cores; a run folder"
    ),
    "ddpg-1": Contender("ddpg, Gymnasium, one by one", one_by_one, (CHECKOUT,), "one step beside one update"),
    "sbx": Contender("SBX", sbx, ("sbx-rl",), "JAX; one dispatch an update"),
    "sbx-100": Contender("SBX in blocks", sbx_in_blocks, ("sbx-rl",), "JAX; 100 steps, then 100 updates"),
    "tianshou": Contender("Tianshou", tianshou, ("tianshou",), "PyTorch"),
    "sb3": Contender("Stable-Baselines3", sb3, ("stable-baselines3",), "PyTorch"),
}


def judged(act: Act, task: Task) -> float:
    """Mean return of greedy episodes."""
    gymnasium = import_module("gymnasium")
    env, total = gymnasium.make(task.id), 0.0
    for episode in range(task.episodes):
        (obs, _), over = env.reset(seed=FIRST + episode), False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(act(obs))
            total, over = total + float(reward), terminated or truncated
    return total / task.episodes


def worker(name: str, task: Task, seed: int) -> dict[str, Any]:
    act, rate = CONTENDERS[name].train(task, seed)
    ended = time.perf_counter()
    package = CONTENDERS[name].packages[0]
    below = "torch" if name in ("sb3", "tianshou") else "jax"
    versions = {"version": version("ddpg-jax" if package == CHECKOUT else package), below: version(below)}
    return {
        "steps_per_second": rate,
        "return": judged(act, task),
        **versions,
        "judging": time.perf_counter() - ended,
    }


def python_of(name: str, venvs: Path) -> Path:
    """Its interpreter; contenders of the same packages share one."""
    packages = CONTENDERS[name].packages
    folder = venvs / ("ddpg" if packages[0] == CHECKOUT else packages[0])
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "complete").exists():
        print(f"{folder}: installing {', '.join(packages)}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        wanted = ["-e", CHECKOUT] if packages[0] == CHECKOUT else packages
        install = [str(python), "-m", "pip", "install", "-q", *wanted, "gymnasium[mujoco]"]
        subprocess.run(install, check=True)
        (folder / "complete").touch()
    return python


def measure(name: str, task: str, seed: int, venvs: Path) -> dict[str, Any]:
    command = [str(python_of(name, venvs)), __file__, "--worker", name, task, str(seed)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"MPLBACKEND": "Agg"}
    with tempfile.TemporaryDirectory() as elsewhere:
        environment["XDG_CACHE_HOME"] = elsewhere  # nothing is compiled yet
        began = time.perf_counter()
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=elsewhere, env=environment)
        seconds = time.perf_counter() - began
    said = json.loads(out.stdout.splitlines()[-1])
    said["seconds"] = seconds - said.pop("judging")
    return said


def table(result: dict[str, Any]) -> str:
    head = ("task", "library", "steps/s", "times slower than ddpg", "seconds", "return", "what it does")
    rows = [head, ("---",) * len(head)]
    for task, of_task in result["tasks"].items():
        ours = median(run["steps_per_second"] for run in of_task.get("ddpg", next(iter(of_task.values()))))
        for name, runs in of_task.items():
            middle = {key: median(run[key] for run in runs) for key in ("steps_per_second", "seconds")}
            returns = " ".join(f"{run['return']:.0f}" for run in runs)
            rate, contender = middle["steps_per_second"], CONTENDERS[name]
            title = contender.title if name.startswith("ddpg") else f"{contender.title} {runs[0]['version']}"
            row = (TASKS[task].id, title, f"{rate:,.0f}", f"{ours / rate:.2f}", f"{middle['seconds']:.0f}", returns)
            rows.append((*row, contender.differs))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--names", nargs="*", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--repeats", type=int, default=3, help="with a seed of their own (3)")
    parser.add_argument("--venvs", type=Path, default=Path(".peers"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/peers.json"))
    parser.add_argument("--table", action="store_true", help="print the result in Markdown, and measure nothing")
    parser.add_argument("--worker", nargs=3)
    args = parser.parse_args()
    if args.worker:
        name, task, seed = args.worker
        print(json.dumps(worker(name, TASKS[task], int(seed))))
        return
    if args.table:
        print(table(json.loads(args.out.read_text())))
        return
    tasks = {task: [name for name in args.names if task in CONTENDERS[name].tasks] for task in args.tasks}
    for name in {name for names in tasks.values() for name in names}:
        python_of(name, args.venvs.resolve())
    before = json.loads(args.out.read_text())["tasks"] if args.out.exists() else {}
    result: dict[str, Any] = {
        "command": f"python benchmarks/peers.py --repeats {args.repeats}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "tasks": before,
    }
    for task, names in tasks.items():
        runs = result["tasks"][task] = {name: [] for name in names}
        for seed in range(args.repeats):
            for name in [*names[seed % len(names) :], *names[: seed % len(names)]]:
                said = measure(name, task, seed, args.venvs.resolve())
                runs[name].append(said)
                print(task, name, said, flush=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
