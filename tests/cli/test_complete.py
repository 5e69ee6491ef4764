"""The command that completes examples of which the top is given."""

import numpy as np
import pytest
from PIL import Image


def test_completions_keep_the_given_rows_of_the_test_images(reparam, runs, tmp_path):
    import reparam as rp

    out = tmp_path / "x.npz"
    words = ["complete", runs / "made", "-n", 3, "--draws", 2, "--keep", 0.5, "-o"]
    code, text, error = reparam(*words, out)
    assert code == 0 and "3 x 2 completions" in text, error
    stored = np.load(out)
    assert stored["draw"].tolist() == [1, 2] * 3
    x = stored["x"].reshape(3, 2, 8, 8)
    test = rp.load_data("digits").test.x[:3].numpy()
    assert (x[:, :, :4] == test[:, :, :4]).all()
    assert not (x[:, :, 4:] == test[:, :, 4:]).all()
    assert not (x[:, 0] == x[:, 1]).all()  # two draws
    assert ((x >= 0) & (x <= 16)).all()
    code, _, _ = reparam(*words, tmp_path / "again.npz", "--seed", 0)
    assert (np.load(tmp_path / "again.npz")["x"].reshape(x.shape) == x).all()


def test_a_picture_shows_original_given_part_and_draws_in_a_row(reparam, runs, tmp_path):
    out = tmp_path / "x.png"
    code, _, error = reparam("complete", runs / "made", "-n", 2, "--draws", 3, "-o", out)
    assert code == 0, error
    width, height = Image.open(out).size
    assert 2 < width / height < 3  # five images in a row, two rows


def test_models_that_do_not_complete_are_refused(reparam, runs, tmp_path):
    code, _, error = reparam("complete", runs / "ae", "-o", tmp_path / "x.png")
    assert code == 2 and "Autoencoder does not complete; use vae, an autoregressive model" in error
    code, _, _ = reparam("complete", runs / "made", "--keep", 1.5, "-o", tmp_path / "x.png")
    assert code == 2 and not (tmp_path / "x.png").exists()


def test_a_mask_says_what_is_given_in_white(reparam, runs, tmp_path):
    import reparam as rp

    white = np.zeros((8, 8), np.uint8)
    white[:, :3] = 255
    Image.fromarray(white).save(tmp_path / "left.png")
    words = [
        "complete",
        runs / "made",
        "-n",
        2,
        "--draws",
        3,
        "--mask",
        tmp_path / "left.png",
        "-o",
    ]
    code, text, error = reparam(*words, tmp_path / "x.npz")
    assert code == 0 and "what is given after one does not act on it" in " ".join(text.split()), (
        error
    )
    x = np.load(tmp_path / "x.npz")["x"].reshape(2, 3, 8, 8)
    test = rp.load_data("digits").test.x[:2].numpy()
    assert (x[..., :3] == test[..., :3]).all()
    assert not (x[..., 3:] == test[..., 3:]).all()


def test_what_is_transparent_in_a_mask_is_drawn(reparam, runs, tmp_path):
    import reparam as rp

    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[:, 4:, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    words = ["complete", runs / "made", "-n", 2, "--mask", tmp_path / "clear.png", "-o"]
    code, text, error = reparam(*words, tmp_path / "x.npz")
    assert code == 0 and "transparent" in text, error
    x = np.load(tmp_path / "x.npz")["x"].reshape(2, 4, 8, 8)
    test = rp.load_data("digits").test.x[:2].numpy()
    assert (x[..., :4] == test[..., :4]).all() and not (x[..., 4:] == test[..., 4:]).all()


@pytest.mark.parametrize("form", ["color", "deep"])
def test_masks_in_color_or_of_16_bits_are_read_as_others(reparam, runs, tmp_path, form):
    white = np.zeros((8, 8), np.uint16)
    white[:3] = 65535
    rgb = Image.fromarray((white // 257).astype(np.uint8)).convert("RGB")
    (rgb if form == "color" else Image.fromarray(white)).save(tmp_path / "m.png")
    words = ["complete", runs / "made", "-n", 2, "--mask", tmp_path / "m.png", "-o"]
    code, text, error = reparam(*words, tmp_path / "x.npz")
    assert code == 0 and "•" not in text, error  # there is nothing to remark
    assert (
        reparam("complete", runs / "made", "-n", 2, "--keep", 0.375, "-o", tmp_path / "y.npz")[0]
        == 0
    )
    assert (np.load(tmp_path / "x.npz")["x"] == np.load(tmp_path / "y.npz")["x"]).all()


def test_a_mask_is_not_overwritten(reparam, runs, tmp_path):
    Image.new("L", (8, 8), 255).save(tmp_path / "m.png")
    before = (tmp_path / "m.png").read_bytes()
    words = ["--mask", tmp_path / "m.png", "-o", tmp_path / "m.png", "--force"]
    code, _, error = reparam("complete", runs / "made", *words)
    assert code == 2 and "is read as data" in error
    assert (tmp_path / "m.png").read_bytes() == before


def test_it_is_said_where_all_or_nothing_is_given(reparam, runs, tmp_path):
    for words, said in (
        (["--keep", 0], "Nothing is given, so that all is drawn"),
        (["--box", "0,0,8,8"], "Nothing is given, so that all is drawn"),
        (["--keep", 1], "Nothing is drawn, as all is given"),
    ):
        out = ["-n", 1, "-o", tmp_path / "x.npz", "--force"]
        code, text, error = reparam("complete", runs / "made", *words, *out)
        assert code == 0 and said in " ".join(text.split()), error


def test_the_brightness_of_a_mask_is_the_mean_of_its_colors(reparam, runs, tmp_path):
    Image.new("RGB", (8, 8), (0, 255, 0)).save(tmp_path / "green.png")
    words = ["-n", 1, "--mask", tmp_path / "green.png", "-o", tmp_path / "x.npz"]
    code, text, error = reparam("complete", runs / "made", *words)
    assert code == 2 and "nothing of it is white: its brightest is 85, where" in error
    assert "say --keep 0" in error and not (tmp_path / "x.npz").exists()


@pytest.mark.parametrize("value, dtype", [(65535, np.uint16), (1, np.float32), (0, np.uint16)])
def test_of_deep_masks_of_one_value_zero_alone_is_known(reparam, runs, tmp_path, value, dtype):
    Image.fromarray(np.full((8, 8), value, dtype)).save(tmp_path / "m.tif")
    words = ["-n", 1, "--mask", tmp_path / "m.tif", "-o", tmp_path / "x.npz"]
    code, text, error = reparam("complete", runs / "made", *words)
    if value:
        assert code == 2 and f"mask: every value is {value}, which may be black or white" in error
    else:
        assert code == 2 and "mask: nothing of it is white: its brightest is 0" in error


def test_only_so_many_are_drawn_at_once_and_rows_alike_whichever_stand_beside(
    reparam, runs, tmp_path, monkeypatch
):
    from reparam.cli import complete
    from reparam.models.autoregressive import Autoregressive

    monkeypatch.setattr(complete, "AT_ONCE", 4)
    at_once, draw = [], Autoregressive.complete
    monkeypatch.setattr(
        Autoregressive,
        "complete",
        lambda self, x, *rest, **words: (at_once.append(len(x)), draw(self, x, *rest, **words))[1],
    )
    x = {}
    for n in (1, 3):
        words = ["-n", n, "--draws", 6, "--box", "0,0,1,8", "-o", tmp_path / f"{n}.npz"]
        assert reparam("complete", runs / "made", *words)[0] == 0
        x[n] = np.load(tmp_path / f"{n}.npz")["x"].reshape(n, 6, -1)
    assert at_once == 4 * [4, 2]
    assert (x[1][0] == x[3][0]).all() and len(np.unique(x[1][0], axis=0)) == 6


def test_a_box_says_what_is_drawn(reparam, runs, tmp_path):
    import reparam as rp

    words = ["complete", runs / "made", "-n", 2, "--draws", 3, "--box", "2,1,4,5", "-o"]
    code, _, error = reparam(*words, tmp_path / "x.npz")
    assert code == 0, error
    x = np.load(tmp_path / "x.npz")["x"].reshape(2, 3, 8, 8)
    test = rp.load_data("digits").test.x[:2].numpy().reshape(2, 1, 8, 8)
    outside = np.ones((8, 8), bool)
    outside[2:6, 1:6] = False
    assert (x == test)[..., outside].all() and not (x == test)[..., ~outside].all()


def test_nothing_is_said_where_all_that_is_given_comes_first(reparam, runs, tmp_path):
    words = ["complete", runs / "made", "-n", 1, "--box", "3,0,5,8", "-o", tmp_path / "x.npz"]
    code, text, _ = reparam(*words)
    assert code == 0 and "does not act" not in " ".join(text.split())


def test_what_comes_first_is_asked_of_the_model(reparam, tmp_path):
    """Of one that draws a small image first the upper half comes late, every second pixel not."""
    run = tmp_path / "run"
    sizes = ["layers=0", "width=2", "first_kernel=3", "--epochs", 1, "--batch-size", 600]
    assert reparam("fit", "multi-scale-pixel-cnn", "digits", *sizes, "-o", run)[0] == 0
    small = np.zeros((8, 8), np.uint8)
    small[::2, ::2] = 255
    Image.fromarray(small).save(tmp_path / "small.png")
    for part, noted in ((["--keep", 0.5], True), (["--mask", tmp_path / "small.png"], False)):
        words = ["complete", run, "-n", 1, "--draws", 1, *part, "-o", tmp_path / f"{noted}.npz"]
        code, text, error = reparam(*words)
        assert code == 0, error
        assert ("does not act" in " ".join(text.split())) == noted


def test_what_no_part_can_be_is_refused(reparam, runs, tmp_path):
    Image.new("L", (9, 8)).save(tmp_path / "wide.png")
    (tmp_path / "no.png").write_text("no image")
    for words, said in (
        (
            ["--mask", tmp_path / "wide.png"],
            "mask: expected an image of 8x8 (height x width), got 8x9",
        ),
        (["--mask", tmp_path / "no.png"], "no.png"),
        (["--mask", tmp_path / "absent.png"], "absent.png"),
        (["--mask", ""], "--mask: expected a path, got an empty one"),
        (["--box", "4,4,8,8"], "box: expected a part of 8x8 pixels, got 4,4,8,8"),
        (["--box", "0,0,0,3"], "box: expected a part of"),
        (["--box", "1,2,3"], "box: expected top,left,height,width in pixels"),
        (["--box", "1,2,3,4", "--keep", 0.2], "keep, mask, box: expected one of them"),
    ):
        code, out, error = reparam("complete", runs / "made", *words, "-o", tmp_path / "x.png")
        assert code == 2 and said in error, error
        assert "The first" not in out  # of examples, which are not read
        assert not (tmp_path / "x.png").exists()


def test_a_vae_completes_by_chains_and_says_how(reparam, runs, tmp_path):
    import reparam as rp

    words = ["complete", runs / "vae", "--draws", 3, "--box", "2,2,4,4", "--steps", 12]
    code, text, error = reparam(*words, "-n", 2, "-o", tmp_path / "x.npz")
    assert code == 0 and "2 x 3 completions" in text, error
    assert "by chains of 12 steps, of whose proposals by q(z|x)" in " ".join(text.split())
    assert "model's order" not in text
    x = np.load(tmp_path / "x.npz")["x"].reshape(2, 3, 8, 8)
    test = rp.load_data("digits").test.x[:2].numpy()
    drawn = np.zeros((8, 8), bool)
    drawn[2:6, 2:6] = True
    assert (x[..., ~drawn] == test[..., ~drawn]).all()
    assert not (x[..., drawn] == test[..., drawn]).all() and not (x[:, 0] == x[:, 1]).all()
    assert reparam(*words, "-o", tmp_path / "one.npz", "-n", 1)[0] == 0  # whichever stand beside
    assert (np.load(tmp_path / "one.npz")["x"] == x[0].reshape(3, 1, 8, 8)).all()
    assert reparam(*words, "-n", 2, "-o", f"{tmp_path}/folder/")[0] == 0
    assert len(list((tmp_path / "folder").rglob("*.png"))) == 6


def test_steps_are_those_of_chains_alone(reparam, runs, tmp_path):
    words = ["--steps", 5, "-o", tmp_path / "x.npz"]
    code, _, error = reparam("complete", runs / "made", *words)
    assert code == 2 and "steps: of chains, by which Autoregressive does not draw" in error
    code, _, error = reparam("complete", runs / "vae", "--sampling-steps", 5, "-o", words[-1])
    assert code == 2 and "VAE is no diffusion model" in error
    code, _, error = reparam("complete", runs / "vae", "--steps", 0, "-o", words[-1])
    assert code == 2 and "steps: expected" in error and not (tmp_path / "x.npz").exists()
