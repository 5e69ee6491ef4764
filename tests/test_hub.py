"""The hub: files that are published, the card read back, models loaded from the cache, refusals."""

from __future__ import annotations

import csv
import getpass
import json
import os
import re
import shutil
import socket
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from commands import succeed
from huggingface_hub import ModelCard, constants, errors

import reparam as rp
from reparam.checkpoint import read_tensors, write_tensors
from reparam.cli.main import app, main
from reparam.hub.publishing import FILES
from reparam.hub_files import HubName

NAME, COMMIT = "me/digits-vae", "0123456789abcdef0123456789abcdef01234567"


def train(folder: Path, preset: str, data: object = "digits", **parameters: object) -> Path:
    loaded = rp.load_data(data) if isinstance(data, str) else data
    model = rp.build(preset, loaded.space, seed=0, **parameters)
    rp.fit(model, loaded, out=folder, epochs=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "vae", "vae", latent_dim=2, hidden=(8,))


@pytest.fixture(scope="module")
def published(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cards") / "vae"
    rp.write_card(run, folder, name=NAME, license="mit")
    return folder


@pytest.fixture
def cache(published, tmp_path, monkeypatch):
    """The folder as the hub's client keeps it, offline."""
    return cached(published, tmp_path, monkeypatch)


def cached(published, tmp_path, monkeypatch):
    place = tmp_path / "cache" / f"models--{NAME.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    shutil.copytree(published, place / "snapshots" / COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for module in list(sys.modules.values()):  # that took the constant as their own
        if getattr(module, "__name__", "").startswith("huggingface_hub"):
            if hasattr(module, "HF_HUB_CACHE"):
                monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return place / "snapshots" / COMMIT


def refused(monkeypatch, capsys, *words):
    """The one line by which a command is refused."""
    monkeypatch.setattr(sys, "argv", ["reparam", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    message = capsys.readouterr().err.strip()
    return " ".join(message.split())


def test_the_folder_holds_the_files_of_the_layout(published):
    assert sorted(file.name for file in published.iterdir()) == sorted(FILES)


def test_no_file_says_where_it_was_made(published, run):
    private = {str(run), str(run.parent), socket.gethostname(), str(Path.home()), "/tmp"}
    private |= {getpass.getuser()} - {"root"}  # a word that others may use
    for file in published.iterdir():
        content = file.read_bytes()
        for word in private:
            assert word.encode() not in content, (file.name, word)
    assert not list(published.glob("state*"))
    _, header = read_tensors(published / "model.safetensors")
    assert "run" not in header


def test_other_readers_of_safetensors_find_their_format(published):
    with open(published / "model.safetensors", "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        assert json.loads(file.read(size))["__metadata__"]["format"] == "pt"


def test_the_hub_reads_the_card(published):
    card = ModelCard.load(published / "README.md")
    card.data.to_dict()
    assert card.data.library_name == "reparam"
    assert card.data.license == "mit"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    found = {result.metric_type: result for result in card.data.eval_results}
    stored = json.loads((published / "scores.json").read_text())["models"]["vae"]
    for name, result in found.items():
        assert result.metric_value == stored[name]["value"]
    assert found["log_likelihood"].metric_name == "Log-likelihood ≥ (nats, test)"
    assert found["log_likelihood"].dataset_split == "test"


def test_the_card_has_no_empty_headings(published):
    lines = [line for line in (published / "README.md").read_text().splitlines() if line]
    for line, following in zip(lines, [*lines[1:], "# end"], strict=True):
        assert not (line.startswith("## ") and following.startswith("#")), line


def test_the_history_is_the_run_s(published, run):
    with open(published / "history.csv") as file:
        assert len(list(csv.DictReader(file))) == len(
            (run / "history.csv").read_text().splitlines()[1:]
        )


def snippet(card: Path) -> str:
    found = re.search(r"```python\n(.*?)```", card.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_snippet_runs_from_the_cache(cache):
    names: dict[str, object] = {}
    exec(snippet(cache / "README.md"), names)
    assert names["samples"].shape == (16, 1, 8, 8)
    assert names["again"].shape == names["x"].shape
    assert names["log_p"].shape == (8,)


def test_load_gives_the_same_weights_and_the_commit(cache, run):
    model, mine = rp.load(f"hf:{NAME}"), rp.load(run)
    for name, tensor in mine.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])
    assert model.origin == f"hf:{NAME}@{COMMIT}"
    assert rp.load(f"hf:{NAME}@{COMMIT}").origin == model.origin


def test_the_origin_is_kept_by_what_is_saved(cache, tmp_path):
    rp.save(rp.load(f"hf:{NAME}"), tmp_path / "again")
    assert rp.load(tmp_path / "again").origin == f"hf:{NAME}@{COMMIT}"


def test_only_named_files_are_fetched(cache, monkeypatch):
    asked = {}

    def snapshot(repository, **options):
        asked.update(options, repository=repository)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    rp.load(f"hf:{NAME}@v1")
    assert asked["allow_patterns"] == ["config.json", "model.safetensors"]
    assert (asked["repository"], asked["revision"]) == (NAME, "v1")


def test_commands_take_a_run_of_the_hub(cache, tmp_path):
    succeed("sample", f"hf:{NAME}", "-n", 4, "-o", tmp_path / "x.npz")
    succeed("encode", f"hf:{NAME}", "-n", 4, "-o", tmp_path / "z.npz")
    assert (tmp_path / "x.npz").exists() and (tmp_path / "z.npz").exists()


def test_a_run_of_the_hub_has_nothing_to_resume(cache, monkeypatch, capsys):
    message = refused(monkeypatch, capsys, "resume", f"hf:{NAME}")
    assert "has no state of its training on the hub" in message


def test_a_config_that_disagrees_is_refused(cache):
    file = cache / "config.json"
    content = json.loads(file.read_text())
    content["parameters"]["latent_dim"] = 3
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="disagree about its parameters"):
        rp.load(f"hf:{NAME}")


def test_no_file_of_this_machine_is_read_because_a_config_says_so(cache, monkeypatch, capsys):
    file = cache / "config.json"
    content = json.loads(file.read_text())
    content["data"]["source"]["source"] = str(file)
    file.write_text(json.dumps(content))
    message = refused(monkeypatch, capsys, "evaluate", f"hf:{NAME}")
    assert "config.json is damaged, it names" in message


def test_a_damaged_file_is_refused(cache):
    tensors, header = read_tensors(cache / "model.safetensors")
    (cache / "model.safetensors").unlink()
    write_tensors(cache / "model.safetensors", {**tensors, "more": torch.ones(1)}, header)
    with pytest.raises(ValueError, match="do not fit the model"):
        rp.load(f"hf:{NAME}")


def test_offline_it_says_what_is_missing(cache):
    (cache / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="model.safetensors|not in the cache"):
        rp.load(f"hf:{NAME}")
    with pytest.raises(ValueError, match="not in the cache, and HF_HUB_OFFLINE is set"):
        rp.load("hf:me/other")


@pytest.mark.parametrize(
    "name", ["../x", "a//b", "a", "a/b/c", "a/..", "a/b@", "a/b@../x", "-a/b", "a/b--c", "a/b.git"]
)
def test_wrong_names_are_refused_before_all_else(name, run, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    if name != "a/b@":  # an empty revision
        with pytest.raises(ValueError, match="expected"):
            rp.load(f"hf:{name}")
    with pytest.raises(ValueError, match="expected"):
        rp.push_to_hub(run, f"{name}" if name != "a/b@" else "a/b@v1")


def test_a_name_is_read_as_it_was_typed(monkeypatch, capsys):
    assert "a//b: expected" in refused(monkeypatch, capsys, "sample", "hf:a//b")


def failing(kind, status=404):
    response = type("Response", (), {"status_code": status, "headers": {}, "request": None})()
    error = kind.__new__(kind)
    Exception.__init__(error, "gone")
    error.response = response
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (failing(errors.RepositoryNotFoundError), "no such repository, or it is private"),
        (failing(errors.RevisionNotFoundError), "has no revision 'v9'"),
        (failing(errors.GatedRepoError, 403), "who asked for it"),
        (failing(errors.HfHubHTTPError, 401), "needs a token"),
        (failing(errors.HfHubHTTPError, 403), "may not do that"),
        (ConnectionError("reset by peer"), "interrupted; try again: reset by peer"),
        (errors.LocalEntryNotFoundError("no"), "cannot be reached, and is not in the cache"),
    ],
)
def test_failures_are_one_sentence(error, said, monkeypatch):
    def snapshot(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ValueError, match=said) as found:
        rp.load("hf:me/vae@v9")
    assert "\n" not in str(found.value)


class Hub:
    """The client's boundary: a repository in memory, as HfApi answers of it."""

    def __init__(self, files=None, config=None, failure=None):
        self.files, self.config, self.failure = files, config, failure
        self.made, self.uploaded, self.options = [], {}, {}

    def __call__(self, token=None):
        return self

    def list_repo_files(self, name):
        if self.files is None:
            raise failing(errors.RepositoryNotFoundError)
        return self.files

    def hf_hub_download(self, name, file):
        return str(self.config)

    def create_repo(self, name, private=False, exist_ok=False):
        self.made.append((name, private))

    def upload_folder(self, folder_path, **options):
        if self.failure:
            raise self.failure
        self.options = options
        self.uploaded = {file.name: file.read_bytes() for file in Path(folder_path).iterdir()}


@pytest.fixture
def use(monkeypatch):
    def put(hub, token="secret"):
        monkeypatch.setattr(huggingface_hub, "HfApi", hub)
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: token)
        return hub

    return put


def test_push_uploads_the_files_of_write_card(run, published, use, tmp_path):
    hub = use(Hub())
    assert rp.push_to_hub(run, NAME, license="mit", private=True).endswith(NAME)
    assert hub.made == [(NAME, True)]
    assert hub.uploaded.keys() == set(FILES)
    for file in ("config.json", "history.csv", *FILES[-3:]):
        assert hub.uploaded[file] == (published / file).read_bytes(), file
    (tmp_path / "model.safetensors").write_bytes(hub.uploaded["model.safetensors"])
    uploaded, written = (rp.load(folder) for folder in (tmp_path, published))
    for name, tensor in written.state_dict().items():  # its header's entries have no fixed order
        assert torch.equal(uploaded.state_dict()[name], tensor)
    assert hub.options["allow_patterns"] == list(FILES)


def test_push_replaces_the_same_model_and_no_other(run, published, use, tmp_path):
    hub = use(Hub(["config.json"], published / "config.json"))
    rp.push_to_hub(run, NAME)
    assert hub.uploaded
    content = json.loads((published / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | {"preset": "ae"}))
    for hub in (Hub(["config.json"], tmp_path / "config.json"), Hub(["pytorch_model.bin"])):
        use(hub)
        with pytest.raises(ValueError, match="holds another model"):
            rp.push_to_hub(run, NAME)
        assert not hub.made and not hub.uploaded
        rp.push_to_hub(run, NAME, force=True)
        assert hub.uploaded


def test_push_needs_a_token_and_the_right_to_write(run, use, monkeypatch, capsys):
    use(Hub(), token=None)
    assert "needs a token to write" in refused(monkeypatch, capsys, "push", run, NAME)
    use(Hub(failure=failing(errors.HfHubHTTPError, 403)))
    with pytest.raises(ValueError, match="may not do that"):
        rp.push_to_hub(run, NAME)


def test_a_taken_folder_is_refused(run, published, monkeypatch, capsys):
    before = (published / "README.md").read_bytes()
    assert "exists already" in refused(monkeypatch, capsys, "card", run, "-o", published)
    assert "holds a run" in refused(monkeypatch, capsys, "card", run, "-o", run)
    assert (published / "README.md").read_bytes() == before


def test_bad_licenses_are_refused(run, tmp_path):
    with pytest.raises(ValueError, match="license: expected"):
        rp.write_card(run, tmp_path / "x", license="MIT License\n---")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of one's own, in a folder whose name is nobody's business."""
    file = tmp_path_factory.mktemp("secret") / "my_rows.csv"
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).tolist()
    rows = ["height,width,kind"] + [f"{a:.4f},{b:.4f},{'ab'[c > 0]}" for a, b, c in x]
    file.write_text("\n".join(rows) + "\n")
    return file


@pytest.fixture(scope="module")
def own_card(table, tmp_path_factory):
    place = tmp_path_factory.mktemp("own")
    data = rp.load_data(table, label="kind")
    rp.write_card(train(place / "run", "pca", data, latent_dim=1), place / "card", name=NAME)
    return place / "card"


def test_own_data_are_a_placeholder(own_card, table):
    for file in own_card.iterdir():
        assert table.parent.name.encode() not in file.read_bytes(), file
        assert b"/tmp" not in file.read_bytes(), file
    text = (own_card / "README.md").read_text()
    assert "reparam fit pca DATA latent_dim=1 --label kind" in text
    source = json.loads((own_card / "config.json").read_text())["data"]["source"]
    assert source["label"] == "kind" and "source" not in source


def test_own_data_are_given_and_compared(own_card, table, tmp_path, monkeypatch, capsys):
    cached(own_card, tmp_path, monkeypatch)
    exec(snippet(own_card / "README.md"), {})
    message = refused(monkeypatch, capsys, "evaluate", f"hf:{NAME}")
    assert "its data are not on the hub; name a file of them with --data" in message
    succeed("evaluate", f"hf:{NAME}", "--data", table)
    other = tmp_path / "other.csv"
    other.write_text(table.read_text() + "1.0,2.0,a\n")
    message = refused(monkeypatch, capsys, "evaluate", f"hf:{NAME}", "--data", other)
    assert "is not what the run was trained on" in message


@pytest.mark.parametrize(
    ("preset", "files", "said"),
    [
        ("ae", {"reconstructions.png", "latent.png"}, "It has no likelihood"),
        ("pca", {"samples.png", "reconstructions.png", "latent.png"}, "a lower bound"),
        ("made", {"samples.png"}, "It has no codes of given x"),
    ],
)
def test_a_model_has_the_pictures_and_limits_of_what_it_is(preset, files, said, tmp_path):
    card = rp.write_card(train(tmp_path / "run", preset), tmp_path / "card")
    assert {file.name for file in card.parent.glob("*.png")} == files
    text = card.read_text()
    assert all((f"]({file})" in text) == (file in files) for file in FILES[-3:])
    assert said in text
    here = Path.cwd()
    os.chdir(card.parent)
    try:
        exec(snippet(card), {})
    finally:
        os.chdir(here)


def test_the_command_of_the_card_is_one(published, own_card):
    for folder in (published, own_card):
        text = (folder / "README.md").read_text()
        words = re.findall(r"^reparam (fit .*)$", text, re.MULTILINE)
        assert len(words) == 1
        app.parse_args(words[0], print_error=False, exit_on_error=False)


def test_names_are_written_as_they_are_read():
    for text in ("hf:me/vae", "hf:me/vae@v1", "hf:me/vae@refs/pr/1"):
        assert str(HubName.parse(text)) == text
