"""Pictures as a model was trained to see them: fitted as its file says, what is transparent black."""

import sys

import numpy as np
import pytest
import tiny

import bduo_runtime
from bduo_runtime import Fit
from bduo_runtime._cli import main
from bduo_runtime._images import fit, with_channels
from bduo_runtime._pictures import read_picture

pillow = pytest.importorskip("PIL.Image")


def picture(*shape, seed=0):
    """Slopes on the left and noise on the right, of integers: the same on every machine."""
    h, w, channels = shape
    y, x, c = np.mgrid[:h, :w, :channels]
    slopes = np.abs((x * (3 + c) + y * (5 - c)) % 400 - 200)
    noise = np.random.default_rng(seed).integers(0, 256, shape)
    return np.where(x > w / 2, noise, slopes).astype(np.uint8)


def resized(image, size):
    """Bilinear, antialiased where it shrinks, in double precision."""

    def weights(old, new):
        scale = old / new
        places = (np.arange(new)[:, None] + 0.5) * scale
        w = np.maximum(0, 1 - np.abs(np.arange(old) + 0.5 - places) / max(scale, 1))
        return w / w.sum(1, keepdims=True)

    rows, columns = (weights(old, new) for old, new in zip(image.shape, size, strict=False))
    return np.einsum("ih,hwc,jw->ijc", rows, image.astype(float), columns, optimize=True)


def fitted(image, how, size):
    """`fit` in its two steps, each of the whole image."""
    h, w = image.shape[:2]
    rows, columns = how.resize
    if how.whole:
        ratio = max(rows / h, columns / w)
        image = resized(image, (round(h * ratio), round(w * ratio)))
    else:
        crop = max(1, min(h, w * rows // columns)), max(1, min(w, h * columns // rows))
        top, left = (h - crop[0]) // 2, (w - crop[1]) // 2
        image = resized(image[top : top + crop[0], left : left + crop[1]], how.resize)
    for axis, wanted in enumerate(size):
        more = wanted - image.shape[axis]
        if more > 0:
            image = np.pad(image, [(more // 2, more - more // 2) if a == axis else (0, 0) for a in range(3)])
        else:
            image = np.take(image, np.arange(wanted) + -more // 2, axis)
    return image


IMAGES = [(375, 500, 3), (500, 333, 3), (28, 28, 1), (31, 57, 1), (64, 64, 4), (9, 200, 3), (1, 7, 3)]
FITS = [
    (Fit((256, 256), whole=True), (224, 224)),
    (Fit((28, 28), whole=False), (32, 32)),
    (Fit((32, 32), whole=False), (32, 32)),
    (Fit((37, 50), whole=True), (32, 43)),
    (Fit((20, 60), whole=False), (33, 40)),
    (Fit((21, 21), whole=True), (40, 30)),
    (Fit((1, 3), whole=False), (2, 2)),
]


@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize(("how", "size"), FITS, ids=lambda value: f"{value}")
def test_fitting(shape, how, size):
    image = picture(*shape)
    found = fit(image, size, how)
    assert found.dtype == np.uint8
    assert np.abs(found - fitted(image, how, size)).max() <= 1.01


@pytest.mark.parametrize(
    ("shape", "size", "known", "how"),
    [
        ((375, 500, 3), (224, 224), False, Fit((256, 256), whole=True)),
        ((500, 375, 3), (64, 64), False, Fit((73, 73), whole=True)),
        ((300, 300, 3), (160, 200), False, Fit((183, 229), whole=True)),
        ((28, 28, 1), (32, 32), True, Fit((28, 28), whole=False)),
        ((32, 32, 3), (32, 32), True, Fit((32, 32), whole=False)),
        ((48, 64, 3), (32, 32), True, Fit((32, 32), whole=False)),
        ((13, 13, 1), (32, 32), True, Fit((32, 32), whole=False)),
    ],
)
def test_as_in_training(trained_fit, shape, size, known, how):
    """By the file's description; the device's own rule, for files without, is that of pictures of one size."""
    image = picture(*shape)
    wanted = trained_fit(image, size, known).astype(int)
    model = tiny.with_entry(tiny.image_model((*size, shape[2])), {"version": 1, "fit": vars(how)})
    interpreter = bduo_runtime.Interpreter(model)
    assert interpreter.metadata.fit == how
    interpreter.metadata = bduo_runtime.Metadata(mean=(0,), std=(1,), fit=interpreter.metadata.fit)
    found = interpreter.preprocess(image)[0]
    assert np.abs(found - wanted).max() <= 1
    if known:
        assert np.abs(fit(image, size) - wanted).max() <= 1


def test_only_what_is_seen_is_computed():
    """Not all of a strip of a million pixels resized to 256 rows, nor the billion that a file may ask for."""
    strip = np.full((1, 1_000_000, 1), 200, np.uint8)
    for how in (Fit((256, 256), whole=True), Fit((32768, 32768), whole=True), Fit((32768, 32768), whole=False)):
        np.testing.assert_array_equal(fit(strip, (224, 224), how), np.full((224, 224, 1), 200))


@pytest.mark.parametrize(
    ("resize", "whole"),
    [((0, 3), True), ((3,), True), ((3, 3, 3), True), ([3, 3], True), ((3.0, 3), True), ((True, 3), True), ((3, 3), 1)],
)
def test_a_fit_that_is_none(resize, whole):
    with pytest.raises(ValueError, match="must be"):
        Fit(resize, whole)


GREY_ALPHA = np.stack([np.uint8([[255, 255, 255, 90, 0]]), np.uint8([[0, 255, 128, 64, 255]])], 2)
RGBA = np.concatenate([np.repeat(GREY_ALPHA[..., :1], 3, 2) // np.uint8([1, 2, 5]), GREY_ALPHA[..., 1:]], 2)
OVER_BLACK = np.uint8([[0, 255, 128, 23, 0]])[..., None]


def test_transparency():
    np.testing.assert_array_equal(with_channels(GREY_ALPHA, 1), OVER_BLACK)
    np.testing.assert_array_equal(with_channels(GREY_ALPHA, 3), np.repeat(OVER_BLACK, 3, 2))
    exact = RGBA[..., :3].astype(float) * RGBA[..., 3:] / 255
    assert np.abs(with_channels(RGBA, 3) - exact).max() <= 0.5
    assert np.abs(with_channels(RGBA, 1)[..., 0] - exact @ [0.299, 0.587, 0.114]).max() <= 1.01
    # A model of four channels gets all there is.
    np.testing.assert_array_equal(with_channels(RGBA, 4), RGBA)
    np.testing.assert_array_equal(with_channels(RGBA[..., :3], 4)[..., 3], np.full((1, 5), 255))
    np.testing.assert_array_equal(with_channels(GREY_ALPHA[..., :1], 4)[..., :3], np.repeat(GREY_ALPHA[..., :1], 3, 2))
    np.testing.assert_array_equal(with_channels(GREY_ALPHA, 4)[..., 3], GREY_ALPHA[..., 1])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_frames_with_transparency(channels):
    interpreter = bduo_runtime.Interpreter(tiny.image_model((1, 5, channels)))
    for frame in (GREY_ALPHA, RGBA):
        wanted = with_channels(frame, channels)[None] / 127.5 - 1
        np.testing.assert_allclose(interpreter.preprocess(frame), wanted, atol=1e-6)


def test_colours_are_resized_whatever_alpha_is():
    """Channel by channel, as in training; Pillow's RGBA would give the opaque half's colour to all."""
    image = np.zeros((2, 2, 4), np.uint8)
    image[:, 0], image[:, 1] = (100, 0, 0, 255), (200, 0, 0, 0)
    np.testing.assert_array_equal(fit(image, (1, 1)), [[[150, 0, 0, 128]]])


def digits():
    """A bright "0" and a bright "1" that only transparency tells from a bright square: (shown, alpha), 12 x 12."""
    shown = np.zeros((12, 12), np.uint8)
    shown[2:10, 4:8] = 255
    shown[4:8, 5:7] = 0
    return shown, np.where(shown, 255, 0).astype(np.uint8)


def save(path, mode):
    """The picture of `digits`, its hidden pixels white, in one of the ways that files say what is transparent."""
    shown, alpha = digits()
    white = np.full_like(shown, 255)
    if mode == "RGBA":
        pillow.fromarray(np.stack([white, white, white, alpha], 2)).save(path)
    elif mode == "LA":
        pillow.fromarray(np.stack([white, alpha], 2)).save(path)
    elif mode == "L tRNS":  # one grey level is transparent
        pillow.fromarray(np.where(shown, white, 254).astype(np.uint8)).save(path, transparency=254)
    elif mode == "RGB tRNS":
        colours = np.repeat(np.where(shown, white, 254).astype(np.uint8)[..., None], 3, 2)
        pillow.fromarray(colours).save(path, transparency=(254, 254, 254))
    else:  # a palette of two whites
        image = pillow.fromarray(np.where(shown, 1, 0).astype(np.uint8), mode="L").convert("P")
        image.putpalette([255] * 6)
        image.save(path, transparency=b"\0\xff" if mode == "P alphas" else 0)


MODES = ["RGBA.png", "RGBA.webp", "LA.png", "L tRNS.png", "RGB tRNS.png", "P alphas.png", "P index.png", "P index.gif"]


@pytest.mark.parametrize("name", MODES)
def test_hidden_colours_stay_hidden(name, tmp_path, capsys):
    from PIL import features

    mode, suffix = name.split(".")
    if suffix == "webp" and not features.check("webp"):
        pytest.skip("Pillow without WebP")
    path = tmp_path / f"picture.{suffix}"
    save(path, mode)
    shown, alpha = digits()
    read = read_picture(str(path))
    np.testing.assert_array_equal(with_channels(read, 1)[..., 0], shown)
    np.testing.assert_array_equal(with_channels(read, 4)[..., 3], alpha)
    # The command's likeliest "class" is the brightest pixel of the picture.
    model = tmp_path / "model.tflite"
    model.write_bytes(tiny.image_model((12, 12, 1)))
    assert main(["run", str(model), str(path), "--top", "144", "--range", "0", "1", "--scores", "sigmoid"]) == 0
    lit = {int(line.split()[-1]) for line in capsys.readouterr().out.splitlines()[1:] if " 100.0% " in line}
    assert lit == set(np.flatnonzero(shown))


def test_opaque_pictures_have_three_channels(tmp_path):
    for mode in ("RGB", "L", "P", "1", "CMYK", "LAB"):
        path = tmp_path / f"{mode}.tiff"
        pillow.new(mode, (4, 3)).save(path)
        assert read_picture(str(path)).shape == (3, 4, 3), mode


def test_pillow_is_needed_for_resizing_only(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    image = picture(28, 28, 1)
    assert fit(image, (32, 32), Fit((28, 28), whole=False)).shape == (32, 32, 1)
    with pytest.raises(ImportError, match=r"pip install 'bduo-runtime\[images\]'"):
        fit(image, (32, 32), Fit((29, 29), whole=False))
