"""What was chosen for a run, and how to go on with it."""

import shlex

from ddpg.config.differences import differences
from ddpg.config.presets import PRESETS
from ddpg.config.reading import values
from ddpg.environment import has_id, imports_module, was_stepped
from ddpg.report_page.history import History
from ddpg.report_page.markup import Markup, element, joined, table
from ddpg.report_page.words import Say
from ddpg.terminal import plain


def settings(history: History, say: Say) -> Markup:
    """What was chosen, with the preset's value beside; and everything, folded."""
    config = history.config
    if config.preset in PRESETS:
        changed = differences(config, was_stepped(config))
        rows = [
            [element("code", path), plain(x.own), "–" if x.usual is None else plain(x.usual)]
            for path, x in changed.items()
        ]
        if rows:
            own = table([say("setting"), say("here"), say("preset {name}", name=config.preset)], rows, "settings")
        else:
            own = element("p", say("All settings are those of the preset {name}.", name=config.preset))
    else:
        own = element("p", say("The preset {name} is none of ours; all settings are below.", name=config.preset))
    whole = [[element("code", path), plain(value)] for path, value in values(config).items()]
    folded = element(
        "details", element("summary", say("all settings")), table([say("setting"), say("here")], whole, "settings")
    )
    packages = "  ·  ".join(f"{name} {version}" for name, version in history.versions.items())
    return joined(own, folded, element("p", say("Versions: {list}", list=packages or say("unknown")), class_="note"))


def commands(history: History, say: Say) -> Markup:
    """What one can do with the run next, as it is typed."""
    folder, config = history.folder, history.config
    done = history.steps >= config.steps and folder.finished()
    if not has_id(config.env):
        lines = [
            folder.resume_command(config, 2 * config.steps if done else None),
            f"ddpg.evaluate({str(folder)!r}, env=...)",
            f"policy = ddpg.load({str(folder)!r})",
        ]
    else:
        run = shlex.quote(str(folder))
        own = f" --env {shlex.quote(config.env)}" if imports_module(config.env) else ""
        lines = [
            folder.resume_command(config, 2 * config.steps if done else None),
            f"ddpg eval {run}{own} --episodes 100",
            f"ddpg eval {run}{own} --best --video best.gif",
            f"ddpg export {run} --format onnx",
        ]
    return element("pre", "\n".join(lines))
