"""Image files become what the model was trained on."""

import numpy as np
import pytest

from tenfold import data

Image = pytest.importorskip("PIL.Image")


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def seven(height=60, width=90, ink=20, paper=235):
    """A hand-drawn 7, dark on bright paper, off centre and wider than high."""
    a = np.full((height, width), paper, np.uint8)
    a[10:14, 50:80] = ink
    for i in range(14, 44):
        at = 78 - (i - 14) // 2
        a[i, at - 3 : at + 1] = ink
    return a


def test_a_file_of_the_models_size_is_taken_as_it_is(tmp_path):
    a = np.zeros((28, 28), np.uint8)
    a[5:9, 3:20] = 200
    x = data.load_image(save(tmp_path / "a.png", a))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x[0] * 255, a, atol=1e-4)


def test_bright_paper_is_inverted(tmp_path):
    a = seven()
    dark = data.load_image(save(tmp_path / "a.png", a))
    bright = data.load_image(save(tmp_path / "b.png", 255 - a))
    np.testing.assert_allclose(dark, bright, atol=1e-6)
    assert dark[0, 0, 0] == 0
    assert dark.max() > 0.8


def test_inversion_can_be_forced(tmp_path):
    path = save(tmp_path / "a.png", np.full((28, 28), 51, np.uint8))
    np.testing.assert_allclose(data.load_image(path), 0.2, atol=1e-6)
    np.testing.assert_allclose(data.load_image(path, invert=True), 0.8, atol=1e-6)


def test_the_ink_fills_20_of_28_and_its_mass_is_in_the_middle(tmp_path):
    x = data.load_image(save(tmp_path / "a.png", seven()))[0]
    rows, columns = np.flatnonzero(x.max(1) > 0.2), np.flatnonzero(x.max(0) > 0.2)
    assert rows[-1] - rows[0] + 1 == 20
    assert 15 <= columns[-1] - columns[0] + 1 <= 19  # 34 x 30: the aspect is kept
    for axis in (0, 1):
        mass = x.sum(1 - axis)
        assert abs(float(mass @ (np.arange(28) + 0.5) / mass.sum()) - 14) <= 0.5


def test_where_it_is_written_does_not_matter(tmp_path):
    a = seven()
    moved = np.roll(a, (9, -30), (0, 1))
    np.testing.assert_array_equal(
        data.load_image(save(tmp_path / "a.png", a)), data.load_image(save(tmp_path / "b.png", moved))
    )


def test_the_box_fills_an_8_x_8_digit(tmp_path):
    x = data.load_image(save(tmp_path / "a.png", seven()), (1, 8, 8), fill=1.0, center="box")[0]
    assert x.shape == (8, 8)
    assert x[0].max() > 0.3
    assert x[-1].max() > 0.3


def test_standardised_with_the_training_sets_numbers(tmp_path):
    path = save(tmp_path / "a.png", seven())
    plain = data.load_image(path)
    x = data.load_image(path, mean=[0.1307], std=[0.3081])
    np.testing.assert_allclose(x, (plain - 0.1307) / 0.3081, atol=1e-5)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_every_mode_of_pixels(tmp_path, mode):
    grey = Image.fromarray(seven(ink=0, paper=255))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    elif mode in ("LA", "RGBA"):  # black ink on nothing
        image = Image.merge("LA", (Image.new("L", grey.size), Image.eval(grey, lambda v: 255 - v))).convert(
            mode
        )
    else:
        image = grey.convert(mode)
    image.save(tmp_path / "b.png")
    want = data.load_image(save(tmp_path / "a.png", np.asarray(grey)))
    np.testing.assert_allclose(data.load_image(tmp_path / "b.png"), want, atol=0.02)


def test_jpeg(tmp_path):
    want = data.load_image(save(tmp_path / "a.png", seven()))
    got = data.load_image(save(tmp_path / "a.jpg", seven(), quality=95))
    assert np.abs(got - want).mean() < 0.02


def test_colour_keeps_its_aspect(tmp_path):
    a = np.zeros((16, 64, 3), np.uint8)
    a[..., 1] = 255
    x = data.load_image(save(tmp_path / "a.png", a), (3, 32, 32))
    assert x.shape == (3, 32, 32)
    np.testing.assert_allclose(x[:, 16, 16], [0, 1, 0], atol=1e-6)


def test_blank_paper_gives_an_empty_image(tmp_path):
    assert not data.load_image(save(tmp_path / "a.png", np.full((50, 50), 240, np.uint8))).any()


def test_several(tmp_path):
    paths = [save(tmp_path / f"{i}.png", seven(ink=i)) for i in range(3)]
    assert data.load_images(paths).shape == (3, 1, 28, 28)
    assert data.load_images([]).shape == (0, 1, 28, 28)


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"a\.png is not an image"):
        data.load_image(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match=r"no file .*b\.png"):
        data.load_image(tmp_path / "b.png")
    whole = save(
        tmp_path / "c.png", np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8)
    ).read_bytes()
    (tmp_path / "d.png").write_bytes(whole[:2000])
    with pytest.raises(ValueError, match=r"d\.png"):
        data.load_image(tmp_path / "d.png")


def test_more_pixels_than_pillow_dares_to_read(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", np.zeros((90, 90), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"a\.png cannot be read \(Image size \(8100 pixels\) exceeds"):
        data.load_image(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (2, 28, 28)}, r"shape must be \(1, H, W\) or \(3, H, W\); received \(2, 28, 28\)"),
        ({"fill": 0}, r"fill must lie in \(0, 1\]; received 0"),
        ({"center": "top"}, "center must be 'mass' or 'box'; received 'top'"),
    ],
    ids=["channels", "fill", "center"],
)
def test_arguments_out_of_range(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        data.load_image(save(tmp_path / "a.png", seven()), **options)


def test_a_folder_of_images(tmp_path):
    for name, value in (("cat", 50), ("dog", 200)):
        (tmp_path / name).mkdir()
        for i in range(2):
            save(tmp_path / name / f"{i}.png", np.full((12 + i, 9), value, np.uint8))
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    d = data.image_folder(tmp_path, size=(7, 5), mean=[0.0], std=[1.0])
    assert d.classes == ["cat", "dog"]
    assert d.x.shape == (4, 1, 7, 5)
    assert d.y.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(d.x[[0, 3], 0, 0, 0] * 255, [50, 200], atol=1e-3)
    own = data.image_folder(tmp_path, size=6)
    assert abs(own.x.mean()) < 1e-6


def test_a_folder_without_images(tmp_path):
    with pytest.raises(ValueError, match="one sub-folder of images per class; found no image"):
        data.image_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        data.image_folder(tmp_path / "absent")
