"""reparam gallery: the picture of layers of a flow."""

from PIL import Image


def test_the_gallery_is_a_picture_that_is_not_written_over(reparam, tmp_path):
    path = tmp_path / "new" / "layers.png"
    code, said, _ = reparam("gallery", "radial", "-o", path)
    assert code == 0 and "radial layers in" in said
    with Image.open(path) as picture:
        assert picture.width > picture.height > 300
        assert len(set(picture.convert("L").getdata())) > 100  # shades of densities
    kept = path.read_bytes()
    code, _, error = reparam("gallery", "planar", "-o", path)
    assert code == 2 and "exists already" in error and path.read_bytes() == kept
    assert reparam("gallery", "planar", "-o", path, "--force")[0] == 0
    assert path.read_bytes() != kept


def test_what_it_cannot_draw_is_refused(reparam, tmp_path):
    code, _, error = reparam("gallery", "-o", tmp_path / "x.gif")
    assert code == 2 and "expected a name ending in .png, .svg, .pdf" in error
    assert reparam("gallery", "spline", "-o", tmp_path / "x.png")[0] == 2
    assert not list(tmp_path.iterdir())
