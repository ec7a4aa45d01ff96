"""Films of a run's policies at the beginning, midway and at the end, as GIFs inside the page."""

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from PIL import Image, ImageSequence

from ddpg.environment import EnvironmentLike, resolve_for
from ddpg.mistake import Mistake
from ddpg.records.untrusted import check_plain
from ddpg.report_page.history import History
from ddpg.training.film import film_policy
from ddpg.training.policy import Policy

SECONDS = 10.0  # that one film may take; slow pictures then have fewer frames
SPARSER = (1, 2, 4, 8)  # every how many frames of a film that is too large
LARGEST_FILM = 2**24  # bytes of a run's policy.gif
LEAST = 20_000  # bytes of a film that shows anything
LARGEST_PIXELS = 2**28  # of all frames together: a stranger's film may be small and unpack to more than the memory
FIRST_BYTES = b"GIF8"


class Film(NamedTuple):
    """A GIF of one greedy episode, of the policy after so many steps."""

    step: int
    gif: bytes


def films(
    history: History,
    moments: dict[int, Callable[[], Policy]],
    env: EnvironmentLike | None,
    limit: int,
    note: Callable[[str], None],
) -> tuple[list[Film], list[str]]:
    """The same episode by the policies of these moments, each of at most `limit` bytes; and lines on what is missing.

    If the environment cannot be made or drawn the last one is the film that the run itself left, if it did. No module
    is imported because the folder names it (`resolve_for`). Raises Mistake if `env` is given and cannot be made.
    """
    if limit < LEAST:
        return [], ["there are too many runs for films in one page; report fewer of them"]
    made, lines = list[Film](), list[str]()
    try:
        environment = resolve_for(history.config, env)
    except Mistake as error:
        if env is not None:
            raise
        lines.append(str(error))
        moments, environment = {}, None
    with TemporaryDirectory() as place:
        for step, load in moments.items():
            assert environment is not None, "without one there are no moments"
            note(f"{history.name}: drawing the policy of step {step:,}, in {SECONDS:.0f} s at most")
            path = Path(place) / f"{step}.gif"
            try:
                film_policy(load(), environment, history.config, path, seconds=SECONDS, note=note)
                gif = path.read_bytes()
            except Mistake as error:
                lines.append(str(error))
            else:
                _add(made, lines, step, gif, limit)
    if not made and (own := _left_by(history)) is not None:
        _add(made, lines, history.steps, own, limit)
    return made, list(dict.fromkeys(lines))


def _add(made: list[Film], lines: list[str], step: int, gif: bytes, limit: int) -> None:
    small = fitted(gif, limit)
    if small is None:
        lines.append(f"the film of step {step:,} is too large for the page")
    else:
        made.append(Film(step, small))


def _left_by(history: History) -> bytes | None:
    """RUN/policy.gif, if it is one."""
    with suppress(OSError, Mistake):
        check_plain(history.folder.film, LARGEST_FILM)
        gif = history.folder.film.read_bytes()
        return gif if gif.startswith(FIRST_BYTES) else None
    return None


def fitted(gif: bytes, limit: int) -> bytes | None:
    """The film with as many frames as fit into `limit` bytes, at the same pace; None if it is damaged or too large."""
    if len(gif) <= limit:
        return gif
    try:
        with Image.open(BytesIO(gif)) as film:
            duration = film.info.get("duration", 50)
            if film.width * film.height * getattr(film, "n_frames", 1) > LARGEST_PIXELS:
                return None
            frames = [frame.copy() for frame in ImageSequence.Iterator(film)]
    except Exception:  # of several types, by Pillow, about a damaged file
        return None
    for every in SPARSER[1:]:
        small = BytesIO()
        first, *rest = frames[::every]
        first.save(small, "GIF", save_all=True, append_images=rest, duration=duration * every, loop=0)
        if small.tell() <= limit:
            return small.getvalue()
    return None
