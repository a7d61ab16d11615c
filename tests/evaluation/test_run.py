"""An evaluation and a t-scrape find data and judge by themselves, and say what they measured."""

import json

import pytest
import torch
from conftest import TINY, enliven

from s2id.errors import InputError
from s2id.evaluation.judge import Judge
from s2id.evaluation.run import evaluate_model, t_scrape_model
from s2id.evaluation.settings import EvaluateConfig
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card


@pytest.fixture
def model():
    card = Card(data="digits", density=8, labels=tuple("0123456789"), size=(8, 8))
    made = S2ID(TINY, card).eval().requires_grad_(False)
    enliven(made)
    return made


def test_an_evaluation_grows_by_a_row_and_says_what_was_measured(model, tmp_path):
    torch.manual_seed(0)
    Judge("digits", (8, 8), 1, 10, (4, 4, 8, 8, 16), accuracy=0.25).save(tmp_path / "judge.safetensors")
    config = EvaluateConfig(sizes=((8, 8), (16, 16)), count=40, detail=2)
    reports = list(evaluate_model(model, judge=tmp_path / "judge.safetensors", config=config))
    assert [len(report.rows) for report in reports] == [1, 2, 3, 4, 5]
    facts = reports[-1].facts
    assert (facts["weights"], facts["data"], facts["n"], facts["density"]) == ("this model", "digits", 40, 8)
    assert facts["judge right on the test set"] == 0.25 and "test set" not in facts
    written = reports[-1].write(tmp_path)
    assert [path.name for path in written] == ["table.md", "table.json"]
    assert json.loads(written[1].read_text())["facts"] == facts


def test_data_without_a_judge_are_measured_by_themselves(model):
    *_, report = evaluate_model(model, config=EvaluateConfig(sizes=((16, 16),), detail=3))
    assert report.facts["judge"] == "none" and report.facts["n"] == 3
    assert [row.size for row in report.rows] == ["16x16", "samples", "reconstructions"]
    assert report.rows[0].agreement.psnr > 50 and report.rows[0].detail.render_seconds > 0
    assert report.rows[2].evenness.width_error > 0
    assert "right class" not in report.markdown()
    with pytest.raises(InputError, match="there is no judge 'other'"):
        evaluate_model(model, judge="other")


def test_a_t_scrape_grows_by_a_point_and_its_file_holds_them_all(model, tmp_path):
    curves = list(t_scrape_model(model, points=2, batch=4))
    assert [len(curve.points) for curve in curves] == [1, 2]
    curves[-1].write(tmp_path / "curve.json")
    said = json.loads((tmp_path / "curve.json").read_text())
    assert said["loss"] == curves[-1].loss and said["density"] == 8 and len(said["points"]) == 2
    assert "published" not in curves[-1].summary()
