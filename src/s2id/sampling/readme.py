"""The README.md of a model's folder, which the Hugging Face Hub shows as its model card. Filled in from the model."""

import json
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from s2id.network.settings import EnlargerConfig

_SHOWN = 50
"""Number of names of classes or attributes that are listed."""

_KINDS = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}

_PAGE = """\
---
library_name: s2id
tags: [{task}, arbitrary-resolution]
---
# S2ID, {title}

{purpose}
s2id {version} wrote this page when it saved the model.

| fact | value |
|---|---|
{facts}

{usage} `s2id info` prints all facts, and `config.json` holds them.

## Settings

```json
{settings}
```
"""

_DRAWS = "Draws pictures like those of {title} at any height, width, aspect ratio and zoom."

_DRAW = """\
## Draw from it

```python
import s2id
model = s2id.load({name})
s2id.sample(model{asked}, seed=0).image(size=512).save("picture.png")
```

or `s2id sample {shell} --size 512`."""

_ENLARGES = "Enlarges pictures like those of {title}, of any size, to any size."

_ENLARGE = """\
## Enlarge with it

`s2id upscale PICTURE --size 2048 --weights {shell}`, or `s2id.upscale` in Python."""


def readme(facts: Mapping[str, Any], parameters: int, name: str, training: Mapping[str, Any] | None = None) -> str:
    """Text of the README.md of a model: its data, its settings, and how to draw from it.

    Args:
        facts: The model's `facts()`.
        parameters: Number of parameters of its network.
        name: What `load` takes to load it: a folder or a repository.
        training: Settings that it was trained with; `None` leaves them out.
    """
    card, config = facts["card"], facts["config"]
    label = card["labels"][0] if card["labels"] else 0 if config.get("classes") else None
    asked = "" if label is None else f", label={json.dumps(label)}"
    if card["words"]:
        asked = f", s2id.ask(model{asked}, words={json.dumps(card['words'][0], ensure_ascii=False)})"
    if card["encoder"]:
        asked = f', s2id.ask(model{asked}, words="any text")'
    enlarges = config["network"] == EnlargerConfig.network
    title, shell = card["data"] or "unnamed data", shlex.quote(name)
    named = {"name": json.dumps(name), "asked": asked, "shell": shell}
    beside = {"guide": "a guide for autoguidance", "renderer": "a network that draws the composed states"}
    more = "".join(f", and {what}" for name, what in beside.items() if name in facts)
    rows = {
        "data": card["data"],
        "pictures": "x".join(map(str, card["size"] or ()))
        + f" pixels, {_KINDS[config.get('channels', EnlargerConfig.channels)]}",
        "classes": _listed(card["labels"]) if card["labels"] else str(config.get("classes", "")),
        "attributes": _listed(card["attributes"]),
        "numbers": _listed(
            f"{number} ({low:g} to {high:g})"
            for number, (low, high) in zip(card["numbers"], card["number_ranges"], strict=True)
        ),
        "words, the most frequent first": _listed(card["words"]),
        "text encoder": card["encoder"],
        "images seen in training, repetitions counted": f"{card['images_seen']:,}",
        "samples along the long side of the state that it composes": "" if enlarges else str(card["density"]),
        "network": f"{config['network']}, {parameters:,} parameters{more}",
    }
    return _PAGE.format(
        title=title,
        task="super-resolution" if enlarges else "diffusion",
        purpose=(_ENLARGES if enlarges else _DRAWS).format(title=title),
        version=version("s2id"),
        facts="\n".join(f"| {fact} | {_plain(value)} |" for fact, value in rows.items() if value),
        usage=(_ENLARGE if enlarges else _DRAW).format(**named),
        settings=json.dumps({"network": config, **({"training": dict(training)} if training else {})}, indent=1),
    )


def _listed(names: Any) -> str:  # noqa: ANN401  (any strings)
    """How many names there are, and the first of them; nothing if there are none."""
    known = list(names)
    more = ", ..." if len(known) > _SHOWN else ""
    return f"{len(known)}: {', '.join(known[:_SHOWN])}{more}" if known else ""


def _plain(text: str) -> str:
    """A text that stays in its cell of a table."""
    return " ".join(text.replace("|", "\\|").split())
