"""What the server answers, and what it refuses: every endpoint, hosts, origins, words, bodies."""

import asyncio
import base64
import io
import json
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

import reparam as rp
from reparam.explore.answers import Answers
from reparam.explore.server import Bound, Busy, Desk, application, listen, make_token
from reparam.explore.subject import Subject

TestClient = pytest.importorskip("starlette.testclient", reason="needs starlette").TestClient
HERE = "http://127.0.0.1:8000"
BOUND = Bound("127.0.0.1", 8000)
BYTES = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def digits():
    return rp.load_data("digits")


def built(name, data, **parameters):
    return rp.build(name, data.space, seed=0, **parameters).eval()


def client_of(subject, bound=BOUND, **options):
    app = application(subject, bound, **options)
    return TestClient(app, base_url=HERE, headers={"Origin": HERE}, follow_redirects=False)


@pytest.fixture(scope="module")
def vae(digits):
    return Subject(built("vae", digits, latent_dim=3, hidden=(16,)), digits, "a run", most=40)


@pytest.fixture(scope="module")
def client(vae):
    return client_of(vae)


@pytest.fixture(scope="module")
def cvae(digits):
    return Subject(built("cvae", digits, latent_dim=2, hidden=(16,)), digits, "a run", most=40)


def png(pixels, format="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, format, **options)
    return file.getvalue()


def refused(answer, status, words):
    assert answer.status_code == status
    assert words in answer.text and "\n" not in answer.text and "Traceback" not in answer.text


def test_decode_gives_the_bytes_of_the_models_decode(client, vae):
    code = [0.5, -1.25, 2.0]
    answer = client.post("/decode", json={"code": code})
    expected = vae.brightness.bytes(vae.model.decode(torch.tensor([code])).detach())
    assert answer.status_code == 200 and answer.content == expected.tobytes()
    both = client.post("/decode", json={"codes": [code, code]})
    assert both.content == 2 * answer.content
    packed = {"content": np.array(code, "<f4").tobytes(), "headers": BYTES}
    assert client.post("/decode", **packed).content == answer.content
    drawn = client.post("/decode", params={"asked": '{"draw": 1}'}, **packed).content
    assert drawn == client.post("/decode", json={"code": code, "draw": 1}).content
    refused(client.post("/decode", content=b"abc", headers=BYTES), 400, "3 numbers, got 0.75")
    bad = np.array([1, 2, np.nan], "<f4").tobytes()
    refused(client.post("/decode", content=bad, headers=BYTES), 400, "finite numbers")


def test_a_code_as_wide_as_a_color_image_can_be_asked_for():
    rng = np.random.default_rng(0)
    data = rp.load_data(rng.integers(0, 256, (12, 3, 64, 64)).astype(np.uint8))
    flow = Subject(built("nice", data, hidden=(4,)), data, "a run", most=4)
    body = flow.codes[0].numpy().tobytes()
    assert len(body) == 4 * 64 * 64 * 3 and flow.kind == "real"
    found = client_of(flow).post("/decode", content=body, headers=BYTES)
    assert found.content == flow.brightness.bytes(flow.examples.x[:1]).tobytes()
    widest = b"x" * (64 * 1024 + 1)
    refused(client_of(flow).post("/decode", content=widest, headers=BYTES), 413, "64 kB")


def test_one_draw_is_of_its_seed_and_not_the_mean(client):
    code = [0.5, -1.25, 2.0]
    mean, one, same, other = (
        client.post("/decode", json={"code": code, "draw": seed}).content
        for seed in (None, 1, 1, 2)
    )
    assert one == same and len({mean, one, other}) == 3


def test_codes_are_clamped_to_twenty_deviations(vae):
    found = Answers(vae)._codes({"code": [1e300, -(10**300), 0.0]})[0].double()
    mean, deviation = vae.spread
    assert found[0].item() == pytest.approx((mean + 20 * deviation)[0].item(), rel=1e-6)
    assert found[1].item() == pytest.approx((mean - 20 * deviation)[1].item(), rel=1e-6)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "expected JSON"),
        (b"[1, 2]", "expected a JSON object"),
        (b"\xff\xfe", "expected JSON"),
        (b"[" * 60_000, "expected JSON"),
        (b'{"code": [1, 2, NaN]}', "finite"),
        (b'{"code": [1, 2, Infinity]}', "finite"),
        (b'{"code": [1, 2, 1e999]}', "finite"),
        (b'{"code": [1, 2]}', "expected 3 numbers, got 2"),
        (b'{"code": [1, 2, true]}', "finite numbers"),
        (b'{"code": [1, 2, "3"]}', "finite numbers"),
        (b'{"code": [1, 2, %s]}' % (b"9" * 5000), "expected JSON of finite numbers"),
        (b'{"code": [1, 2, %s]}' % (b"9" * 400), "finite numbers"),
        (b'{"code": "AAAA"}', "expected 3 numbers, got none"),
        (b'{"code": {"a": 1}}', "expected 3 numbers, got none"),
        (b"{}", "expected 3 numbers, got none"),
        (b'{"codes": []}', "expected 1 to 256 codes"),
        (b'{"codes": 3}', "expected 1 to 256 codes"),
        (b'{"code": [1, 2, 3], "draw": -1}', "draw: expected a whole number"),
        (b'{"code": [1, 2, 3], "draw": 1.5}', "draw: expected a whole number"),
        (b'{"code": [1, 2, 3], "c": 1}', "not conditional"),
    ],
)
def test_bad_bodies_of_decode(client, body, words):
    refused(client.post("/decode", content=body), 400, words)


def test_large_bodies_are_refused_unread(client, vae):
    refused(client.post("/decode", content=b" " * (64 * 1024 + 1)), 413, "64 kB")
    refused(client.post("/upload", content=b"x" * (10 * 1024 * 1024 + 1)), 413, "10240 kB")

    def endless():
        for _ in range(200):
            yield b" " * 1024

    refused(client.post("/decode", content=endless()), 413, "64 kB")  # no length is declared
    said = client.post("/decode", content=b"{}", headers={"Content-Length": "9" * 30})
    refused(said, 413, "64 kB")


def test_encode_gives_codes_of_examples_and_draws(client, vae):
    answer = client.post("/encode", json={"example": 7})
    assert np.frombuffer(answer.content, "<f4").tolist() == vae.codes[7].tolist()
    drawn = [client.post("/encode", json={"seed": seed}).content for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 12
    for example in (40, -1, "7", 7.0, True):
        refused(client.post("/encode", json={"example": example}), 400, "example: expected")
    refused(client.post("/encode", json={}), 400, "from 0 to 39")


def test_examples_come_as_they_are(client, vae):
    found = client.post("/example", json={"example": 7})
    assert found.content == vae.brightness.bytes(vae.examples.x[7:8]).tobytes()
    refused(client.post("/example", json={"example": 40}), 400, "from 0 to 39")


def test_conditions_are_checked_and_used(cvae):
    client = client_of(cvae)
    code = [0.5, -0.5]
    for label in (0, 9):
        answer = client.post("/decode", json={"code": code, "c": label})
        x = cvae.model.decode(torch.tensor([code]), torch.tensor([label])).detach()
        assert answer.content == cvae.brightness.bytes(x).tobytes()
    for c in (10, -1, 1.0, "1", [1], True):
        refused(client.post("/decode", json={"code": code, "c": c}), 400, "number of a class")
    refused(client.post("/decode", json={"code": code}), 400, "is conditional")


def test_uploads_become_what_training_data_are(client, vae, digits):
    example = digits.test.x[3, 0].numpy()
    gray = np.rint(example * (255 / 16))
    for kind in ("PNG", "BMP", "WEBP"):
        more = {"lossless": True} if kind == "WEBP" else {}
        found = client.post("/upload", content=png(gray, kind, **more)).json()
        shown = np.frombuffer(base64.b64decode(found["x"]), np.uint8)
        assert np.array_equal(shown, (example / 16 * 255 + 0.5).astype(np.uint8).ravel())
        code = np.frombuffer(base64.b64decode(found["code"]["data"]), "<f4")
        expected = vae.model.encode(digits.test.x[3:4]).detach().numpy().ravel()
        assert code == pytest.approx(expected, abs=1e-6)
        assert found["point"] == pytest.approx(vae.projection(torch.tensor(expected)[None])[0])
    photo = np.random.default_rng(0).integers(0, 255, (37, 80, 3))
    assert (
        len(base64.b64decode(client.post("/upload", content=png(photo, "JPEG")).json()["x"])) == 64
    )
    asked = {"asked": json.dumps({"likelihood": True})}
    found = client.post("/upload", content=png(gray), params=asked).json()
    assert found["sign"] == "≥" and 0 <= found["percentile"] <= 100 and found["of"] == 200
    again = client.post("/upload", content=png(gray), params=asked).json()
    assert again == found  # the noise is the same


def animated():
    file = io.BytesIO()
    frames = [Image.new("L", (8, 8), shade) for shade in (255, 0)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    return file.getvalue()


def test_of_several_frames_the_first_is_taken(client):
    found = client.post("/upload", content=animated()).json()
    assert set(base64.b64decode(found["x"])) == {255}


def bomb():
    """A PNG of 60 000 × 60 000 whose header alone is there."""
    import struct
    import zlib

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"", "expected an image"),
        (lambda: b"GIF89a" + bytes(40), "expected an image"),
        (lambda: png(np.zeros((8, 8)), "GIF"), "PNG, JPEG, WEBP or BMP"),
        (lambda: png(np.zeros((8, 8)), "TIFF"), "PNG, JPEG, WEBP or BMP"),
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "expected an image"),
        (lambda: png(np.random.default_rng(0).integers(0, 9, (64, 64)))[:300], "damaged"),
        (bomb, "at most 50 megapixels"),
    ],
)
def test_bad_uploads(client, make, words):
    refused(client.post("/upload", content=make()), 400, words)


def test_other_hosts_and_origins_are_refused(client):
    for host in (
        "evil.example:8000",
        "127.0.0.1:8001",
        "127.0.0.1",
        "localhost.evil:8000",
        "",
        "127.0.0.1:" + "9" * 5000,
        "[::1]",
        "[::1",
        "::1:8000",
    ):
        refused(client.get("/", headers={"Host": host}), 403, "not the one that is served")
    for host in ("127.0.0.1:8000", "localhost:8000", "[::1]:8000"):
        assert client.get("/", headers={"Host": host}).status_code == 200
    body = {"json": {"code": [0, 0, 0]}}
    for origin in (
        "http://evil.example",
        "null",
        "http://127.0.0.1:8001",
        "https://127.0.0.1:8000",
    ):
        answer = client.post("/decode", headers={"Origin": origin}, **body)
        refused(answer, 403, "from this page alone")
    bare = TestClient(client.app, base_url=HERE)
    for path in ("/decode", "/encode", "/example", "/upload", "/sample", "/complete"):
        refused(bare.post(path, content=b"{}"), 403, "from this page alone")


def test_every_answer_has_the_policy_and_none_allows_others(vae):
    client = client_of(vae)
    answers = [
        client.get("/"),
        client.get("/facts"),
        client.get("/nowhere"),
        client.post("/decode", json={}),
        client.get("/", headers={"Host": "evil.example"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 400, 403]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert "access-control-allow-origin" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/decode").status_code == 405
    assert client.options("/decode").status_code == 405


def test_a_token_is_needed_by_every_request(vae):
    bound = Bound("127.0.0.1", 8000, make_token("sesame"))
    assert bound.address == "http://127.0.0.1:8000/?token=sesame"
    client = client_of(vae, bound)
    for path in ("/", "/facts", "/?token=", "/?token=Sesame", "/nowhere"):
        refused(client.get(path), 403, "needs its token")
    refused(client.post("/decode", json={"code": [0, 0, 0]}), 403, "needs its token")
    assert client.get("/?token=sesame").status_code == 200
    word = {"X-Token": "sesame"}
    assert client.post("/decode", json={"code": [0, 0, 0]}, headers=word).status_code == 200
    for bad in ("", "two words", "ü"):
        with pytest.raises(ValueError, match="token: expected auto"):
            make_token(bad)
    assert make_token("auto") != make_token("auto")


def test_all_addresses_take_numbers_and_no_names_that_resolve_to_them():
    anywhere = Bound("0.0.0.0", 80, "word")  # noqa: S104
    assert anywhere.knows("192.168.1.5") and anywhere.knows("[fe80::1]:80")
    assert not anywhere.knows("evil.example:80")
    assert Bound("192.168.1.5", 80, "word").knows("192.168.1.5:80")
    assert not Bound("192.168.1.5", 80, "word").knows("localhost:80")
    written_out = Bound("2001:DB8:0:0::1", 80, "word")
    assert written_out.knows("[2001:db8::1]:80") and not written_out.knows("[2001:db8::2]:80")


def test_beyond_a_small_queue_it_is_busy_and_threads_do_not_pile_up(vae):
    go, threads = threading.Event(), []

    def wait(name):
        threads.append(threading.current_thread().ident)
        assert go.wait(20)
        return name

    async def ask():
        desk = Desk(places=3)
        asked = [asyncio.ensure_future(desk.ask(wait, name)) for name in "abc"]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await desk.ask(wait, "d")
        go.set()
        found = await asyncio.gather(*asked)
        return found, await desk.ask(wait, "e")  # there is room again

    assert asyncio.run(ask()) == (["a", "b", "c"], "e")
    assert len(threads) == 4 and len({*threads}) == 1
    full = client_of(vae, places=0)
    refused(full.post("/decode", json={"code": [0, 0, 0]}), 503, "busy")
    assert full.get("/facts").status_code == 200


def test_what_nobody_waits_for_any_more_is_stopped():
    begun, ended = threading.Event(), []

    def work():
        begun.set()
        try:
            for _ in range(1000):
                time.sleep(0.01)
        finally:
            ended.append(time.perf_counter())

    async def ask():
        desk = Desk()
        asked = asyncio.ensure_future(desk.ask(work))
        await asyncio.get_running_loop().run_in_executor(None, begun.wait, 20)
        waiting = asyncio.ensure_future(desk.ask(work))
        await asyncio.sleep(0)
        stopped = time.perf_counter()
        for one in (asked, waiting):
            one.cancel()
        await asyncio.gather(asked, waiting, return_exceptions=True)
        assert await desk.ask(int) == 0 and desk.taken == 0  # the thread is there for others
        return stopped

    stopped = asyncio.run(ask())
    assert len(ended) == 1 and 0 <= ended[0] - stopped < 5  # of 10 s


def test_models_without_codes_draw_complete_and_have_no_map(digits):
    subject = Subject(built("made", digits, hidden=(16,)), digits, "a run")
    client = client_of(subject)
    facts = client.get("/facts").json()
    assert facts["codes"] is None and facts["samples"] and facts["completes"] and facts["density"]
    drawn = [client.post("/sample", json={"n": 3, "seed": seed}).content for seed in (1, 1, 2)]
    assert len(drawn[0]) == 3 * 64 and drawn[0] == drawn[1] != drawn[2]
    given = np.zeros((8, 8), bool)
    given[:4] = True
    mask = base64.b64encode(np.packbits(given).tobytes()).decode()
    asked = {"example": 5, "mask": mask, "n": 2, "seed": 3}
    found = client.post("/complete", json=asked)
    pixels = np.frombuffer(found.content, np.uint8).reshape(2, 8, 8)
    original = subject.brightness.bytes(subject.examples.x[5:6])[0, ..., 0]
    assert (pixels[:, given] == original[given]).all()
    for bad in ({"n": 17}, {"n": 0}, {"seed": -1}, {"c": 1}):
        refused(client.post("/sample", json=bad), 400, next(iter(bad)))
    for bad in ({"mask": "AA=="}, {"mask": 3}, {"mask": "?"}):
        refused(client.post("/complete", json=asked | bad), 400, "mask: expected 64 bits")
    refused(client.post("/decode", json={"code": []}), 400, "no codes")
    refused(client.post("/encode", json={"example": 0}), 400, "no codes")


def test_a_model_that_diverged_is_refused(digits):
    model = built("vae", digits, latent_dim=2, hidden=(4,))
    for weight in model.parameters():
        weight.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="^model: expected finite codes"):
        application(Subject(model, digits, "a run", most=10), BOUND)


def test_codes_that_are_indices(digits):
    subject = Subject(built("vq-vae", digits), digits, "a run", most=30)
    client = client_of(subject)
    facts = client.get("/facts").json()
    assert facts["codes"]["kind"] == "indices" and facts["codes"]["axes"] == []
    code = subject.codes[4].tolist()
    answer = client.post("/decode", json={"code": code})
    x = subject.decode(subject.codes[4:5], None)
    assert answer.content == subject.brightness.bytes(x).tobytes()
    code[0] = 0.5
    refused(client.post("/decode", json={"code": code}), 400, "whole numbers")
    code[0] = facts["codes"]["levels"]
    refused(client.post("/decode", json={"code": code}), 400, "whole numbers")


def test_a_decoder_of_noise_has_draws_and_no_examples(digits):
    subject = Subject(built("gan", digits, latent_dim=4), digits, "a run")
    facts = client_of(subject).get("/facts").json()
    assert facts["codes"]["kind"] == "noise" and facts["examples"]["count"] == 0
    assert facts["codes"]["draws"]["shape"][0] == facts["codes"]["points"]["shape"][0]
    assert not facts["encodes"] and len(facts["codes"]["axes"]) == 4


def test_a_port_in_use_and_a_foreign_host_are_one_sentence():
    taken = listen("127.0.0.1", 0)
    try:
        with pytest.raises(ValueError, match=r"^port: \d+ is in use; choose another"):
            listen("127.0.0.1", taken.getsockname()[1])
    finally:
        taken.close()
    with pytest.raises(ValueError, match="^host: cannot serve at 192.0.2.1"):
        listen("192.0.2.1", 0)
