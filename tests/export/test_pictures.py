"""Pictures and movies hold what is shown."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree

import numpy as np
import pytest
import torch

from openretina_widgets import export
from openretina_widgets.drawing import colour
from openretina_widgets.export.movie import movie_frames

KINDS = ("best", "gratings", "gradient", "table", "bar", "contrasts", "noise field")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_a_picture(name, session, tmp_path):
    from PIL import Image

    picture = np.asarray(Image.open(export.to_image(session[name], tmp_path / "a.png", dpi=60)))
    assert picture.std() > 10
    drawing = export.to_image(session[name], tmp_path / "a.svg")
    assert xml.etree.ElementTree.parse(drawing).getroot().tag.endswith("svg")
    assert drawing.read_bytes() == export.to_image(session[name], tmp_path / "b.svg").read_bytes()


def test_a_neuron_or_element_that_is_not_there_is_said(best, gradient, tmp_path):
    with pytest.raises(ValueError, match="element: expected 0 to 3, got 4"):
        export.to_image(best, tmp_path / "a.png", element=4)
    with pytest.raises(ValueError, match="element: expected 0 to 3, got 9"):
        export.to_movie(best, tmp_path / "a.gif", element=9)
    with pytest.raises(ValueError, match="77"):
        export.to_image(gradient, tmp_path / "a.png", neurons=[77])
    assert not list(tmp_path.iterdir())


def moving_dot() -> np.ndarray:
    """One channel, 6 frames, 4 x 5 pixels: +1 at column t, -1 at the last row."""
    movie = np.zeros((1, 6, 4, 5), np.float32)
    for t in range(5):
        movie[0, t, 0, t] = 1.0
    movie[0, :, 3, 0] = -1.0
    return movie


def test_frames_are_the_colours_of_the_player():
    frames = movie_frames(moving_dot(), scale=3)
    assert frames.shape == (6, 12, 16, 3)  # 15 wide, made even
    assert frames[2, 0, 7].tolist() == colour.DIVERGING[colour.HIGHEST].tolist()
    assert frames[2, 11, 1].tolist() == colour.DIVERGING[colour.LOWEST].tolist()
    assert frames[5, 0, 7].tolist() == [255, 255, 255]


def test_two_channels_stand_side_by_side_with_their_mixture():
    movie = np.concatenate([moving_dot(), -moving_dot()])
    frames = movie_frames(movie, scale=1)
    assert frames.shape[1:] == (4, 3 * 5 + 2 * 2 + 1, 3)
    green, uv = (colour.quantise(one[1], (-1.0, 1.0)) for one in movie)
    np.testing.assert_array_equal(frames[1, :, 14:19], colour.mix_light(green, uv))


def test_a_gif_holds_every_frame_at_its_time(tmp_path):
    from PIL import Image, ImageSequence

    frames = movie_frames(moving_dot(), scale=8)
    path = export.to_movie(moving_dot(), tmp_path / "dot.gif", frame_rate=30, scale=8)
    with Image.open(path) as gif:
        shown = [np.asarray(one.convert("RGB")) for one in ImageSequence.Iterator(gif)]
        times = [one.info["duration"] for one in ImageSequence.Iterator(gif)]
        assert gif.info["loop"] == 0
    assert len(shown) == 6
    assert times == [30, 40, 30, 30, 40, 30]  # 0.2 s in all, as 6 frames at 30 Hz
    for one, expected in zip(shown, frames, strict=True):
        np.testing.assert_allclose(one.astype(int), expected, atol=4)


def test_an_mp4_holds_every_frame(best, tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = export.to_movie(best, tmp_path / "best.mp4", element=1, scale=8)
    frames = movie_frames(best.stimulus[1], scale=8)
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    raw = [*ffmpeg, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(raw, capture_output=True, check=True)
    assert b" 30 fps" in done.stderr
    assert b"Video: h264" in done.stderr
    shown = np.frombuffer(done.stdout, np.uint8).reshape(frames.shape)
    # Colours are compressed; the frames are those, in that order.
    error = np.abs(shown.astype(int) - frames).mean(axis=(1, 2, 3))
    swapped = np.abs(shown[::-1].astype(int) - frames).mean(axis=(1, 2, 3))
    assert error.max() < 6
    assert error.mean() < 0.6 * swapped.mean()


def test_a_movie_shows_a_stimulus(gratings, best, tmp_path):
    with pytest.raises(ValueError, match="shows one stimulus, and these are tuning_cur"):
        export.to_movie(gratings, tmp_path / "a.gif")
    with pytest.raises(ValueError, match="scale: expected a whole number of at least 1, got 0"):
        export.to_movie(best, tmp_path / "a.gif", scale=0)
    with pytest.raises(ValueError, match="frame_rate: expected a positive number"):
        export.to_movie(best, tmp_path / "a.gif", frame_rate=0)
    with pytest.raises(ValueError, match=r"must have the shape \(channel, time, height, width\)"):
        export.to_movie(torch.zeros(3, 3), tmp_path / "a.gif")
