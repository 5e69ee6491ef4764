"""reparam evaluate --coded: the length of a file, how it came about, and why there is none."""

import json

from reparam.evaluation.file_length import CODED


def test_a_file_is_measured_where_it_is_asked_for(reparam, runs, tmp_path):
    path = tmp_path / "scores.json"
    code, said, errors = reparam(
        "evaluate", runs / "vae", "--coded", "--samples", 2, "--json", path
    )
    assert code == 0
    (line,) = (line for line in said.splitlines() if CODED in line)
    assert "file" in line and "bits" in line
    told = " ".join((errors + said).split())
    assert "rows by bits-back coding" in told and "are expected" in told
    ((_, scores),) = json.loads(path.read_text())["models"].items()
    assert scores[CODED]["kind"] == "file" and len(scores[CODED]["notes"]) == 3


def test_what_makes_no_file_says_why(reparam, runs):
    code, said, errors = reparam("evaluate", runs / "ae", "--coded")
    assert code == 0 and CODED not in said.split("No file")[0]
    assert "No file: ae: has no likelihood" in " ".join((errors + said).split())


def test_an_unasked_file_is_not_spoken_of(reparam, runs):
    code, said, errors = reparam("evaluate", runs / "ae")
    assert code == 0 and "file" not in said + errors
