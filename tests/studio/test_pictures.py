"""What the studio makes of pictures that clients send, and that hostile ones cost a sentence."""

import io
import json
import shlex
import subprocess
import sys
import zlib

import pytest
import torch
from PIL import Image, ImageChops

import s2id
from s2id.cli.main import main
from s2id.media.images import read, to_float

pytest.importorskip("fastapi", reason="the studio needs the extra studio")
from s2id.studio.forms import Upload  # noqa: E402
from s2id.studio.uploads import Reader  # noqa: E402


def png(image, form="PNG", **more):
    file = io.BytesIO()
    image.save(file, form, **more)
    return file.getvalue()


@pytest.fixture(scope="module")
def seven():
    return s2id.sample(s2id.load("mnist-fast"), label=7, seed=0).image(size=112)


@pytest.fixture
def files(seven, tmp_path, monkeypatch):
    """The files that commands name, in the present folder."""
    monkeypatch.chdir(tmp_path)
    seen = Image.new("L", (28, 28), 255)
    seen.paste(0, (7, 7, 21, 21))
    moves = [(0, 0), (1, 2), (3, 1), (2, 3)]
    first, *others = (ImageChops.offset(seven, *move).reduce(8) for move in moves)
    found = {
        "small one.png": png(seven.reduce(8)),
        "torn.png": png(seven.reduce(4)),
        "seen.png": png(seen),
        "frames.gif": png(first, "GIF", save_all=True, append_images=others),
    }
    for name, content in found.items():
        (tmp_path / name).write_bytes(content)
    return found


def pictures(client, heard):
    """Content of every picture that a job made, by its role and number."""
    found = [data for name, data in heard if name == "picture"]
    return {
        f"{one['role']}{one.get('index', '')}": client.get(f"/api/pictures/{one['id']}.png").content for one in found
    }


def ran(recipe, folder):
    """Content of the files that a command and that a program make, by name."""
    assert main(shlex.split(recipe["command"])[1:]) == 0
    by_command = {path.name: path.read_bytes() for path in sorted((folder / "pictures").iterdir())}
    exec(recipe["python"], {})
    return by_command, {path.stem: path.read_bytes() for path in folder.glob("*.png")}


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_picture_is_upscaled_as_the_command_does(client, events, files, tmp_path, seven, form):
    files["small one.png"] = png(seven.reduce(8), form)
    (tmp_path / "small one.png").write_bytes(files["small one.png"])
    asked = {"model": "mnist", "scale": "2", "label": "7", "attributes": "{}", "words": ""}
    answer = client.post(
        "/api/upscale", data=asked, files={"picture": ("C:\\x\\small one.png", files["small one.png"])}
    )
    heard = events(answer)
    (made,) = pictures(client, heard).values()
    by_command, by_program = ran(heard[-1][1], tmp_path)
    assert [*by_command.values()] == [made] and by_program["result"] == made
    assert Image.open(io.BytesIO(made)).size == (28, 28) and "grey levels" in heard[-1][1]["notes"][0]


def test_what_is_invented_has_an_answer_for_each_seed(client, events, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(png(Image.linear_gradient("L").rotate(30).resize((9, 8))))
    (offer,) = (one for one in client.get("/api/models").json() if one["name"] == "graphics-invent")
    assert offer["invents"] and offer["can"] == {
        "compose": False,
        "upscale": True,
        "restore": False,
        "depixelate": False,
    }
    asked = {"model": "graphics-invent", "scale": "3", "seeds": "2,5"}
    sent = {"files": {"picture": ("a.png", (tmp_path / "a.png").read_bytes())}}
    heard = events(client.post("/api/upscale", data=asked, **sent))
    made = pictures(client, heard)
    by_command, by_program = ran(heard[-1][1], tmp_path)
    assert made["answer0"] == by_command["upscaled-a-seed2-24x27.png"] == by_program["result-seed2"]
    assert made["answer1"] == by_command["upscaled-a-seed5-24x27.png"] == by_program["result-seed5"]
    assert len({*made.values()}) == 2
    many = client.post("/api/upscale", data={**asked, "seeds": "0-999"}, **sent)
    assert many.status_code == 400 and "answers are asked for" in many.text


def test_a_picture_is_restored_as_the_command_does(client, events, files, tmp_path):
    asked = {"model": "mnist", "label": "7", "seeds": "0,3", "noise": "0.05", "sampling": json.dumps({"steps": 2})}
    sent = {"picture": ("torn.png", files["torn.png"]), "mask": ("seen.png", files["seen.png"])}
    heard = events(client.post("/api/restore", data=asked, files=sent))
    made = pictures(client, heard)
    by_command, by_program = ran(heard[-1][1], tmp_path)
    names = {"answer0": "seed0", "answer1": "seed3", "mean": "mean", "spread": "std"}
    assert {f"restored-torn-{names[role]}-28x28.png": content for role, content in made.items()} == by_command
    assert all(by_program[role] == content for role, content in made.items())
    assert {(data["index"], data["step"]) for name, data in heard if name == "preview"} >= {(0, 2), (1, 2)}
    field = next(data["id"] for name, data in heard if name == "field")
    assert client.get(f"/api/fields/{field}.png").status_code == 200
    assert client.get(f"/api/fields/{field}/recipe").status_code == 404


def test_frames_are_depixelated_as_the_command_does(client, events, files, tmp_path):
    pytest.importorskip("cv2")
    heard = events(
        client.post("/api/depixelate", data={"size": "28"}, files={"files": ("frames.gif", files["frames.gif"])})
    )
    made = pictures(client, heard)
    by_command, by_program = ran(heard[-1][1], tmp_path)
    assert by_command["picture.png"] == by_program["result"] == made["result"]
    assert by_command["uncertainty.png"] == by_program["spread"] == made["spread"]
    (shifts,) = (data["shifts"] for name, data in heard if name == "motion")
    assert shifts == json.loads(by_command["motion.json"])["motion"] and len(shifts) == 4


@pytest.mark.parametrize("name", ["(1) one.png", "-rf.png", "\U0001f4a9.png", "it's $(one).png"])
def test_commands_name_files_as_they_are_called(client, events, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(png(Image.linear_gradient("L").resize((6, 5))))
    asked = {"data": {"model": "graphics", "scale": "2"}, "files": {"picture": (name, (tmp_path / name).read_bytes())}}
    heard = events(client.post("/api/upscale", **asked))
    (made,) = pictures(client, heard).values()
    by_command, by_program = ran(heard[-1][1], tmp_path)
    assert [*by_command.values()] == [made] and by_program["result"] == made


def bomb():
    """A PNG file of 100 bytes that says it has 10^9 pixels."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = (31623).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


HOSTILE = {
    "bomb": (bomb(), "(more than 178,956,970 pixels are not read)"),
    "cut": (png(Image.effect_noise((64, 64), 50))[:800], "cannot be read"),
    "text": (b"<script>alert(1)</script>", "no format that is known"),
    "empty": (b"", "no format that is known"),
    "huge": (png(Image.new("1", (6000, 6000))), "6000x6000 pixels, and more than"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures_cost_a_sentence(client, name):
    content, said = HOSTILE[name]
    answer = client.post(
        "/api/upscale", data={"model": "mnist"}, files={"picture": ("../../<img>.png", content, "image/png")}
    )
    assert answer.status_code == 400 and answer.json()["error"].endswith(".")
    assert said in answer.json()["error"] and "<" not in answer.json()["error"]
    assert ".." not in answer.json()["error"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"model": "mnist-fast"}, "cannot upscale"),
        ({"model": "mnist", "size": "4"}, "smaller than the picture"),
        ({"model": "mnist", "size": "99999x99999"}, "choose a smaller size."),
        ({"model": "mnist", "size": "0"}, "at least 1 pixel"),
        ({"model": "mnist", "size": "a"}, "not HEIGHTxWIDTH"),
        ({"model": "mnist", "size": "56", "scale": "2"}, "keep one"),
        ({"model": "mnist", "numbers": "{"}, "no JSON"),
        ({"model": "mnist", "steps": "2"}, "steps is not as"),
        ({}, "model is not as"),
    ],
)
def test_bad_forms_are_refused_in_a_sentence(client, seven, data, said):
    answer = client.post("/api/upscale", data=data, files={"picture": png(seven.reduce(8))})
    assert answer.status_code == 400 and said in answer.json()["error"] and answer.json()["error"].endswith(".")


TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
"""An EXIF entry that says that a picture lies on its side."""


def test_pictures_are_read_as_from_a_disk(tmp_path):
    reader = Reader(4)
    samples = {
        "grey.png": png(Image.effect_noise((9, 7), 80)),
        "clear.png": png(Image.new("RGBA", (5, 6), (200, 100, 0, 90))),
        "turned.jpg": png(Image.linear_gradient("L").resize((8, 6)), "JPEG", exif=TURNED),
    }
    for name, content in samples.items():
        (tmp_path / name).write_bytes(content)
        assert torch.equal(reader.picture(Upload.of(name, content)), read(tmp_path / name))
    frames = [Upload.of(f"{i}.png", png(Image.new("L", (4, 4), 40 * i))) for i in (2, 0, 1)]
    assert reader.frames(frames)[:, 0, 0, 0].tolist() == [
        to_float(torch.tensor(40 * i, dtype=torch.uint8)) for i in range(3)
    ]
    reader.close()


def test_the_process_that_reads_has_no_torch():
    program = "import sys, s2id.studio.reading_process; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
