"""The applications under examples/, built against the installed package: the same bits as Python, on AArch64 too."""

import sys
from pathlib import Path

import flatconv
import matplotlib.image
import numpy as np
import pytest
import skimage.data
from cmake_project import (
    AARCH64,
    AARCH64_TOOLCHAIN,
    ROOT,
    build_aarch64_library,
    configure,
    require_compiler,
    run,
    run_checked,
)

EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph, cropped to odd sizes, as a PPM."""
    path = tmp_path_factory.mktemp("photo") / "photo.ppm"
    pixels = skimage.data.astronaut()[20:241, 100:403]
    path.write_bytes(f"P6\n{pixels.shape[1]} {pixels.shape[0]}\n255\n".encode() + pixels.tobytes())
    return path


def build(source: Path, directory: Path, *options: str | Path) -> None:
    require_compiler()
    result = configure(directory, *options, source=source)
    if result.returncode != 0 and ("STB_INCLUDE_DIR" in result.stdout or "nlohmann_json" in result.stdout):
        pytest.skip("the examples need libraries: apt install libstb-dev nlohmann-json3-dev")
    assert result.returncode == 0, result.stdout
    run_checked("cmake", "--build", directory)


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the C++ example."""
    directory = tmp_path_factory.mktemp("cpp")
    build(EXAMPLES / "cpp", directory, f"-Dflatconv_DIR={flatconv.get_cmake_dir()}")
    return directory


@pytest.fixture(scope="module")
def network(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """The network as Python writes it, and what Python makes of the photograph."""
    pytest.importorskip("safetensors")
    directory = tmp_path_factory.mktemp("network")
    script = EXAMPLES / "cpp" / "orientation.py"
    run_checked(sys.executable, "-W", "error", script, directory / "network", photo, directory / "result.pfm")
    return directory / "network", (directory / "result.pfm").read_bytes()


@pytest.mark.parametrize("threads", ["library", "pool", "tbb"])
def test_network_has_the_bits_of_python(
    threads: str, cpp: Path, photo: Path, network: tuple[Path, bytes], tmp_path: Path
) -> None:
    weights, expected = network
    result = run(cpp / "orientation", photo, weights, tmp_path / "result.pfm", threads)
    if threads == "tbb" and "no such threads here" in result.stdout:
        pytest.skip("no oneTBB: apt install libtbb-dev")
    assert result.returncode == 0, result.stdout
    assert (tmp_path / "result.pfm").read_bytes() == expected


def test_network_gives_a_picture(cpp: Path, photo: Path, network: tuple[Path, bytes], tmp_path: Path) -> None:
    weights, expected = network
    run_checked(cpp / "orientation", photo, weights, tmp_path / "result.png")
    picture = matplotlib.image.imread(tmp_path / "result.png")
    pixels = np.frombuffer(expected, "<f4", offset=expected.index(b"-1.0\n") + 5).reshape(111, 152, 3)[::-1]
    assert picture.shape == (111, 152, 3)
    assert np.abs(picture - np.clip(pixels, 0, 1)).max() < 0.51 / 255
    assert pixels.std() > 0.02


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:5], "too short"),
        (lambda content: b"\xff" * 8 + content[8:], "the header is longer"),
        (lambda content: content[:-4], "do not fit"),
        (lambda content: content.replace(b"F32", b"F16"), "not float32"),
        (lambda content: content.replace(b'"shape":[16]', b'"shape":[-1]', 1), "does not fit"),
        (lambda content: content.replace(b"1.stride", b"1.strife"), "lacks"),
        (lambda content: content.replace(b"{", b"[", 1), "parse error"),
    ],
)
def test_damaged_networks_are_refused(damage, message, cpp, photo, network, tmp_path) -> None:
    weights, _ = network
    content = weights.read_bytes()
    damaged = damage(content)
    assert damaged != content
    (tmp_path / "network").write_bytes(damaged)
    result = run(cpp / "orientation", photo, tmp_path / "network", tmp_path / "result.pfm")
    assert result.returncode == 1
    assert message in result.stdout
    assert not (tmp_path / "result.pfm").exists()


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[bytes]]:
    """Two photographs of odd sizes, and what Python makes of them, as grey PFM."""
    directory = tmp_path_factory.mktemp("edges")
    camera = skimage.data.camera()
    sobel = np.float32([[[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]], [[[-1, -2, -1], [0, 0, 0], [1, 2, 1]]]])
    photos, expected = [], []
    for i, grey in enumerate([camera[:201, :307], camera[100:333, 50:181]]):
        photos.append(directory / f"{i}.pgm")
        photos[-1].write_bytes(f"P5\n{grey.shape[1]} {grey.shape[0]}\n255\n".encode() + grey.tobytes())
        gradients = flatconv.conv2d(grey[None].astype(np.float32), sobel, padding="same", padding_mode="replicate")
        strength = np.abs(gradients).sum(axis=0) / np.float32(4)
        header = f"Pf\n{grey.shape[1]} {grey.shape[0]}\n-1.0\n".encode()
        expected.append(header + strength[::-1].astype("<f4").tobytes())
    return photos, expected


def check_edges(command: list[str | Path], photos: list[Path], expected: list[bytes], directory: Path) -> None:
    results = [directory / f"{photo.stem}.pfm" for photo in photos]
    run_checked(*command, *(path for pair in zip(photos, results, strict=True) for path in pair))
    assert [result.read_bytes() for result in results] == expected


def test_edges_in_c(edges: tuple[list[Path], list[bytes]], tmp_path: Path) -> None:
    build(EXAMPLES / "c", tmp_path / "build", f"-Dflatconv_DIR={flatconv.get_cmake_dir()}")
    program = tmp_path / "build" / "edges"
    photos, expected = edges
    check_edges([program], photos, expected, tmp_path)
    run_checked(program, photos[0], tmp_path / "edges.png")
    strength = np.frombuffer(expected[0], "<f4", offset=expected[0].index(b"-1.0\n") + 5).reshape(201, 307)[::-1]
    picture = matplotlib.image.imread(tmp_path / "edges.png")
    assert np.array_equal(np.round(picture * 255).astype(np.uint8), np.minimum(strength, 255).astype(np.uint8))
    assert run(program, tmp_path / "nothing", tmp_path / "edges.png").returncode == 1
    assert run(program, photos[0], tmp_path / "nowhere" / "edges.pfm").returncode == 1


@pytest.mark.slow
def test_examples_have_the_same_bits_on_aarch64(
    photo: Path, network: tuple[Path, bytes], edges: tuple[list[Path], list[bytes]], tmp_path: Path
) -> None:
    package = build_aarch64_library()
    for example in ("cpp", "c"):
        build(EXAMPLES / example, tmp_path / example, AARCH64_TOOLCHAIN, f"-Dflatconv_DIR={package}")
    weights, expected = network
    run_checked(*AARCH64, tmp_path / "cpp" / "orientation", photo, weights, tmp_path / "result.pfm")
    assert (tmp_path / "result.pfm").read_bytes() == expected
    check_edges([*AARCH64, tmp_path / "c" / "edges"], *edges, tmp_path)
