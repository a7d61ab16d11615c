"""What people have in folders: links, places that may not be read, and files of labels as programs write them."""

import os
import unicodedata
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from PIL import Image

import s2id
from s2id.data import cache
from s2id.data.metadata import read_celeba, read_metadata
from s2id.data.registry import load_pictures
from s2id.errors import InputError
from s2id.training.presets import PRESETS
from s2id.training.trainer import Trainer
from s2id.training.watch import warnings


def picture(path: Path, shade: int = 99) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), shade).save(path)
    return path


@pytest.fixture
def data(tmp_path):
    """A class in the folder, and one elsewhere."""
    picture(tmp_path / "data" / "cat" / "a.png")
    picture(tmp_path / "elsewhere" / "dog" / "b.png")
    return tmp_path / "data"


def test_links_to_folders_and_files_are_followed(data):
    (data / "dog").symlink_to("../elsewhere/dog")
    (data / "cat" / "c.png").symlink_to(data.parent / "elsewhere" / "dog" / "b.png")
    pictures = s2id.pictures(data)
    assert pictures.labels == ("cat", "dog") and pictures.label_counts == (2, 1) and not pictures.skipped


def test_links_in_circles_end_and_are_named(data):
    (data / "cat" / "up").symlink_to("../..")
    (data / "cat" / "self").symlink_to(".")
    (data / "again").symlink_to("cat")
    (data / "root").symlink_to("/")
    (data / "d.png").symlink_to("d.png")
    pictures = s2id.pictures(data)
    assert pictures.labels == ("cat",) and len(pictures) == 1 and len(pictures.skipped) == 5
    for name in ("cat/up", "cat/self", "again", "root"):
        assert any(f"{data / name} leads to" in said for said in pictures.skipped)
    assert any("d.png is a broken link" in said for said in pictures.skipped)


def test_broken_links_and_pipes_are_named(data):
    (data / "dog").symlink_to("../gone")
    (data / "cat" / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(data / "cat" / "pipe.png")
    os.symlink(b"nowhere", os.fsencode(data) + b"/\xff")  # a name that is no text
    said = "\n".join(s2id.pictures(data).skipped)
    assert "\\udcff is a broken link" in said and said.encode()
    assert f"{data / 'dog'} is a broken link" in said and f"{data / 'cat' / 'gone.png'} is a broken link" in said
    assert "pipe.png is no ordinary file" in said


@pytest.fixture
def as_nobody(monkeypatch):
    """A folder that anyone may enter, and a function that calls another as a user to whom nothing belongs."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may become another user")

    def call(what):
        os.seteuid(12345)
        try:
            return what()
        finally:
            os.seteuid(0)

    with TemporaryDirectory() as top:
        for place in (Path(top), Path(top, "cache")):
            place.mkdir(exist_ok=True)
            place.chmod(0o777)
        monkeypatch.setattr(cache, "CACHE", Path(top, "cache"))
        yield Path(top, "data"), call


def test_what_may_not_be_read_is_named(as_nobody):
    data, call = as_nobody
    for file in ("cat/a.png", "cat/b.png", "dog/c.png"):
        picture(data / file)
    (data / "cat" / "b.png").chmod(0)
    (data / "dog").chmod(0)
    pictures = call(lambda: s2id.pictures(data))
    assert len(pictures) == 1 and len(pictures.skipped) == 2
    assert f"{data / 'cat' / 'b.png'} cannot be read (Permission denied)" in pictures.skipped[0]
    assert f"{data / 'dog'} cannot be read (Permission denied)" in pictures.skipped[1]
    (data / "dog").chmod(0o444)  # its names may be read, its files not
    assert "c.png is not at hand (Permission denied)" in call(lambda: s2id.pictures(data)).skipped[1]
    (data / "dog").chmod(0o755)
    (data / "cat" / "b.png").chmod(0o644)
    assert len(call(lambda: s2id.pictures(data))) == 3, "what was left out is read as soon as it may be"
    (data / "metadata.csv").write_text("file_name,age\ncat/a.png,3\n")
    (data / "metadata.csv").chmod(0)
    with pytest.raises(InputError, match="metadata.csv cannot be read .Permission denied."):
        call(lambda: s2id.pictures(data))
    data.chmod(0)
    with pytest.raises(InputError, match="Permission denied|is not a folder"):
        call(lambda: s2id.pictures(data))


def labels_of(folder):
    pictures = s2id.pictures(folder)
    return {name: pictures.label_counts[i] for i, name in enumerate(pictures.labels)}, pictures.skipped


@pytest.mark.parametrize("name", ["Metadata.CSV", "METADATA.JSONL", "metadata.Csv"])
def test_metadata_is_known_in_any_case(data, name):
    rows = '{"file_name": "cat/a.png", "label": "x"}' if "json" in name.lower() else "file_name,label\ncat/a.png,x\n"
    (data / name).write_text(rows)
    assert labels_of(data) == ({"x": 1}, ())


def test_metadata_in_subfolders_describes_their_pictures(data):
    picture(data / "dog" / "deep" / "b.png")
    picture(data / "c.png")
    (data / "cat" / "metadata.csv").write_text("file_name,label,age\na.png,x,3\n")
    (data / "dog" / "metadata.jsonl").write_text('{"file_name": "deep/b.png", "label": "y", "sunny": true}\n')
    (data / "metadata.csv").write_text("file_name,label\nc.png,x\n")
    pictures = s2id.pictures(data)
    assert pictures.label_counts == (2, 1) and pictures.numbers == ("age",) and pictures.attributes == ("sunny",)
    (data / "metadata.csv").write_text("file_name,label\nc.png,x\ncat/a.png,z\n")
    with pytest.raises(InputError, match=r"line 3 of .*data.meta.* names cat/a.png again, after line 2 of .*cat.meta"):
        s2id.pictures(data)


@pytest.mark.parametrize(
    "form",
    ["cat/a.png", "./cat/a.png", "cat\\a.png", ".\\cat\\a.png", "cat//a.png", "cat/../cat/a.png", "{data}/cat/a.png"],
)
def test_a_picture_is_found_under_any_form_of_its_path(data, form):
    (data / "metadata.csv").write_text(f"file_name,label\n{form.format(data=data)},x\n")
    assert labels_of(data) == ({"x": 1}, ())
    (data / "metadata.csv").write_text(f"file_name,label\n{form.format(data=data)},x\ncat/a.png,y\n")
    with pytest.raises(InputError, match="line 3 of .* names cat/a.png again, after line 2"):
        s2id.pictures(data)


def test_a_backslash_may_be_part_of_a_name(data):
    picture(data / "a\\b.png")
    (data / "metadata.csv").write_text("file_name,label\na\\b.png,x\n")
    assert labels_of(data) == ({"x": 1}, ())


TEXT = "file_name,label,age\na.png,é,1\nb.png,z,2\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_are_read_as_programs_write_them(tmp_path, encoding, between, end):
    text = TEXT.replace(",", between).replace("\n", end) + 2 * between + end
    (tmp_path / "metadata.csv").write_bytes(text.encode(encoding))
    found = read_metadata(tmp_path / "metadata.csv")
    assert found.classes == ("z", "é") and found.numbers == ("age",) and found.files == ("a.png", "b.png")


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (TEXT.encode("latin-1"), r"cannot be read .line 2 is no utf-8.; save it as UTF-8"),
        (TEXT.replace("é", "e").encode("utf-16-le"), r"cannot be read .line 1 holds a zero byte.; save it as UTF-8"),
        (TEXT.encode("utf-16")[:-1], "cannot be read .line . is no utf-16"),
        (b"file_name,age\na.png\n", "line 2 of .* has 1 fields and the header 2"),
        (b"file_name;age\na.png;1;2\n", "line 2 of .* has 3 fields and the header 2"),
        (b"file_name,age,age\na.png,1,2\n", "has the column age twice"),
        (b"file_name,label\na.png,%s\n" % (b"x" * 140_000), "line 2 of .* cannot be read .field larger than"),
        (b"file_name,age\na.png,3\nb.png,1e308\n", "line 3 of .* has age '1e308'; numbers go to 4e.37"),
        (b"file_name,age\na.png,-1e308\nb.png,1e308\n", "line 2 of .* has age '-1e308'; numbers go to"),
        (b"file_name,age\na.png,3\nb.png,1e400\n", "line 3 of .* has age '1e400', which is no number"),
        (b"file_name,age\na.png,3\nb.png,nan\n", "line 3 of .* has age 'nan', which is no number"),
        (b"file_name;age\na.png;3\nb.png;1,5\n", "line 3 of .* has age '1,5', which is no number"),
        (b'file_name,age\na.png,"1,5"\nb.png,"2,5"\n', "line 2 of .* holds neither .* numbers, but '1,5'"),
        (b"file_name,age\na.png,2\nb.png,1_000\n", "line 3 of .* has age '1_000', which is no number"),
        (b"file_name,age\na.png,1e-320\nb.png,0\nc.png,2e-320\n", "too close to tell apart"),
    ],
)
def test_what_a_table_cannot_mean_is_told_by_line(tmp_path, raw, sentence):
    (tmp_path / "metadata.csv").write_bytes(raw)
    with pytest.raises(InputError, match=sentence):
        read_metadata(tmp_path / "metadata.csv")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("[" * 100_000, "line 1 of .* is no JSON"),
        ('{"file_name": "a.png", "label": "x", "label": "y"}', "line 1 of .* is no JSON .a name occurs twice"),
        ('{"file_name": "a.png", "age": Infinity}', "line 1 of .* is no JSON .Infinity is no number"),
        ('{"file_name": "a.png", "age": 1%s}' % ("0" * 400), "line 1 of .* holds neither"),
        ('{"file_name": "a.png", "age": 1%s}' % ("0" * 5000), "line 1 of .* is no JSON"),
        ('{"file_name": null}', "line 1 of .* has no file_name"),
    ],
)
def test_what_a_line_of_json_cannot_mean_is_told(tmp_path, line, sentence):
    (tmp_path / "metadata.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=sentence):
        read_metadata(tmp_path / "metadata.jsonl")


def test_columns_and_classes_that_are_not_used_are_named(data):
    picture(data / "dog" / "b.png")
    (data / "metadata.csv").write_text(",file_name,age\n0,cat/a.png,3\n1,dog/b.png,4\n2,gone.png,5\n")
    pictures = s2id.pictures(data)
    said = "\n".join(pictures.skipped)
    assert pictures.numbers == ("age",) and "a column of line 2 of" in said and "has no name and is left out" in said
    assert f"line 4 of {data / 'metadata.csv'} names gone.png, which is no picture of the folder" in said
    assert "subfolders are no classes beside metadata.csv; give it a column label" in said


def test_names_from_a_mac_are_those_of_others(data):
    accented = unicodedata.normalize("NFD", "éte")
    picture(data / accented / "a.png")
    picture(data / "éte" / "b.png")
    assert s2id.pictures(data).labels == ("cat", "éte")
    (data / "metadata.csv").write_text(f"file_name,label,{accented}\ncat/a.png,{accented},1\n", encoding="utf-8")
    pictures = s2id.pictures(data)
    assert pictures.labels == ("éte",) and pictures.attributes == ("éte",)
    assert s2id.pictures(pictures.groups[0].images[:2], labels=[accented, "éte"]).labels == ("éte",)


def test_training_says_which_names_are_not_asked_for_as_they_stand(tmp_path):
    for name in ("all", "a,b", "Dog", "dog", "cat"):
        picture(tmp_path / "data" / name / "a.png")
    said = "\n".join(warnings(Trainer(PRESETS["tiny"], s2id.pictures(tmp_path / "data"), tmp_path / "run")))
    assert """names that need quotes on the command line, inside those of the shell: '"a,b"', '"all"'.""" in said
    assert "alike but for case, blanks, hyphens and underscores, so write them exactly: Dog, dog." in said


def test_celebas_lists_are_told_by_line(tmp_path):
    for i in range(3):
        picture(tmp_path / "img_align_celeba" / f"{i}.jpg")
    (tmp_path / "list_attr_celeba.txt").write_bytes(b"\xef\xbb\xbf3\nSmiling\n0.jpg 1\n1.jpg -1\n9.jpg 1\n")
    pictures = load_pictures("celeba", tmp_path)
    assert len(pictures) == 2 and pictures.attribute_counts == ((1, 1),)
    assert "1 pictures of img_align_celeba/ are not in list_attr_celeba.txt." in pictures.skipped
    assert "1 pictures of list_attr_celeba.txt are not in img_align_celeba/." in pictures.skipped
    for raw, line in ((b"0.jpg 0\n1.jpg\n", 2), (b"0.jpg 7\n", 1)):
        (tmp_path / "list_eval_partition.txt").write_bytes(raw)
        with pytest.raises(InputError, match=f"line {line} of .*list_eval_partition.txt is no file and 0, 1 or 2"):
            load_pictures("celeba", tmp_path)
    (tmp_path / "list_attr_celeba.txt").write_bytes(b"1\nSmiling\n\xff.jpg 1\n")
    with pytest.raises(InputError, match="line 3 is no utf-8"):
        read_celeba(tmp_path / "list_attr_celeba.txt")
