"""Whether things belong together: a card and its network, and a model and the weaker model that guides it."""

from pathlib import Path

from s2id.errors import InputError
from s2id.network.settings import DATA_FIELDS, NetworkConfig
from s2id.sampling.settings import Card


def check_names(config: NetworkConfig, card: Card, path: Path) -> None:
    """Refuse a card that names more or fewer classes, attributes, numbers or words than the network has.

    Args:
        config: Settings of the network.
        card: The card.
        path: File of both, for the message.

    Raises:
        InputError: It does.
    """
    of_network = {
        "labels": config.classes, "attributes": config.attributes, "numbers": config.numbers, "words": config.words,
    }  # fmt: skip
    for name, count in of_network.items():
        if (names := getattr(card, name)) and len(names) != count:
            raise InputError(
                f"the card in {path} has {len(names)} {name} and the network {count}; use the file as it was saved."
            )


def check_guide(model: tuple[NetworkConfig, Card], guide: tuple[NetworkConfig, Card]) -> None:
    """Refuse a guide whose data or states are not those of the model.

    Args:
        model: Settings of the model's network, and its card.
        guide: Those of the guide.

    Raises:
        InputError: They differ.
    """
    mine, theirs = _shared(*model), _shared(*guide)
    if wrong := [name for name in mine if mine[name] != theirs[name]]:
        raise InputError(
            f"the guide has {wrong[0]} {theirs[wrong[0]]} and the model {mine[wrong[0]]}; train the guide as "
            "the model, only smaller or shorter."
        )
    own, weaker = model[0], guide[0]
    if own.patch % weaker.patch:
        raise InputError(f"the guide's patch is {weaker.patch} and the model's {own.patch}; it must divide it.")
    if own.patch * weaker.lattice != weaker.patch * own.lattice:
        raise InputError(
            f"the guide's lattice is {weaker.lattice} in a patch of {weaker.patch} and the model's {own.lattice} in "
            f"one of {own.patch}; both must be as dense."
        )


def _shared(config: NetworkConfig, card: Card) -> dict[str, object]:
    """Facts that a model and its guide must share: about the data, and about the states."""
    of_card = (
        "labels", "attributes", "numbers", "words", "number_ranges", "density", "size", "schedule_s", "schedule_shift",
        "autoencoder",
    )  # fmt: skip
    names = {
        f"names of {name}" if name in ("labels", "attributes", "numbers", "words") else name: getattr(card, name)
        for name in of_card
    }
    return {**{name: getattr(config, name) for name in (*DATA_FIELDS, "network")}, **names}
