"""The command line: what it writes, and one clear sentence with exit code 2 for bad input."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from conftest import TINY
from PIL import Image

import s2id
from s2id.cli import commands
from s2id.cli.main import main
from s2id.cli.options import parse_seeds, suffix
from s2id.evaluation.judge import Judge
from s2id.media.images import read
from s2id.network.settings import ModelConfig
from s2id.sampling.model import S2ID, load
from s2id.sampling.settings import Card
from s2id.settings import parse_size


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small model that was never trained: its pictures are noise, and as good as any for files and names."""
    torch.manual_seed(0)
    config = ModelConfig(width=16, heads=2, encoder_blocks=1, decoder_blocks=1, patch=2, lattice=2, head_width=8)
    model = S2ID(config, Card("noise", 8, tuple("0123456789")))
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    model.save(path)
    return path


def picture_size(path):
    with Image.open(path) as image:
        return image.size


def run(capsys, *words):
    code = main([str(w) for w in words])
    return code, *capsys.readouterr()


def refused(capsys, *words):
    """The sentence of a refusal: one line, exit code 2."""
    code, _, err = run(capsys, *words)
    assert code == 2
    assert err.startswith("s2id: ") and err.count("\n") == 1, err
    return err


def test_files_carry_label_seed_and_size(weights, tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    code, said, _ = run(
        capsys, "sample", weights, "--label", "7", "--seed", 3, "--size", "32x18", "--size", "8x8", "--steps", 2,
        "--out", out, "--fields",
    )  # fmt: skip
    assert code == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "label7-seed3-32x18.png", "label7-seed3-8x8.png", "label7-seed3.safetensors",
    ]  # fmt: skip
    assert picture_size(out / "label7-seed3-32x18.png") == (18, 32)
    assert all(p.name in said for p in out.iterdir())


def test_all_labels_and_seeds_make_one_sheet(weights, tmp_path, capsys):
    words = ("--label", "all", "--seed", "0-2", "--grid", "--steps", 2, "--out", tmp_path)
    assert run(capsys, "sample", weights, *words)[0] == 0
    assert picture_size(tmp_path / "grid-8x8.png") == (6 * 99 - 3, 5 * 116 - 3)  # tiles of 96 pixels, captions of 17


def test_a_picture_does_not_depend_on_what_is_drawn_beside_it(weights, tmp_path, capsys):
    for name, words in {"many": ("--label", "all", "--seed", "0-4"), "one": ("--label", "4", "--seed", "3")}.items():
        assert run(capsys, "sample", weights, *words, "--steps", 3, "--out", tmp_path / name)[0] == 0
    many, one = (read(tmp_path / n / "label4-seed3-8x8.png").int() for n in ("many", "one"))
    assert (many - one).abs().max() <= 1


def test_a_field_file_is_rendered_without_its_model(weights, tmp_path, capsys):
    run(capsys, "sample", weights, "--label", 2, "--size", "40x40", "--steps", 2, "--out", tmp_path, "--fields")
    field = tmp_path / "label2-seed0.safetensors"
    code, said, _ = run(capsys, "render", field, "--size", "40x40", "--out", tmp_path / "again")
    assert code == 0 and "label2-seed0-40x40.png" in said
    a, b = (p / "label2-seed0-40x40.png" for p in (tmp_path, tmp_path / "again"))
    assert a.read_bytes() == b.read_bytes()
    assert run(capsys, "render", field, "--size", "9x9", "--window", "0.25,0.25,0.5,0.5")[0] == 0
    assert (tmp_path / "label2-seed0-9x9-window0.25_0.25_0.5_0.5.png").is_file()
    assert "NUL" in refused(capsys, "render", field, "--size", "9", "--out", f"{tmp_path}/a\0b")


def test_only_the_pictures_that_are_named_are_written_with_the_values_that_they_have_among_all(
    weights, tmp_path, capsys
):
    words = ("sample", weights, "--label", "2,5", "--seed", "0-1", "--steps", 1, "--set", "batch=3", "--out")
    assert run(capsys, *words, tmp_path / "all")[0] == 0
    assert run(capsys, *words, tmp_path / "few", "--set", "only=1,3")[0] == 0
    few = {path.name: path.read_bytes() for path in (tmp_path / "few").iterdir()}
    assert {*few} == {"label2-seed1-8x8.png", "label5-seed1-8x8.png"}
    assert few == {name: (tmp_path / "all" / name).read_bytes() for name in few}
    assert "only names picture 4 and there are 4" in refused(capsys, *words, tmp_path / "no", "--set", "only=4")
    assert not (tmp_path / "no").exists()


def test_more_pixels_than_are_allowed_are_refused_by_both_commands_that_draw(weights, tmp_path, capsys):
    draw = ("sample", weights, "--label", 2, "--steps", 1, "--size", "10x10", "--out", tmp_path)
    assert "has 100 pixels and the limit is 99;" in refused(capsys, *draw, "--set", "max-pixels=99")
    assert run(capsys, *draw, "--set", "max-pixels=100", "--fields")[0] == 0
    again = ("render", tmp_path / "label2-seed0.safetensors", "--size", "10x10", "--out", tmp_path / "again")
    assert "has 100 pixels and the limit is 99;" in refused(capsys, *again, "--max-pixels", 99)
    assert run(capsys, *again, "--max-pixels", 100)[0] == 0
    assert "render needs a size; give --size" in refused(capsys, *again[:2])


def test_a_window_without_a_size_has_its_own_aspect_at_the_long_side_of_the_training_pictures(
    weights, tmp_path, capsys
):
    words = ("sample", weights, "--label", 2, "--steps", 1, "--window", "0,0.25,1,0.75", "--out", tmp_path)
    assert run(capsys, *words)[0] == 0
    assert picture_size(tmp_path / "label2-seed0-8x4-window0_0.25_1_0.75.png") == (4, 8)


def test_different_windows_have_different_names():
    windows = [(0.0, 0.0, 1.0, 0.5), (0.0, 0.0, 1.0, 0.50000001), (1e-9, 0.0, 1.0, 0.5), (0.0, 0.0, 1.0, 0.1 + 0.2)]
    names = [suffix((9, 9), window) for window in windows]
    assert names[0] == "9x9-window0_0_1_0.5" and len(set(names)) == len(names)


def test_what_is_no_file_of_a_model_or_field_is_said(tmp_path, capsys):
    for command, said in {"sample": "without a model in it", "render": "is a folder"}.items():
        size = ("--size", 9, "--out", tmp_path)
        assert said in refused(capsys, command, tmp_path, *size)
        assert "empty" in refused(capsys, command, "", *size)
        if os.path.exists(os.devnull) and os.name == "posix":
            assert "no ordinary file" in refused(capsys, command, os.devnull, *size)


def test_info_says_what_weights_are(weights, capsys):
    code, said, _ = run(capsys, "info", weights)
    facts = json.loads(said)
    assert code == 0
    assert facts["card"]["density"] == 8 and facts["config"]["width"] == 16 and len(facts["sha256"]) == 64


@pytest.mark.parametrize("size", ["1x1", "1x4096"])
def test_thin_and_tiny_pictures_work(weights, tmp_path, capsys, size):
    assert run(capsys, "sample", weights, "--label", 1, "--size", size, "--steps", 1, "--out", tmp_path)[0] == 0
    assert picture_size(tmp_path / f"label1-seed0-{size}.png") == parse_size(size)[::-1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--size", "0x5"], "size 0x5 is empty"),
        (["--size=-5x5"], "'-5x5' is not HEIGHTxWIDTH"),
        (["--size", "big"], "'big' is not HEIGHTxWIDTH"),
        (["--size", "100000x100000"], "limit is 134,217,728; choose a smaller size or raise max_pixels"),
        (["--label", "10"], "label '10' is none of this model's; choose one of 0, 1"),
        (["--label", "cat"], "label 'cat' is none of this model's"),
        (["--window", "0.5,0.5,0.2,0.9"], "is no region of the frame"),
        (["--window", "0,0,1,1.5"], "is no region of the frame"),
        (["--window", "nan,0,1,1"], "is no region of the frame"),
        (["--window", "left"], "window 'left' is not top,left,bottom,right"),
        (["--seed", "9-3"], "seed '9-3' has a range that falls"),
        (["--seed", "1,,2"], "seed '1,,2' is no number, range or list"),
        (["--steps", "0"], "steps is 0"),
        (["--guidance", "nan"], "guidance is nan; it must be a number"),
        (["--set", "density=200000"], "density is 200000; it must be a whole number, at least 1 and at most"),
        (["--sampler", "heun", "--set", "eta=1"], "eta 1 works with the samplers ddim and dpmpp"),
        (["--set", "guidance-interval=0.7,0.2"], "guidance_interval is 0.7 to 0.2; give two times"),
        (["--sampler", "ddim", "--set", "eta=2"], "eta is 2; it must be a number, at least 0 and at most 1"),
        (["--set", "etta=1"], "there is no setting 'etta'; did you mean eta?"),
        (["--set", "eta=much"], "--set eta takes a number, at least 0 and at most 1, not 'much'; its default is 0"),
        (["--set", "steps=2"], "steps is a flag of this command; write --steps"),
        (["--set", "restarts=2"], "there is no setting 'restarts'"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(weights, tmp_path, capsys, words, sentence):
    out = tmp_path / "out"
    asked = [] if words[0] == "--label" else ["--label", "1"]
    assert sentence in refused(capsys, "sample", weights, *asked, "--out", out, *words)
    assert not list(out.glob("*.png"))


def test_an_unwritable_folder_is_refused(weights, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in refused(capsys, "sample", weights, "--out", tmp_path / "file" / "below")


def test_unknown_weights_are_refused_with_a_suggestion(capsys):
    assert "did you mean mnist?" in refused(capsys, "sample", "mnit", "--label", "1")
    assert "no such file" in refused(capsys, "info", "nowhere/model.safetensors")


def test_pickles_are_refused_unread(tmp_path, capsys):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was loaded",))

    # whole phrases: this test's own folder holds the word
    for name, said in {
        "model.pt": "may be a pickle, and",
        "renamed.safetensors": "is a pickle, which runs code",
    }.items():
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        assert said in refused(capsys, "info", tmp_path / name)


def test_truncated_and_altered_weights_are_refused(weights, tmp_path, capsys):
    raw = weights.read_bytes()
    (tmp_path / "short.safetensors").write_bytes(raw[:-100])
    assert "is no complete .safetensors file" in refused(capsys, "info", tmp_path / "short.safetensors")
    changed = bytearray(raw)
    changed[-1] ^= 1
    (tmp_path / "changed.safetensors").write_bytes(changed)
    assert "was altered" in refused(capsys, "info", tmp_path / "changed.safetensors")


def test_weights_are_no_field_and_a_field_is_no_weights(weights, tmp_path, capsys):
    assert "has format 's2id-model-1', not 's2id-field-1'" in refused(capsys, "render", weights, "--size", "8x8")
    run(capsys, "sample", weights, "--label", 1, "--steps", 1, "--fields", "--out", tmp_path)
    assert "has format 's2id-field-1'" in refused(capsys, "info", tmp_path / "label1-seed0.safetensors")


def test_unknown_presets_are_refused_with_a_suggestion(capsys):
    assert "there is no preset 'minst'; did you mean mnist?" in refused(capsys, "train", "minst")
    assert "train needs a preset" in refused(capsys, "train")


def test_missing_data_names_the_files_to_bring(tmp_path, capsys):
    said = refused(capsys, "train", "mnist", "--data", tmp_path, "--out", tmp_path / "run")
    assert "train-images-idx3-ubyte.gz" in said


def test_a_dry_run_prints_the_run_and_what_the_data_decide(tmp_path, capsys):
    folder = pixel_pictures(tmp_path / "data")
    words = ["train", "folder", "--data", folder, "--dry-run", "--minutes", 3, "--set", "width=48"]
    words += ["--set", "workers=0", "--out"]
    code, said, _ = run(capsys, *words, tmp_path / "r")
    resolved = json.loads(said)
    assert code == 0 and not (tmp_path / "r").exists()
    assert resolved["train"]["minutes"] == 3 and resolved["model"]["width"] == 48 and resolved["preset"] == "folder"
    assert resolved["model"]["channels"] == 3 and resolved["model"]["classes"] == 2
    assert resolved["data"]["classes"] == {"cat": 3, "dog": 5} and resolved["data"]["sizes"] == {"16x16": 8}
    assert resolved["looks like pixel art"] is True
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(capsys, *words, tmp_path / "file" / "r")
    assert "both sides need 20" in refused(capsys, *words, tmp_path / "r", "--set", "patch=20")
    assert "no checkpoint to resume" in refused(capsys, *words, tmp_path / "r", "--resume", "latest")


def pixel_pictures(folder):
    """A folder of 8 pictures of flat squares, in two classes."""
    for i in range(8):
        path = folder / ("cat" if i < 3 else "dog") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGB", (16, 16), (255, 255, 255))
        picture.paste((30 * i, 9, 90), (i, 4, i + 7, 9))
        picture.save(path)
    return folder


def test_pixel_art_is_offered_as_squares(tmp_path, capsys):
    words = ["--data", pixel_pictures(tmp_path / "data"), "--out", tmp_path / "r", "--device", "cpu", "--images", 8]
    small = ("width=16", "heads=2", "density-weights=1", "lattice=2", "workers=0")
    code, said, _ = run(capsys, "train", "folder", *words, "--batch", 4, "--densities", 16,
                        *(word for text in small for word in ("--set", text)))  # fmt: skip
    assert code == 0 and "look like pixel art" in said and "--look squares" in said
    card = json.loads(run(capsys, "info", tmp_path / "r")[1])["card"]
    assert len(card["palette"]) == 9 and "#ffffff" in card["palette"]
    draw = ("sample", tmp_path / "r", "--label", "dog", "--steps", 1, "--size", "64", "--fields", "--out", tmp_path)
    assert run(capsys, *draw, "--look", "palette")[0] == 0
    picture = read(tmp_path / "label1-dog-seed0-64x64-palette.png")
    assert torch.equal(picture, picture[:, ::4, ::4].repeat_interleave(4, 1).repeat_interleave(4, 2))
    assert {f"#{bytes(c).hex()}" for c in picture.flatten(1).T.tolist()} <= set(card["palette"])
    field = tmp_path / "label1-dog-seed0.safetensors"
    assert run(capsys, "render", field, "--size", "64", "--look", "palette", "--out", tmp_path / "again")[0] == 0
    again = tmp_path / "again" / "label1-dog-seed0-64x64-palette.png"
    assert torch.equal(read(again), picture)


def test_without_a_label_a_seed_draws_one_class_by_chance(weights, tmp_path, capsys):
    for out in ("one", "again"):
        assert run(capsys, "sample", weights, "--steps", 1, "--out", tmp_path / out)[0] == 0
    (name,) = (path.name for path in (tmp_path / "one").iterdir())
    assert name.startswith("label") and [path.name for path in (tmp_path / "again").iterdir()] == [name]
    assert run(capsys, "sample", weights, "--steps", 1, "--seed", "0-19", "--out", tmp_path / "many")[0] == 0
    names = {path.name for path in (tmp_path / "many").iterdir()}
    assert name in names and len(names) == 20 and len({name.split("-")[0] for name in names}) > 5
    assert run(capsys, "sample", weights, "--label", "all", "--steps", 1, "--out", tmp_path / "all")[0] == 0
    assert len(list((tmp_path / "all").iterdir())) == 10


def test_classes_whose_names_look_alike_have_files_of_their_own(tmp_path, capsys):
    names = ("Cat", "cat", "a/b", "a_b", "CON", "x" * 300, "  ", "../..", "1", "grün")
    card = Card("noise", 8, names, size=(8, 6))
    S2ID(TINY, card).eval().save(tmp_path / "odd.safetensors")
    words = ("--label", "all", "--steps", 1, "--size", "12", "--fields", "--out", tmp_path / "out")
    assert run(capsys, "sample", tmp_path / "odd.safetensors", *words)[0] == 0
    files = [path.name for path in (tmp_path / "out").iterdir()]
    assert len({name.lower() for name in files}) == 20 and max(map(len, files)) < 100
    assert {"label0-Cat-seed0-12x9.png", "label1-cat-seed0-12x9.png"} <= set(files)


def test_a_preset_trains_to_a_model_that_samples(tmp_path, capsys):
    out = tmp_path / "run"
    code, said, _ = run(capsys, "train", "tiny", "--device", "cpu", "--images", 64, "--out", out)
    assert code == 0 and "1437 grey images" in said and str(out / "model") in said
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["images_seen"] for line in lines] == [16, 32, 48, 64]
    assert picture_size(next((out / "samples").iterdir())) == (8 * 99 - 3, 10 * 116 - 3)
    assert run(capsys, "sample", out, "--label", 3, "--steps", 2, "--out", tmp_path / "drawn")[0] == 0
    assert "already holds a run" in refused(capsys, "train", "tiny", "--device", "cpu", "--images", 64, "--out", out)
    again = run(capsys, "train", "tiny", "--device", "cpu", "--images", 64, "--out", out, "--resume", "latest")
    assert again[0] == 0 and "is finished and is not trained further" in again[1] and "--extra-minutes 5" in again[1]


@pytest.fixture
def digits_model(tmp_path):
    card = Card("digits", 8, tuple("0123456789"), size=(8, 8))
    S2ID(TINY, card).eval().save(tmp_path / "digits.safetensors")
    Judge("digits", (8, 8), 1, 10, (4, 4, 8, 8, 16)).eval().save(tmp_path / "judge.safetensors")
    return tmp_path / "digits.safetensors"


def test_evaluate_writes_its_table_and_curves(digits_model, tmp_path, capsys):
    words = ["evaluate", digits_model, "--judge", tmp_path / "judge.safetensors", "--count", 40, "--detail", 2]
    code, said, _ = run(capsys, *words, "--steps", 1, "--size", "8", "--size", "16x12", "--out", tmp_path / "out")
    assert code == 0 and "| training set |" in said and "16x12" in said
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert [row["size"] for row in table["rows"]] == ["training set", "8x8", "16x12", "samples", "reconstructions"]
    assert table["facts"]["n"] == 40 and len(table["facts"]["judge sha256"]) == 64
    assert (tmp_path / "out" / "table.md").read_text().strip() in said and picture_size(tmp_path / "out" / "curves.png")
    code, said, _ = run(capsys, *words, "--steps", 1, "--size", "8x8", "--set", "density=6", "--out", tmp_path / "out")
    assert code == 0 and "density 6, detail density 0" in said


def test_evaluate_with_an_unknown_judge_or_impossible_sizes_is_refused(digits_model, weights, capsys):
    assert "there is no judge 'digits'" in refused(capsys, "evaluate", digits_model, "--judge", "digits")
    assert "too small to judge" in refused(capsys, "evaluate", digits_model, "--size", "1x9")
    assert "size 2x2 is too small to judge" in refused(capsys, "evaluate", digits_model, "--size", "2")
    assert "no size to judge" in refused(capsys, "evaluate", digits_model, "--quick", "--size", "900x900")


def test_a_label_is_refused_where_there_are_no_classes(tmp_path, capsys):
    S2ID(replace(TINY, classes=0), Card("noise", 8)).eval().save(tmp_path / "faces.safetensors")
    words = ["sample", tmp_path / "faces.safetensors", "--size", "8x8", "--steps", 1, "--out", tmp_path / "out"]
    assert "it has no classes" in refused(capsys, *words, "--label", "7")
    assert run(capsys, *words)[0] == 0


def test_an_interrupt_is_no_traceback(monkeypatch, capsys):
    def stopped(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "parse", stopped)
    assert main(["sample"]) == 130 and "s2id: stopped" in capsys.readouterr().err


def test_t_scrape_writes_its_curve(digits_model, tmp_path, capsys):
    code, said, _ = run(capsys, "t-scrape", digits_model, "--points", 3, "--batch", 5, "--out", tmp_path / "out")
    curve = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert code == 0 and f"{curve['loss']:.5f}" in said and "published" not in said and len(curve["points"]) == 3


def test_pictures_in_folders_train(tmp_path, capsys):
    for i in range(6):
        folder = tmp_path / "data" / ("cat" if i % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + i % 3, 16), (40 * i, 99, 9)).save(folder / f"{i}.png")
    (tmp_path / "data" / "cat" / "broken.png").write_bytes(b"")
    words = [
        "train",
        "folder",
        "--data",
        tmp_path / "data",
        "--device",
        "cpu",
        "--images",
        8,
        "--batch",
        4,
        "--densities",
        16,
    ]
    changed = ("tensorboard=true", "density-weights=1", "width=16", "heads=2")
    small = [*(word for text in changed for word in ("--set", text)), "--out", tmp_path / "run"]
    code, said, _ = run(capsys, *words, *small)
    assert code == 0
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert "6 RGB images" in said and "skipped: " in said and "broken.png" in said
    assert run(capsys, "sample", tmp_path / "run" / "model", "--label", "cat", "--steps", 1, "--out", tmp_path)[0] == 0
    assert (tmp_path / "label0-cat-seed0-16x21.png").is_file()  # as many of 20 and 22, found later


def test_help_does_not_import_torch():
    script = (
        "import sys, s2id.cli.main\ntry: s2id.cli.main.main(['train', 'mnist', '--help'])\nexcept SystemExit: pass\n"
    )
    check = script + "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


def test_unknown_flags_exit_with_2(capsys):
    assert main(["sample", "--no-such-flag"]) == 2
    assert "sample has no flag --no-such-flag" in capsys.readouterr().err


def test_seed_lists_and_ranges_parse():
    assert parse_seeds("5") == [5] and parse_seeds("0-3,9") == [0, 1, 2, 3, 9]


def test_training_begins_with_given_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = ["--images", "32", "--device", "cpu", "--set", "sample-minutes=0"]
    assert main(["train", "tiny", *tiny, "--out", "first"]) == 0
    assert main(["train", "tiny", *tiny, "--init", "first/model", "--lr", "1e-9", "--out", "second"]) == 0
    first, second = (load(tmp_path / name / "model") for name in ("first", "second"))
    torch.testing.assert_close(second.network.state_dict(), first.network.state_dict(), rtol=0, atol=1e-3)
    assert second.card.images_seen == first.card.images_seen + 32


def test_training_from_a_model_has_its_network_but_for_settings_that_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny = ["--images", "32", "--device", "cpu", "--set", "sample-minutes=0"]
    assert main(["train", "tiny", *tiny, "--set", "width=32", "--set", "heads=2", "--out", "first"]) == 0
    assert main(["train", "tiny", *tiny, "--init", "first/model", "--out", "second"]) == 0
    first, second = (load(tmp_path / name / "model") for name in ("first", "second"))
    assert second.config == first.config and first.config.width == 32
    capsys.readouterr()
    named = [*tiny, "--init", "first/model", "--set", "film-width=24", "--out", "third"]
    assert main(["train", "tiny", *named]) == 2
    assert "the model to begin with is another network" in capsys.readouterr().err


def test_the_program_says_its_version(capsys):
    assert run(capsys, "--version")[:2] == (0, f"s2id {s2id.__version__}\n")


def test_a_guide_is_given_to_a_model(weights, tmp_path, capsys):
    model = load(weights)
    S2ID(replace(model.config, width=8), model.card).save(tmp_path / "weaker.safetensors")
    words = ("guide", weights, tmp_path / "weaker.safetensors", "--autoguidance", 1.5, "--out", tmp_path / "both")
    words = (*words, "--detail-density", 12, "--detail-time", 0.5)
    code, said, _ = run(capsys, *words)
    assert code == 0 and str(tmp_path / "both" / "model.safetensors") in said
    _, said, _ = run(capsys, "info", tmp_path / "both")
    facts = json.loads(said)
    assert facts["guide"]["width"] == 8 and facts["card"]["autoguidance"] == 1.5
    assert (facts["card"]["detail_density"], facts["card"]["detail_time"]) == (12, 0.5)
    assert facts["parameters"] > facts["parameters of the guide"] > 0
    looks = []
    for weight in (None, 1, 1.5):
        out = tmp_path / f"at-{weight}"
        told = () if weight is None else ("--autoguidance", weight)
        code, _, _ = run(capsys, "sample", tmp_path / "both", "--label", 3, "--steps", 2, *told, "--out", out)
        assert code == 0
        looks.append((out / "label3-seed0-8x8.png").read_bytes())
    assert looks[0] == looks[2] != looks[1]
    own = (tmp_path / "both" / "model.safetensors").read_bytes()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for taken in ("both", "run"):
        assert "already holds a model or a training run" in refused(capsys, *words[:6], tmp_path / taken)
    assert (tmp_path / "both" / "model.safetensors").read_bytes() == own
    assert "no guide" in refused(capsys, "sample", weights, "--label", 3, "--autoguidance", 2, "--out", tmp_path)
    other = S2ID(replace(model.config, classes=3), replace(model.card, labels=tuple("abc")))
    other.save(tmp_path / "other.safetensors")
    assert "classes 3" in refused(capsys, "guide", weights, tmp_path / "other.safetensors", "--out", tmp_path / "no")
    alone = ("guide", weights, tmp_path / "weaker.safetensors", "--detail-time", 0.5, "--out", tmp_path / "no")
    assert "--detail-density" in refused(capsys, *alone)
    assert not (tmp_path / "no").exists()


@pytest.mark.skipif(os.name != "posix", reason="pipes of another kind")
@pytest.mark.parametrize("words", [["--help"], ["train", "mnist", "--help"], ["info", "mnist"]])
def test_a_reader_who_has_enough_is_no_error(words):
    """As in `s2id --help | head -1`: the pipe is closed before anything is written to it."""
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run([sys.executable, "-m", "s2id", *words], stdout=writes, stderr=subprocess.PIPE, timeout=120)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, b"")
