"""An animation shows the map of every year, as MP4 and as GIF."""

import re
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from luray.core.grid import Grid
from luray.core.legend import rgb
from luray.viz.animation import animate
from luray.viz.frame import ORIGIN_COLOURS, FrameLayout
from luray.viz.view import View
from tests.viz.pictures import COLOURS, GRID, YEARS, painted, write_product

PIXELS = 320


def frames_of_mp4(path):
    """What ffmpeg says of the video stream, and all its frames, shape (n, height, width, 3)."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-i",
        str(path),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    read = subprocess.run(command, capture_output=True, check=True)
    about = re.search(r"Video: (.*)", read.stderr.decode()).group(1)
    width, height = (int(n) for n in re.search(r", (\d+)x(\d+)", about).groups())
    return (
        about,
        (width, height),
        np.frombuffer(read.stdout, np.uint8).reshape(-1, height, width, 3),
    )


def cells(layout, frame):
    """Colours at the centres of all cells of the grid, shape (lat, lon, 3)."""
    at = np.array([[layout.pixel_of(r, c) for c in range(GRID.n_lon)] for r in range(GRID.n_lat)])
    return frame[at[..., 1], at[..., 0]]


def elapsed(layout, frame):
    """Share of the timeline that is in full colours."""
    left, top, right, bottom = layout.timeline
    row = frame[(top + bottom) // 2, left : right + 1].astype(int)
    full = np.zeros(len(row), bool)
    for colour in ORIGIN_COLOURS.values():
        full |= abs(row - rgb(colour)).max(axis=1) < 24
    return full.mean()


@pytest.fixture(scope="module")
def layout(product):
    return FrameLayout(View.of(product), YEARS, PIXELS)


def test_mp4_has_a_frame_a_year(product, codes, layout, tmp_path):
    calls = []
    animate(
        product,
        tmp_path / "a.mp4",
        max_pixels=PIXELS,
        progress=lambda done, of: calls.append((done, of)),
    )
    about, size, frames = frames_of_mp4(tmp_path / "a.mp4")
    assert about.startswith("h264")
    assert "yuv420p(tv, bt709" in about
    assert size == layout.size
    assert all(n % 2 == 0 for n in size)
    assert len(frames) == len(YEARS)
    for number, frame in enumerate(frames):
        error = abs(cells(layout, frame).astype(int) - painted(codes[number]))
        assert error.max() < 24, f"frame {number} is not the map of {YEARS[number]}"
        assert elapsed(layout, frame) == pytest.approx((number + 1) / len(YEARS), abs=0.03)
    assert calls == [(n + 1, len(YEARS)) for n in range(len(YEARS))]
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_gif_has_the_exact_colours_of_the_legend(product, codes, tmp_path):
    animate(product, tmp_path / "a.gif", years=YEARS[1:4], max_pixels=PIXELS)
    layout = FrameLayout(View.of(product), YEARS[1:4], PIXELS)
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.size) == (3, layout.size)
        for number in range(3):
            gif.seek(number)
            frame = np.asarray(gif.convert("RGB"))
            np.testing.assert_array_equal(cells(layout, frame), painted(codes[number + 1]))
            assert elapsed(layout, frame) == pytest.approx((number + 1) / 3, abs=0.03)


def test_a_frame_names_its_year_and_origin_beside_the_map(layout):
    first, second = (np.asarray(layout.frame(n)).astype(int) for n in (0, 1))
    left = layout.panel[0]
    lines = slice(layout.margin, layout.margin + 6 * layout.unit)
    assert abs(first[lines, left:] - second[lines, left:]).max() > 100, "the year is written"
    for frame, origin, other in ((first, "hindcast", "observed"), (second, "observed", "hindcast")):
        written = frame[lines, left:]
        assert (written == rgb(ORIGIN_COLOURS[origin])).all(axis=-1).any()
        assert not (written == rgb(ORIGIN_COLOURS[other])).all(axis=-1).any()
    legend = first[layout.margin + 6 * layout.unit :, left:]
    for code, colour in COLOURS.items():
        assert (legend == colour).all(axis=-1).sum() > 30, f"code {code} is in the legend"


def test_a_long_legend_names_what_the_maps_have(product, layout, monkeypatch):
    few = layout.legend
    assert len(few) == len(COLOURS)
    absent = [code for code in range(1, 256) if code not in COLOURS][:40]
    many = product.copy()
    flags = product["land_use"].attrs
    many["land_use"] = product["land_use"].assign_attrs(
        flag_values=[*flags["flag_values"], *absent],
        flag_meanings=" ".join([flags["flag_meanings"], *(f"cover_{code}" for code in absent)]),
        flag_colors=" ".join([flags["flag_colors"], *["#123456"] * 40]),
    )
    view = View.of(many)
    long = FrameLayout(view, YEARS, PIXELS)
    assert long.legend == few
    assert long.size == layout.size

    # of a legend that is longer than the map the smallest classes have no name
    monkeypatch.setattr("luray.viz.frame.FEWEST_ENTRIES", 6)
    small = FrameLayout(view, YEARS, 50)
    areas = view.areas(YEARS).sum(axis=0)[:7]
    largest = [few[k] for k in sorted(np.argsort(-areas)[:3].tolist())]
    assert small.legend == [*largest, ("4 other classes", ""), *few[7:]]
    assert small.background.size == small.size


def test_a_map_is_as_large_as_asked_for(product):
    view = View.of(product)
    for pixels in (5, 18, 100, PIXELS):
        width, height = FrameLayout(view, YEARS, pixels).map_size
        assert max(width, height) == pixels
    assert height / width == pytest.approx(view.projected.ratio, rel=0.01)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_a_failure_leaves_the_earlier_file(product, tmp_path, name):
    (tmp_path / name).write_bytes(b"an earlier animation")

    def fail(done, of):
        if done == 2:
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        animate(product, tmp_path / name, max_pixels=PIXELS, progress=fail)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [
        (name, b"an earlier animation")
    ]


def test_other_formats_and_years_are_refused(product, tmp_path):
    with pytest.raises(ValueError, match=r"'\.avi', expected one of \.mp4, \.gif"):
        animate(product, tmp_path / "a.avi")
    with pytest.raises(ValueError, match="year 1900"):
        animate(product, tmp_path / "a.mp4", years=[1998, 1900])
    with pytest.raises(ValueError, match="no year"):
        animate(product, tmp_path / "a.gif", years=[])
    assert list(tmp_path.iterdir()) == []


def test_the_same_frames_are_the_same_bytes_whatever_memory_holds(tmp_path, monkeypatch):
    """glibc fills the memory that the encoder asks for with a byte, different ones in turn."""
    grid = Grid(40, 10, 0.01, 50, 75)
    years = range(2000, 2007)
    random = np.random.default_rng(0)
    blocks = random.choice(np.array([0, 11, 22, 33, 44, 55], np.uint8), (17, 25))
    codes = np.repeat([blocks.repeat(3, axis=0).repeat(3, axis=1)[:50]], len(years), axis=0)
    for step in range(1, len(years)):
        rows, cols = random.integers(0, 50, 30), random.integers(0, 75, 30)
        codes[step:, rows, cols] = 22
    product = write_product(
        tmp_path / "p.zarr",
        codes,
        grid=grid,
        years=years,
        origins=[1] * len(years),
        confidence=np.where(codes == 0, 0, 90).astype(np.uint8),
    )

    files = set()
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(2**30))  # as processes that compute have it
    for byte in ("0", "1", "7", "165"):
        monkeypatch.setenv("MALLOC_PERTURB_", byte)
        animate(product, tmp_path / "years.mp4")
        files.add((tmp_path / "years.mp4").read_bytes())
    assert len(files) == 1
