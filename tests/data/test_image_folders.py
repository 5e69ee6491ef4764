"""Image folders: pixels land where they should; classes, splits, sizes, broken and odd files."""

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.data import load_data, load_rows

RNG = np.random.default_rng(0)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **options)
    return path


def gray(shape=(4, 6)):
    return RNG.integers(0, 256, shape, np.uint8)


def whole(data):
    """All examples, of flat folders in order of the first pixel."""
    return torch.cat([split.x for split in data.splits.values()])


def test_gray_pixels_land_where_they_should(tmp_path):
    images = [gray() for _ in range(5)]
    for i, image in enumerate(images):
        save(tmp_path / "train" / f"{i}.png", image)
        save(tmp_path / "val" / f"{i}.bmp", image[::-1])
        save(tmp_path / "test" / f"{i}.tif", image[:, ::-1])
    data = load_data(tmp_path)
    assert data.space.shape == (1, 4, 6) and data.space.levels == 256
    assert np.array_equal(data.train.x[:, 0], images)
    assert np.array_equal(data.valid.x[:, 0], [image[::-1] for image in images])
    assert np.array_equal(data.test.x[:, 0], [image[:, ::-1] for image in images])
    assert data.train.x.dtype == torch.uint8 and data.train.labels is None
    assert load_data(**data.source).fingerprint() == data.fingerprint()


def test_any_color_makes_three_channels(tmp_path):
    image = gray((4, 6, 3))
    plain = gray()
    save(tmp_path / "train" / "a.png", image)
    save(tmp_path / "train" / "b.png", plain)
    save(tmp_path / "test" / "c.png", image)
    save(tmp_path / "valid" / "d.png", image)
    data = load_data(tmp_path)
    assert data.space.shape == (3, 4, 6)
    assert data.train.x[0, 2, 1, 4] == image[1, 4, 2]
    assert np.array_equal(data.train.x[0].permute(1, 2, 0), image)
    assert np.array_equal(data.train.x[1], np.stack([plain] * 3))


def test_class_folders_become_labels(tmp_path):
    for i in range(8):
        save(tmp_path / "dogs" / f"{i}.png", np.full((2, 2), i))
        save(tmp_path / "cats" / "more" / f"{i}.png", np.full((2, 2), 100 + i))
    data = load_data(tmp_path)
    assert data.class_names == ("cats", "dogs") and data.space.classes == 2
    for split in data.splits.values():
        assert torch.equal(split.labels, (split.x[:, 0, 0, 0] < 50).long())


def test_classes_within_splits(tmp_path):
    for split, start in (("train", 0), ("test", 50)):
        for label in ("b", "a", "c"):
            for i in range(3):
                pixel = start + i + 10 * "abc".index(label)
                save(tmp_path / split / label / f"{i}.png", np.full((2, 2), pixel))
    data = load_data(tmp_path)
    assert torch.equal(data.test.labels, (data.test.x[:, 0, 0, 0] - 50).long() // 10)
    assert torch.equal(data.train.labels, data.train.x[:, 0, 0, 0].long() // 10)


def test_single_class_folder_is_no_label(tmp_path):
    for i in range(3):
        save(tmp_path / "all" / f"{i}.png", gray())
    data = load_data(tmp_path)
    assert data.train.labels is None
    assert "A single folder, 'all': taken as no labels." in data.notes


def test_images_beside_class_folders_are_refused(tmp_path):
    for path in ("a/1.png", "b/2.png", "3.png"):
        save(tmp_path / path, gray())
    with pytest.raises(ValueError, match=r"1 image beside class folders \(3.png\)"):
        load_data(tmp_path)


def test_mixed_sizes_are_refused_with_the_remedy(tmp_path):
    save(tmp_path / "a.png", gray((4, 6)))
    save(tmp_path / "b.png", gray((5, 6)))
    with pytest.raises(ValueError, match=r"a.png is 4 × 6 and b.png is 5 × 6.*--size 64"):
        load_data(tmp_path)


def bars(height, width):
    """Thirds: black, then by position, white; along the longer axis."""
    thirds = np.repeat([0, 128, 255], max(height, width) // 3)
    return np.broadcast_to(thirds if width > height else thirds[:, None], (height, width))


@pytest.mark.parametrize("shape", [(10, 30), (30, 10)])
def test_crop_keeps_the_middle(tmp_path, shape):
    for i in range(3):
        save(tmp_path / f"{i}.png", bars(*shape))
        save(tmp_path / f"{i}b.png", gray((8, 8)))
    data = load_data(tmp_path, size=10)
    middles = [image for image in whole(data)[:, 0] if (image == 128).all()]
    assert len(middles) == 3
    assert "6 images resized to 10 × 10 (crop)." in data.notes


def test_pad_keeps_everything_between_black_bars(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", np.full((10, 30), 200))
    image = whole(load_data(tmp_path, size=30, fit_size="pad"))[0, 0]
    assert (image[10:20] == 200).all() and (image[:10] == 0).all() and (image[20:] == 0).all()


def test_size_is_height_and_width(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", gray((20, 20)))
    assert load_data(tmp_path, size=(5, 7)).space.shape == (1, 5, 7)
    data = load_data(tmp_path, size=[5, 7])
    assert load_data(**data.source).fingerprint() == data.fingerprint()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"size": 0}, "size: expected positive"),
        ({"size": (4,)}, "size: expected"),
        ({"fit_size": "stretch"}, "fit_size: expected 'crop' or 'pad', got 'stretch'"),
        ({"label": "y"}, "label: does not apply to a folder"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    save(tmp_path / "a.png", gray())
    with pytest.raises(ValueError, match=message):
        load_data(tmp_path, **options)


def test_corrupt_files_are_skipped_named_and_counted(tmp_path):
    images = [gray((40, 40)) for _ in range(4)]
    for i, image in enumerate(images):
        save(tmp_path / "train" / f"{i}.png", image)
        save(tmp_path / "test" / f"{i}.png", image)
    (tmp_path / "train" / "empty.png").write_bytes(b"")
    cut = (tmp_path / "train" / "1.png").read_bytes()
    (tmp_path / "train" / "1.png").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "train" / "text.jpg").write_text("no image")
    data = load_data(tmp_path)
    rows = torch.cat([data.train.x, data.valid.x])[:, 0].numpy()
    assert sorted(map(bytes, rows)) == sorted(map(bytes, (images[0], images[2], images[3])))
    (note,) = [note for note in data.notes if "could not be read" in note]
    assert note.startswith("3 of 10 images could not be read and were skipped: ")
    assert all(name in note for name in ("empty.png", "1.png", "text.jpg"))
    assert np.array_equal(data.test.x[:, 0], images)


def test_all_corrupt_is_an_error(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="none of 3 images can be read, the first is .*0.png"):
        load_data(tmp_path)


def test_folder_without_images(tmp_path):
    (tmp_path / "readme.txt").write_text("none")
    with pytest.raises(ValueError, match="holds no images"):
        load_data(tmp_path)
    save(tmp_path / "test" / "a.png", gray())
    with pytest.raises(ValueError, match="has a folder 'test', but none named 'train'"):
        load_data(tmp_path)


def test_other_files_and_folders_are_noted(tmp_path):
    for i in range(3):
        save(tmp_path / "train" / f"{i}.png", gray())
    (tmp_path / "train" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "train" / ".hidden.png").write_bytes(b"")
    save(tmp_path / "spare" / "a.png", gray())
    notes = load_data(tmp_path).notes
    assert "1 file of another kind than images left out: Thumbs.db." in notes
    assert "Not used, beside the folders of splits: spare." in notes


def test_black_and_white_files_are_binary(tmp_path):
    bits = RNG.integers(0, 2, (3, 4, 4))
    for split in ("train", "valid", "test"):
        for i, image in enumerate(bits):
            save(tmp_path / split / f"{i}.png", image * 255)
    data = load_data(tmp_path)
    assert data.space.kind == "binary" and np.array_equal(data.train.x[:, 0], bits)
    assert "Kind binary: all pixels are 0 or 255, which became 0 and 1." in data.notes
    assert load_data(tmp_path, levels=256).train.x.max() == 255


def same_three(folder, image, name, **options):
    for i in range(3):
        image.save(folder / f"{i}.{name}", **options)
    return load_data(folder)


def test_sideways_photographs_are_turned_upright(tmp_path):
    pixels = gray((16, 32)) // 2
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    data = same_three(tmp_path, Image.fromarray(pixels), "png", exif=exif)
    assert data.space.shape == (1, 32, 16)
    assert np.array_equal(data.train.x[0, 0], np.rot90(pixels, -1))


def test_palettes_count_as_color_only_with_colors(tmp_path):
    pixels = gray((6, 6))
    palette = Image.fromarray(np.stack([pixels] * 3, -1)).quantize(256)
    (tmp_path / "gray").mkdir()
    data = same_three(tmp_path / "gray", palette, "png")
    assert data.space.shape[0] == 1
    assert np.array_equal(data.train.x[0, 0], np.asarray(palette.convert("RGB"))[..., 0])
    (tmp_path / "color").mkdir()
    palette = Image.fromarray(gray((6, 6, 3))).quantize(256)
    assert same_three(tmp_path / "color", palette, "gif").space.shape[0] == 3


def test_icons_drawn_in_transparency_lie_on_a_background(tmp_path):
    icon = np.zeros((4, 6, 4), np.uint8)  # black, and what is drawn is drawn in alpha
    icon[1:3, 2:4, 3], icon[0, 0, 3] = 255, 128
    data = same_three(tmp_path, Image.fromarray(icon), "png")
    expected = 255 - icon[..., 3]
    assert np.array_equal(data.train.x[0], np.stack([expected] * 3))
    assert "3 of 3 images: what is transparent became white (background)." in data.notes
    black = load_data(tmp_path, background="#202020", levels=256)
    assert black.train.x[0, :, 0, 1].tolist() == [32] * 3 and black.train.x[0, 0, 1, 2] == 0
    assert load_data(**black.source).fingerprint() == black.fingerprint()
    with pytest.raises(ValueError, match="every pixel of all images is 0"):
        load_data(tmp_path, background="black")
    with pytest.raises(ValueError, match="background: expected a color, as white .*'whitish'"):
        load_data(tmp_path, background="whitish")


@pytest.mark.parametrize("form", ["palette", "gray", "key", "opaque"])
def test_every_form_of_transparency_is_composited(tmp_path, form):
    """Of palettes, beside gray, of one color that is a key; and none where all is opaque."""
    pixels, options = gray((4, 6)) // 2, {}
    pixels[0] = 77
    image = Image.fromarray(pixels)
    if form == "palette":
        image = image.convert("P")
        image.putpalette([i for i in range(256) for _ in range(3)])
    if form in ("palette", "key"):
        options = {"transparency": 77}
    if form in ("gray", "opaque"):
        image = image.convert("LA")
        image.putalpha(
            Image.fromarray(np.where((pixels == 77) & (form == "gray"), 0, 255).astype("u1"))
        )
    data = same_three(tmp_path, image, "png", **options)
    hidden = 77 if form == "opaque" else 255
    assert data.space.shape == (1, 4, 6)
    assert np.array_equal(data.train.x[0, 0], np.where(pixels == 77, hidden, pixels))
    assert any("transparent" in note for note in data.notes) == (form != "opaque")
    if form != "opaque":
        assert load_data(tmp_path, background="red").space.shape[0] == 3


def test_new_pictures_lie_on_the_background_of_the_data(tmp_path):
    (tmp_path / "a").mkdir()
    image = Image.fromarray(gray((4, 6, 4)))
    for i in range(3):
        image.save(tmp_path / "a" / f"{i}.png")
    like = load_data(tmp_path / "a", background="black")
    Image.new("RGBA", (6, 4), (9, 9, 9, 0)).save(tmp_path / "new.png")
    rows = load_rows(tmp_path / "new.png", like)
    assert (rows.x == 0).all() and "became black" in " ".join(rows.notes)


def test_all_remarks_on_a_file_are_heard(tmp_path):
    """A stack of 16-bit frames: that they are deep, and that 24 of 25 are left out."""
    frames = [RNG.integers(0, 4096, (3, 5)).astype(np.uint16) for _ in range(25)]
    for name in ("a", "b", "c"):
        stack(tmp_path / f"{name}.tif", frames)
    notes = " ".join(load_data(tmp_path).notes)
    assert "3 of 3 images have more than 8 bits" in notes
    assert (
        "3 of 3 images have several frames, of which the first was taken and 72 left out" in notes
    )
    moving = [Image.fromarray(gray((4, 4, 4))) for _ in range(3)]
    (tmp_path / "moving").mkdir()
    for i in range(3):
        path = tmp_path / "moving" / f"{i}.png"
        moving[0].save(path, save_all=True, append_images=moving[1:])
    notes = " ".join(load_data(tmp_path / "moving").notes)
    assert "transparent became white" in notes and "6 left out; frames='all'" in notes


def stack(path, frames):
    first, *others = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=others)
    return path


def test_all_frames_where_they_are_asked_for(tmp_path):
    frames = [RNG.integers(0, 4096, (3, 5)).astype(np.uint16) for _ in range(6)]
    for split in ("train", "valid", "test"):
        (tmp_path / split).mkdir()
        stack(tmp_path / split / "a.tif", frames)
    save(tmp_path / "train" / "b.tif", np.zeros((3, 5))).write_bytes(b"no image")
    stack(tmp_path / "train" / "c.tif", frames[:1])
    data = load_data(tmp_path, frames="all")
    low, high = np.min(frames), np.max(frames)
    expected = np.rint((np.array(frames, float) - low) / (high - low) * 255)
    assert np.array_equal(data.train.x[:, 0], [*expected, expected[0]])
    assert np.array_equal(data.test.x[:, 0], expected)
    names = [f"train/a.tif[{i}]" for i in range(6)] + ["train/c.tif"]
    assert data.train.files.names.tolist() == names
    assert {path.name for path in data.train.files.paths} == {"a.tif", "c.tif"}
    assert load_data(**data.source).fingerprint() == data.fingerprint()
    with pytest.raises(ValueError, match="frames: expected 'first' or 'all', got 'last'"):
        load_data(tmp_path, frames="last")


def test_a_single_file_of_many_frames_is_a_source(tmp_path):
    frames = [np.full((3, 5), 20 * i, np.uint8) for i in range(1, 11)]
    path = stack(tmp_path / "a.tif", frames)
    data = load_data(path)
    assert sorted(whole(data)[:, 0, 0, 0].tolist()) == [20 * i for i in range(1, 11)]
    assert load_data(**data.source).fingerprint() == data.fingerprint()
    assert len(load_rows(path, data)) == 10
    with pytest.raises(ValueError, match="b.png: is a single image; give the folder it is in"):
        load_data(save(tmp_path / "b.png", gray()))
    (tmp_path / "c.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="c.png: cannot be read as an image: no image"):
        load_data(tmp_path / "c.png")


@pytest.mark.parametrize(
    "suffix", ["pgm", "ppm", "pbm", "tga", "jp2", "pcx", "webp", "avif", "sgi"]
)
def test_other_forms_that_pillow_reads_are_read(tmp_path, suffix):
    image = Image.new("1" if suffix == "pbm" else "RGB", (16, 16))
    image.paste(1 if suffix == "pbm" else (255, 0, 0), (0, 0, 8, 16))
    data = same_three(tmp_path, image, suffix)
    assert data.train.x[0, 0].float().mean() == pytest.approx(
        0.5 if data.space.kind == "binary" else 127.5, rel=0.05
    )
