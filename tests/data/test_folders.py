"""Folders of pictures: what metadata says, what malformed rows are told, what is cached, and training from it all."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import trained
from PIL import Image

import s2id
from s2id.cli.main import main
from s2id.condition import Condition
from s2id.coords import trained_size
from s2id.data import cache, decoding
from s2id.data.metadata import read_celeba, read_metadata
from s2id.data.pictures import Group, Pictures, batch_at, with_tokens
from s2id.data.registry import load_pictures
from s2id.data.table import Column, table
from s2id.diffusion.process import Schedule
from s2id.errors import InputError
from s2id.media.images import capped
from s2id.shapes import NULL
from s2id.training.batches import draw, hide
from s2id.training.presets import PRESETS
from s2id.training.run import checkpoints
from s2id.training.settings import TrainConfig
from s2id.training.trainer import Trainer

TABLE = """file_name,smiling,hat,left_handed,age,label,text
a.png,true,1,-1,20,cat,a cat
deep/b.png,false,0,1,60,dog,"a dog, asleep"
c.png,,,0,,,
"""


def picture(path: Path, size=(8, 8), mode="RGB", shade=99) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (size[1], size[0]), shade if mode == "L" else (shade, 9, 199)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Three pictures that the table names, and one that it does not."""
    root = tmp_path / "pictures"
    for name in ("a.png", "deep/b.png", "c.png", "unnamed.png"):
        picture(root / name)
    (root / "metadata.csv").write_text(TABLE)
    return root


def known_of(pictures):
    (group,) = pictures.groups
    return group.condition(torch.arange(len(group.labels)))


def test_metadata_is_classes_attributes_numbers_and_texts(folder):
    pictures = s2id.pictures(folder)
    known = known_of(pictures)  # files in order: a, c, deep/b, unnamed
    assert pictures.labels == ("cat", "dog") and known.label.tolist() == [0, NULL, 1, NULL]
    assert pictures.attributes == ("smiling", "hat", "left_handed")
    assert known.attributes.tolist() == [[1, 1, -1], [0, 0, 0], [-1, -1, 1], [0, 0, 0]]
    assert pictures.numbers == ("age",) and pictures.number_ranges == ((20.0, 60.0),)
    assert known.numbers.nan_to_num(9.0).flatten().tolist() == [-1.0, 9.0, 1.0, 9.0]
    assert pictures.groups[0].texts == ("a cat", "", "a dog, asleep", "")
    assert "4 RGB images (4 of 8x8), 2 classes, 3 attributes, 1 numbers" in str(pictures)


def test_json_lines_say_the_same(folder):
    by_csv = known_of(s2id.pictures(folder))
    rows = [
        {"file_name": "a.png", "smiling": True, "hat": 1, "left_handed": -1, "age": 20, "label": "cat"},
        {"file_name": "deep/b.png", "smiling": False, "hat": 0, "left_handed": 1, "age": 60.0, "label": "dog"},
        {"file_name": "c.png", "left_handed": 0, "age": None},
    ]
    (folder / "metadata.csv").unlink()
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    by_json = known_of(s2id.pictures(folder))
    assert torch.equal(by_csv.label, by_json.label) and torch.equal(by_csv.attributes, by_json.attributes)
    assert torch.equal(by_csv.numbers.nan_to_num(9.0), by_json.numbers.nan_to_num(9.0))


def test_classes_that_are_numbers_keep_their_order(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,label\n" + "".join(f"{i}.png,{i}\n" for i in range(12)))
    assert read_metadata(tmp_path / "metadata.csv").classes == tuple(map(str, range(12)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,smiling\na.png,1\n", "needs a header with a column file_name"),
        ("", "needs a header"),
        ("file_name,a,a\nx.png,1,1\n", "has the column a twice"),
        ("file_name,smiling\na.png,1,1\n", "line 2 of .* has 3 fields and the header 2"),
        ("file_name,smiling\n,1\n", "line 2 of .* has no file_name"),
        ("file_name,smiling\na.png,1\na.png,0\n", "line 3 of .* names a.png again, after line 2"),
        ("file_name,age\na.png,20\nb.png,old\n", "line 3 of .* has age 'old', which is no number"),
        ("file_name,age\na.png,20\nb.png,inf\n", "line 3 of .* has age 'inf', which is no number"),
        ("file_name,camera\na.png,phone\n", "column 'camera' of .* holds neither true and false nor numbers"),
        ('file_name,text\na.png,"open\n', "cannot be read"),
    ],
)
def test_malformed_csv_is_told_where_and_why(tmp_path, text, sentence):
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_metadata(tmp_path / "metadata.csv")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"file_name": "b.png", ', "line 2 of .* is no JSON"),
        ('["b.png"]', "line 2 of .* is no flat JSON object"),
        ('{"file_name": "b.png", "box": [1, 2]}', "line 2 of .* is no flat JSON object"),
        ('{"smiling": true}', "line 2 of .* has no file_name"),
    ],
)
def test_malformed_json_lines_are_told_where_and_why(tmp_path, line, sentence):
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "smiling": true}\n' + line + "\n")
    with pytest.raises(InputError, match=sentence):
        read_metadata(tmp_path / "metadata.jsonl")


def test_a_line_of_json_ends_at_a_line_feed_only(tmp_path):
    row = json.dumps({"file_name": "a.png", "text": "one\u2028and the same"}, ensure_ascii=False)
    (tmp_path / "metadata.jsonl").write_text(f"{row}\r\n", encoding="utf-8", newline="")
    assert read_metadata(tmp_path / "metadata.jsonl").texts == ("one\u2028and the same",)


def test_bytes_that_are_no_text_are_told(tmp_path):
    (tmp_path / "metadata.csv").write_bytes(b"file_name,text\na.png,\xff\xfe\n")
    with pytest.raises(InputError, match="cannot be read .* save it as UTF-8"):
        read_metadata(tmp_path / "metadata.csv")


def test_rows_without_a_picture_are_named_and_skipped(folder):
    (folder / "metadata.csv").write_text(TABLE + "gone.png,true,1,1,30,cat,\n")
    pictures = s2id.pictures(folder)
    assert len(pictures) == 4 and any("names gone.png, which is no picture" in lost for lost in pictures.skipped)


@pytest.fixture
def celeba(tmp_path):
    """Twenty tiny pictures in CelebA's own layout."""
    root = tmp_path / "celeba"
    lines = ["20", "Smiling Eyeglasses "]
    for i in range(1, 21):
        picture(root / "img_align_celeba" / f"{i:06}.jpg", (22, 18))
        lines.append(f"{i:06}.jpg {' 1' if i % 2 else '-1'} -1")
    (root / "list_attr_celeba.txt").write_text("\r\n".join(lines) + "\r\n")
    return root


def test_celeba_is_read_as_published(celeba):
    for root in (celeba, celeba.parent):  # the second time, both splits come from what was kept
        train, test = load_pictures("celeba", root, "train", 11), load_pictures("celeba", root, "test", 11)
        assert len(train) == 18 and len(test) == 2 and train.size == (11, 9)
        assert train.attributes == ("Smiling", "Eyeglasses") and train.labels == ()
        assert known_of(train).attributes[:3].tolist() == [[1, -1], [-1, -1], [1, -1]]
    assert len(list((cache.CACHE / "pictures").rglob("*.npy"))) == 2
    (celeba / "list_eval_partition.txt").write_text("".join(f"{i:06}.jpg {min(i // 8, 2)}\n" for i in range(1, 21)))
    assert len(load_pictures("celeba", celeba)) == 7 and len(load_pictures("celeba", celeba, "test")) == 5
    (celeba / "list_eval_partition.txt").write_text("000001.jpg 0\n")
    with pytest.raises(InputError, match="holds no picture of CelebA's test split"):
        load_pictures("celeba", celeba, "test")


def test_celebas_count_and_last_line_may_have_blanks(celeba):
    file = celeba / "list_attr_celeba.txt"
    text = file.read_text()
    file.write_text("            " + text.replace("\n", "  \n", 1) + "\n  \n")
    assert len(read_celeba(file).files) == 20
    file.write_text(text.replace("20", "21", 1))
    with pytest.raises(InputError, match="promises 21 lines and has 20"):
        read_celeba(file)


def test_names_of_classes_are_compared_in_composed_form():
    column = Column("label", ["Cafe\u0301", "Caf\xe9", ""], str)
    read = table(("a", "b", "c"), [column], ("Bar", "Cafe\u0301"))
    assert read.classes == ("Bar", "Caf\xe9") and read.known.label.tolist() == [1, 1, -1]


def test_celeba_that_is_not_is_told(celeba, tmp_path):
    with pytest.raises(InputError, match="holds no CelebA; put its img_align_celeba/ and list_attr_celeba.txt there"):
        load_pictures("celeba", tmp_path / "nowhere")
    file = celeba / "list_attr_celeba.txt"
    file.write_text(file.read_text().replace("000003.jpg  1", "000003.jpg"))
    with pytest.raises(InputError, match="line 5 of .* is no file and 2 times -1 or 1"):
        read_celeba(file)
    file.write_text("nothing")
    with pytest.raises(InputError, match="does not begin with a count"):
        read_celeba(file)


def test_a_long_side_is_a_cap_by_area_means(tmp_path):
    rows = np.repeat(np.arange(4, dtype=np.uint8) * 60, 10)
    Image.fromarray(np.tile(rows[:, None], (1, 20))).save(tmp_path / "large.png")
    picture(tmp_path / "small.png", (3, 4), "L")
    large, small = sorted(s2id.pictures(tmp_path, long_side=4).groups, key=lambda group: group.images.shape[3])
    assert large.images.shape == (1, 1, 4, 2) and large.images[0, 0, :, 0].tolist() == [0, 60, 120, 180]
    assert small.images.shape == (1, 1, 3, 4), "none is enlarged"
    assert capped((1000, 3), 64) == (64, 1)
    with pytest.raises(InputError, match="long_side is 0"):
        s2id.pictures(tmp_path, long_side=0)


def test_pictures_are_read_once_until_the_folder_changes(folder, monkeypatch):
    reads = []
    decode = decoding.decode
    monkeypatch.setattr(
        decoding, "decode", lambda path, *rest, **more: reads.append(path) or decode(path, *rest, **more)
    )
    first = s2id.pictures(folder)
    assert len(reads) == 4
    again = s2id.pictures(folder)
    assert len(reads) == 4 and torch.equal(first.groups[0].images, again.groups[0].images)
    picture(folder / "c.png", shade=11)
    os.utime(folder / "c.png", ns=(1, 1))
    changed = s2id.pictures(folder)
    assert len(reads) == 8 and changed.groups[0].images[1, 0, 0, 0] == 11
    assert len(list((cache.CACHE / "pictures").rglob("*.npy"))) == 1, "the old file is gone"
    s2id.pictures(folder, long_side=4)
    assert len(list((cache.CACHE / "pictures").rglob("*.npy"))) == 2, "each long side has its own"


def test_pictures_are_mapped_not_loaded(folder):
    _pictures = s2id.pictures(folder)
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("the system does not say what is mapped")
    (line,) = (line for line in maps.read_text().splitlines() if str(cache.CACHE / "pictures") in line)
    assert line.split()[1] == "r--s", "shared and read-only: no memory is set aside for it"


def test_texts_become_tokens_of_any_encoder(folder):
    pictures = with_tokens(s2id.pictures(folder), lambda text: torch.full((len(text.split()), 3), float(len(text))))
    tokens = pictures.groups[0].tokens
    assert pictures.token_width == 3 and tokens.shape == (4, 3, 3)
    assert tokens[0, :, 0].isnan().tolist() == [False, False, True] and tokens[1].isnan().all()
    (folder / "metadata.csv").unlink()
    with pytest.raises(InputError, match="has no texts; add a column `text`"):
        with_tokens(s2id.pictures(folder), lambda text: torch.zeros(1, 3))


def test_training_leaves_out_any_number_of_labels():
    count, generator = 20_000, torch.Generator().manual_seed(0)
    ones = torch.ones(count, 4, dtype=torch.int8)
    whole = Condition(torch.zeros(count, dtype=torch.long), ones, torch.zeros(count, 1), torch.zeros(count, 2, 3))
    config = TrainConfig(drop_label=0.1, drop_each=0.5)
    left = hide(whole, config, generator)
    parts = [left.label[:, None] != NULL, left.attributes != 0, ~left.numbers.isnan(), ~left.tokens[:, :1, 0].isnan()]
    assert torch.equal(left.tokens[:, 0].isnan(), left.tokens[:, 1].isnan()), "a text goes as a whole"
    kept = torch.cat(parts, dim=1)
    assert torch.allclose(kept.float().mean(0), torch.full((7,), 0.9 * 0.5), atol=0.02)
    share = torch.bincount(kept.sum(1), minlength=8) / count
    expected = torch.full((8,), 0.9 / 8)  # every number of known labels alike, and a tenth with nothing
    expected[0] += 0.1
    assert torch.allclose(share, expected, atol=0.012)
    assert hide(whole, replace(config, drop_label=1.0), generator).known is False
    everything = hide(whole, replace(config, drop_label=0.0, drop_each=0.0), generator)
    assert torch.equal(everything.attributes, ones) and not everything.numbers.isnan().any()
    with pytest.raises(InputError, match="drop_each is 0.7; it must be a number, at least 0 and at most 0.5"):
        TrainConfig(drop_each=0.7)


def tiny(pictures, folder, **changes):
    preset = PRESETS["tiny"]
    settings = {"images": 48, "batch": 4, "device": "cpu", **changes}
    return Trainer(replace(preset, train=replace(preset.train, **settings)), pictures, folder)


def test_a_model_with_attributes_resumes_to_the_bit(folder, tmp_path):
    pictures = with_tokens(s2id.pictures(folder), lambda text: torch.ones(len(text.split()), 3))
    straight = tiny(pictures, tmp_path / "a")
    losses = [p.loss for p in straight.run()]
    assert len(losses) == 12 and all(map(math.isfinite, losses))
    first = tiny(pictures, tmp_path / "b")
    for progress in first.run():
        if progress.step == 5:
            first.stop()
    second = tiny(pictures, tmp_path / "b")
    second.resume(checkpoints(tmp_path / "b")[-1])
    assert [p.loss for p in second.run()] == losses[5:]
    assert all(torch.equal(v, straight.tensors()[k]) for k, v in second.tensors().items())
    (folder / "metadata.csv").write_text(TABLE.replace("smiling,hat", "hat,smiling"))
    swapped = with_tokens(s2id.pictures(folder), lambda text: torch.ones(len(text.split()), 3))
    with pytest.raises(InputError, match="knows other labels than the data, or in another order"):
        tiny(swapped, tmp_path / "b").resume(checkpoints(tmp_path / "b")[-1])
    model = straight.result()
    assert model.config.attributes == 3 and model.config.numbers == 1 and model.config.token_width == 3
    assert model.card.attributes == ("smiling", "hat", "left_handed") and model.card.number_ranges == ((20.0, 60.0),)


def test_mixed_sizes_train_and_no_picture_is_enlarged(tmp_path):
    sizes = [(8, 8), (3, 9), (20, 5), (15, 16), (2, 40)]
    for i, size in enumerate(sizes):
        picture(tmp_path / "data" / f"{i}.png", size)
    pictures = s2id.pictures(tmp_path / "data")
    trainer = tiny(pictures, tmp_path / "run", densities=(16,), density_weights=(1.0,))
    seen = set()
    for number in range(10):
        pixels, _ = batch_at(pictures, number, 4, 0)
        batch = draw(pictures, trainer.config, trainer.model, Schedule(), number)
        seen.add(tuple(pixels.shape[2:]))
        assert all(a <= b for a, b in zip(batch.x_t.shape[2:], pixels.shape[2:], strict=True))
        assert all(a <= b for a, b in zip(batch.target.shape[2:], pixels.shape[2:], strict=True))
    assert seen == set(sizes)
    assert all(math.isfinite(p.loss) for p in trainer.run()) and trainer.step == 12
    assert trained_size((15, 16), 16, 2) == (14, 16) and trained_size((28, 28), 20, 2) == (20, 20)
    picture(tmp_path / "data" / "thin.png", (1, 40))
    with pytest.raises(
        InputError, match="has images of 1x40 pixels, smaller than the network's patch of 2, and none is enlarged"
    ):
        tiny(s2id.pictures(tmp_path / "data"), tmp_path / "other")


def test_the_command_line_trains_and_draws_with_and_without(celeba, tmp_path, capsys):
    small = "--set width=16 --set heads=2 --set encoder-blocks=1 --set decoder-blocks=1 --densities 8"
    run = f"--images 8 --batch 4 --set density-weights=1 --long-side 11 --device cpu --out {tmp_path / 'run'}"
    assert main(["train", "celeba", "--data", str(celeba), *small.split(), *run.split()]) == 0
    model = str(tmp_path / "run" / "model")
    assert main(["info", model]) == 0
    assert '"Eyeglasses"' in capsys.readouterr().out
    words = "--with smiling --without eyeglasses --set stronger=smiling=3 --avoid eyeglasses --steps 1"
    assert main(["sample", model, *words.split(), "--out", str(tmp_path / "out")]) == 0
    (drawn,) = (tmp_path / "out").iterdir()
    assert drawn.name == "with-Smiling-without-Eyeglasses-avoid-Eyeglasses-stronger-Smiling=3-seed0-11x9.png"
    capsys.readouterr()
    for word, sentence in {
        "--with smilin": "attribute 'smilin' is none of this model's; did you mean Smiling?",
        "--with age=3": "it knows no numbers: leave it out",
        "--with age=old": "'age=old' is not understood: what stands behind = is no number",
        "--set stronger=smilin=3": "label 'smilin' is none of this model's; did you mean Smiling?",
    }.items():
        assert main(["sample", model, *word.split(), "--steps", "1", "--out", str(tmp_path / "out")]) == 2
        assert sentence in capsys.readouterr().err


def test_attributes_are_followed_alone_and_together(tmp_path):
    """Pictures whose top half is bright where they are "sunny", and whose left column is where they are "walled"."""
    generator = torch.Generator().manual_seed(0)
    has = torch.randint(0, 2, (256, 2), generator=generator)
    images = torch.zeros(256, 1, 8, 8, dtype=torch.uint8)
    images[:, :, :4] += (180 * has[:, 0]).to(torch.uint8)[:, None, None, None]
    images[:, :, :, :2] += (70 * has[:, 1]).to(torch.uint8)[:, None, None, None]
    group = Group(images, torch.full((256,), NULL), (2 * has - 1).to(torch.int8))
    pictures = Pictures("scenes", (group,), (), ("sunny", "walled"))
    trainer = tiny(pictures, tmp_path, images=4800, batch=16, lr=1e-2, ema=0.98)
    trained(trainer)
    model = trainer.result()

    def top(**attributes):
        asked = s2id.ask(model, attributes=attributes)
        drawn = s2id.sample(model, asked, range(16), steps=6, guidance=1.0).render((8, 8))
        return drawn[:, 0, :4, 3:].mean((1, 2)), drawn[:, 0, 5:, :2].mean((1, 2))

    sunny, dark = top(sunny=True), top(sunny=False)
    walled, bare = top(sunny=True, walled=True), top(sunny=True, walled=False)
    assert sunny[0].min() > dark[0].max() + 0.5
    assert walled[0].min() > dark[0].max() + 0.5 and walled[1].mean() > bare[1].mean() + 0.25


def test_names_that_are_no_text_are_refused_before_training(tmp_path):
    for name in (b"caf\xe9", b"cat"):
        folder = os.fsencode(tmp_path) + b"/" + name
        os.makedirs(folder)
        Image.new("L", (8, 8)).save(os.fsdecode(folder) + "/a.png")
    with pytest.raises(InputError, match="the class .* has characters that are no text; rename it"):
        s2id.pictures(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("metadata.jsonl", '{"file_name": "a.png", "age": NaN}', "NaN is no number; leave the value out"),
        ("metadata.csv", "file_name,age,age\na.png,1,2\n", "has the column age twice"),
        ("metadata.csv", "name,age\na.png,1\n", "needs a header with a column file_name"),
    ],
)
def test_labels_that_contradict_themselves_are_refused(name, text, said, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        s2id.pictures(tmp_path)


def test_empty_labels_and_pipes_in_their_place_are_named(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,age\n")
    assert any("describes no picture" in said for said in s2id.pictures(tmp_path).skipped)
    (tmp_path / "metadata.csv").write_text("file_name,age\na.png,\n")
    assert any("column 'age' of metadata.csv is empty" in said for said in s2id.pictures(tmp_path).skipped)
    (tmp_path / "metadata.csv").unlink()
    os.mkfifo(tmp_path / "metadata.csv")
    assert any("metadata.csv is no ordinary file" in said for said in s2id.pictures(tmp_path).skipped)
