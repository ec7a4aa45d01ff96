"""Films in both formats, and one line where there can be none."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ddpg.records import video
from ddpg.records.video import FilmPace, check_film, film, fit_of, write_film

# Colours that fall apart in no format: a grey that brightens, of odd height and width.
SHOTS = [np.full((61, 91, 3), 40 + 20 * i, np.uint8) for i in range(8)]


def test_a_gif_plays_for_ever_at_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    check_film(path)
    write_film([fit_of(path)(shot) for shot in SHOTS], path, rate=20)
    with Image.open(path) as found:
        assert (getattr(found, "n_frames", 0), found.width) == (len(SHOTS), video.WIDTH)
        assert (found.info["loop"], found.info["duration"]) == (0, 50)


def test_an_mp4_holds_every_frame(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "film.MP4"
    check_film(path)
    write_film([fit_of(path)(shot) for shot in SHOTS], path, rate=12.5)
    command = [ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    read = subprocess.run(command, capture_output=True, check=True)
    about = read.stderr.decode()
    assert all(said in about for said in ("h264", " 90x60", " 12.5"))
    found = np.frombuffer(read.stdout, np.uint8).reshape(-1, 60, 90, 3).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found, [shot.mean() for shot in SHOTS], atol=5)


def test_what_ffmpeg_refuses_is_said(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    with pytest.raises(OSError, match="nowhere"):
        write_film([shot[:60, :90] for shot in SHOTS], tmp_path / "nowhere" / "film.mp4", rate=20)


def test_what_can_be_no_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"film film\.avi: expected a name that ends in \.gif or \.mp4"):
        check_film(Path("film.avi"))
    for path in (tmp_path / "nowhere" / "film.gif", tmp_path / "folder.gif"):
        (tmp_path / "folder.gif").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match="cannot be written; choose another file"):
            check_film(path)
    monkeypatch.setattr(video, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"film\.mp4: MP4 needs imageio-ffmpeg: pip install imageio-ffmpeg, or"):
        check_film(tmp_path / "film.mp4")
    check_film(tmp_path / "film.gif")


class Counter:
    """An episode of 5 steps, cut then; it draws the number of steps done."""

    def reset(self, seed: int) -> tuple[np.ndarray, dict]:
        self.t = 0
        return np.zeros(1), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.t += 1
        return np.zeros(1), 0.0, False, self.t == 5, {}

    def render(self) -> np.ndarray:
        return np.full((2, 2, 3), self.t, np.uint8)


def filmed(env: Any, rate: float = 20, steps: int = 1_000, seconds: float = 1e9, **other: Any) -> list[Any]:
    return film(env, lambda obs: obs, 0, FilmPace(rate, steps, seconds), note=other.pop("note", print), **other)


@pytest.mark.parametrize(("rate", "drawn"), [(20, [0, 1, 2, 3, 4, 5]), (40, [0, 2, 4])])
def test_film_draws_every_nth_state(rate: float, drawn: list[int]) -> None:
    """So many that a second of the film has twenty."""
    assert [int(shot[0, 0, 0]) for shot in filmed(Counter(), rate)] == drawn


class Slow(Counter):
    """An episode of up to 255 steps, with a clock that is a second later after every frame."""

    now, length = 0.0, 255

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.t += 1
        return np.zeros(1), 0.0, False, self.t == self.length, {}

    def render(self) -> np.ndarray:
        self.now += 10.0 if self.t == 0 else 1.0  # what draws is prepared
        return super().render()


@pytest.mark.parametrize(
    ("seconds", "rate", "steps"),
    [
        (300, 20, range(256)),
        (200, 10, range(0, 256, 2)),
        (80, 5, range(0, 256, 4)),
        (40, 5, range(0, 105, 4)),  # no fewer: the rest is cut
        (5, 20, range(1)),
    ],
)
def test_a_film_takes_its_time(seconds: float, rate: float, steps: range, monkeypatch: pytest.MonkeyPatch) -> None:
    env, lines = Slow(), list[str]()
    monkeypatch.setattr(video, "perf_counter", lambda: env.now)
    pace = FilmPace(20, 255, seconds)
    shots = film(env, lambda obs: obs, 0, pace, note=lines.append)
    assert [int(shot[0, 0, 0]) for shot in shots] == list(steps)
    assert pace.frames_per_second == rate
    assert all(line.endswith(" drawn") for line in lines)
    assert bool(lines) == (seconds > 5)


def test_a_policy_that_answers_no_number_has_no_film() -> None:
    with pytest.raises(ValueError, match="its training diverged"):
        film(Counter(), lambda obs: obs * np.nan, 0, FilmPace(20), note=print)


@pytest.mark.parametrize("name", ["film.gif", "film.mp4"])
@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (None, "NoneType"),
        ([[0]], "list"),
        (np.zeros((4, 4, 2)), r"float64 \[4, 4, 2\]"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"uint8 \[1, 4, 4, 3\]"),
        (np.zeros((4, 4, 3), complex), r"complex128 \[4, 4, 3\]"),
        (np.zeros((0, 4, 3), np.uint8), r"uint8 \[0, 4, 3\]"),
    ],
)
def test_a_frame_that_is_none_is_said(frame: object, said: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = Counter()
    monkeypatch.setattr(env, "render", lambda: frame)
    with pytest.raises(ValueError, match=rf"^the environment's render\(\) gave {said}, expected uint8 \[h, w, 3\]$"):
        filmed(env, fit=fit_of(Path(name)))


SHOT = np.array([[[10, 20, 30], [40, 255, 0]]], np.uint8)
GREY = np.array([[10, 255]], np.uint8)


@pytest.mark.parametrize(
    ("drawn", "frame"),
    [
        (SHOT, SHOT),
        (np.dstack([SHOT, np.full((1, 2), 255, np.uint8)]), SHOT),
        (SHOT.astype(np.int64), SHOT),
        (np.array([[[-5, 300, 20]]]), [[[0, 255, 20]]]),
        (SHOT / 255, SHOT),
        (SHOT.astype(np.float32), SHOT),
        (np.dstack([SHOT / 255, np.ones((1, 2))]), SHOT),
        (GREY, np.dstack([GREY] * 3)),
        (GREY[..., None] / 255, np.dstack([GREY] * 3)),
        (np.array([[True, False]]), [[[255] * 3, [0] * 3]]),
        ([np.zeros_like(SHOT), SHOT], SHOT),
    ],
)
def test_frames_of_other_numbers_and_channels(drawn: Any, frame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    env = Counter()
    monkeypatch.setattr(env, "render", lambda: drawn)
    shots = filmed(env)
    assert shots[0].dtype == np.uint8
    np.testing.assert_array_equal(shots[0], frame)


def test_frames_are_kept_small_and_apart() -> None:
    class Same(Counter):
        """It draws into one array, whose size is odd."""

        frame = np.zeros((61, 481, 3), np.uint8)

        def render(self) -> np.ndarray:
            self.frame[:] = self.t
            return self.frame

    shots = filmed(Same(), fit=fit_of(Path("a.gif")))
    assert [(shot.size, np.array(shot.convert("RGB")).max()) for shot in shots] == [((240, 30), t) for t in range(6)]
    shots = filmed(Same(), fit=fit_of(Path("a.mp4")))
    assert [(shot.shape, int(shot.max())) for shot in shots] == [((60, 480, 3), t) for t in range(6)]
    assert all(shot.base is None or shot.base.nbytes == shot.nbytes for shot in shots)
