"""The IIIF Image API: the grammar of its addresses, and pictures that are the field's own."""

import io
import random
import re

import pytest
import torch
from PIL import Image

import s2id
from s2id.errors import InputError
from s2id.network.heads import Features
from s2id.network.published import PixelHead
from s2id.studio import iiif

FULL = (4096, 8192)


@pytest.mark.parametrize(
    ("region", "size", "box", "found"),
    [
        ("full", "max", (0, 0, 8192, 4096), (1448, 2896)),
        ("square", "200,", (2048, 0, 4096, 4096), (200, 200)),
        ("1024,512,2048,1024", "512,", (1024, 512, 2048, 1024), (256, 512)),
        ("1024,512,2048,1024", ",512", (1024, 512, 2048, 1024), (512, 1024)),
        ("8000,4000,1000,1000", "max", (8000, 4000, 192, 96), (96, 192)),
        ("pct:50,50,25,25", "pct:25", (4096, 2048, 2048, 1024), (256, 512)),
        ("pct:12.5,0,200,100", "7,9", (1024, 0, 7168, 4096), (9, 7)),
        ("0,0,100,50", "!60,60", (0, 0, 100, 50), (30, 60)),
        ("0,0,100,50", "!600,600", (0, 0, 100, 50), (50, 100)),
        ("0,0,100,50", "^!600,600", (0, 0, 100, 50), (300, 600)),
        ("0,0,100,50", "^200,", (0, 0, 100, 50), (100, 200)),
        ("0,0,100,50", "^pct:150", (0, 0, 100, 50), (75, 150)),
        ("0,0,100,50", "^max", (0, 0, 100, 50), (1448, 2896)),
    ],
)
def test_regions_and_sizes_mean_what_the_specification_says(region, size, box, found):
    asked = iiif.asked(FULL, region, size, "0", "default", "png")
    assert asked.region == pytest.approx(box) and asked.size == found
    again = iiif.asked(FULL, *asked.canonical.rpartition("/")[0].split("/"), "default", "png")
    assert (again.region, again.size, again.canonical) == (pytest.approx(asked.region), found, asked.canonical)


@pytest.mark.parametrize(
    "path",
    [
        "all/max/0/default.png", "0,0,0,10/max/0/default.png", "9000,0,10,10/max/0/default.png",
        "0,0,10/max/0/default.png", "-1,0,10,10/max/0/default.png", "0.5,0,10,10/max/0/default.png",
        "pct:0,0,nan,10/max/0/default.png", "pct:100,0,10,10/max/0/default.png", "full/full/0/default.png",
        "full/9000,/0/default.png", "full/0,/0/default.png", "full/,/0/default.png", "full/!9,/0/default.png",
        "full/pct:101/0/default.png", "full/pct:0/0/default.png", "full/^9000,9000/0/default.png",
        "full/99999999999,/0/default.png", "full/max/45/default.png", "full/max/450/default.png",
        "full/max/!/default.png", "full/max/1e2/default.png", "full/max/0/native.png", "full/max/0/default.jp2",
        "full/^/0/default.png", "full/10,10,10/0/default.png", "full/٣,/0/default.png",
    ],
)  # fmt: skip
def test_other_addresses_are_refused_in_a_sentence(path):
    region, size, rotation, last = path.split("/")
    with pytest.raises(InputError, match=r"\.$"):
        iiif.asked(FULL, region, size, rotation, *last.split("."))


def test_any_address_is_understood_or_refused_in_a_sentence():
    draw, understood = random.Random(0), 0

    def number():
        return draw.choice(["", "0", "1", "7", "99", "100", "512", "3000", "12345", "0.5", "33.3", "1e3", "-1", "x"])

    def listed(count):
        return ",".join(number() for _ in range(count))

    # letters by chance are hardly ever of the grammar, so addresses are put together of its parts, right or wrong
    for _ in range(3000):
        regions = ["full", "square", listed(4), f"pct:{listed(4)}", "".join(draw.choices("019,.:pctful", k=6))]
        sizes = ["max", listed(2), f"!{listed(2)}", f"pct:{number()}", "".join(draw.choices("09,.:!^max", k=5))]
        size = draw.choice(["", "^"]) + draw.choice(sizes)
        turn = draw.choice(["", "", "!"]) + draw.choice(["0", "90", "270.0", "360", number()])
        full = draw.randint(1, 9000), draw.randint(1, 9000)
        try:
            asked = iiif.asked(full, draw.choice(regions), size, turn, "default", "jpg")
        except InputError:
            continue
        understood += 1
        top, left, bottom, right = asked.window(full)
        assert 0 <= top < bottom <= 1 and 0 <= left < right <= 1
        assert 1 <= asked.size[0] * asked.size[1] <= iiif.MOST_AREA
        again = iiif.asked(full, *asked.canonical.rpartition("/")[0].split("/"), "default", "jpg")
        assert (again.size, again.degrees, again.mirrored) == (asked.size, asked.degrees, asked.mirrored)
    assert 300 < understood < 2700


@pytest.fixture(scope="module")
def field(studio):
    """Name of a field of four colours, wider than high, and the field."""
    corners = torch.tensor([[[1.0, -1, -1], [-1, 1, -1]], [[-1, -1, 1], [1, 1, 1]]])
    values = corners.repeat_interleave(8, 0).repeat_interleave(16, 1)[None]
    one = s2id.Field(Features(values, (0.5, 1.0)), PixelHead(3))
    from s2id.studio.compose import Drawn

    return studio.fields.put(Drawn(one, (8, 16), "", 0), 1000), one


def opened(client, name, path):
    answer = client.get(f"/iiif/{name}/{path}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["access-control-allow-origin"] == "*"
    return Image.open(io.BytesIO(answer.content))


def test_a_region_is_the_fields_own_window(client, field):
    name, own = field
    image = opened(client, name, "1024,512,2048,1024/64,/0/default.png")
    wanted = own.image((32, 64), window=(0.125, 0.125, 0.375, 0.375), fit="stretch")
    assert image.tobytes() == wanted.tobytes() and image.mode == "RGB"


def test_the_canonical_address_of_any_answer_gives_the_same_answer(client, field):
    for path in ("full/max/0", "pct:33.3,10,20.05,30/64,/!90", "1000,3000,501,77/^pct:150/180.0", "square/,40/360"):
        answer = client.get(f"/iiif/{field[0]}/{path}/default.png")
        (address,) = re.findall(r'<([^>]*)>;rel="canonical"', answer.headers["link"])
        again = client.get(address)
        assert again.status_code == 200, again.text
        assert again.content == answer.content and f'<{address}>;rel="canonical"' in again.headers["link"]


def test_pictures_are_turned_clockwise_and_mirrored_before(client, field):
    corner = {
        (x, y): name for name, (x, y) in {"red": (0, 0), "green": (1, 0), "blue": (0, 1), "white": (1, 1)}.items()
    }
    colours = {(255, 0, 0): "red", (0, 255, 0): "green", (0, 0, 255): "blue", (255, 255, 255): "white"}

    def corners(rotation, form="png"):
        image = opened(client, field[0], f"full/64,32/{rotation}/default.{form}")
        w, h = image.size
        return (w, h), [colours[image.getpixel((x, y))] for y in (1, h - 2) for x in (1, w - 2)]

    assert corners("0") == ((64, 32), [corner[x, y] for y in (0, 1) for x in (0, 1)])
    assert corners("90") == ((32, 64), ["blue", "red", "white", "green"])
    assert corners("180") == ((64, 32), ["white", "blue", "green", "red"])
    assert corners("!0") == ((64, 32), ["green", "red", "white", "blue"])
    assert corners("!90.0") == ((32, 64), ["white", "green", "blue", "red"])


@pytest.mark.parametrize(
    ("path", "mode"), [("gray.png", "L"), ("bitonal.png", "1"), ("color.jpg", "RGB"), ("default.webp", "RGB")]
)
def test_qualities_and_formats(client, field, path, mode):
    assert opened(client, field[0], f"full/32,/0/{path}").mode == mode


def test_what_viewers_ask_for_first(client, field):
    answer = client.get(f"/iiif/{field[0]}", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"].endswith(f"/iiif/{field[0]}/info.json")
    found = client.get(f"/iiif/{field[0]}/info.json", headers={"accept": "application/ld+json"})
    assert found.headers["content-type"].startswith("application/ld+json")
    said = found.json()
    assert (said["width"], said["height"], said["profile"]) == (8192, 4096, "level2")
    assert said["id"] == f"http://testserver/iiif/{field[0]}"
    for size in said["sizes"]:
        assert opened(client, field[0], f"full/{size['width']},{size['height']}/0/default.jpg").size[0] == size["width"]
    for wrong in ("full/max/7/default.png", "x/max/0/default.png"):
        assert client.get(f"/iiif/{field[0]}/{wrong}").status_code == 400
    assert client.get("/iiif/unknown/full/max/0/default.png").status_code == 404
