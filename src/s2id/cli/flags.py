"""The command line of a command, generated from its dataclass.

Every field is a flag. A field whose value is itself a dataclass gives that dataclass's fields. A field that
`s2id.settings.setting` made belongs to a group: `--set name=value` sets it and `--help-all` lists it, plain `--help`
does not. tyro parses the flags; the dataclasses themselves check the values.
"""

import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, make_dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

from s2id.checks import check, wanted
from s2id.errors import InputError
from s2id.names import split, unquoted
from s2id.settings import as_text, docstrings

_METAVARS = {str: "TEXT", int: "INT", float: "FLOAT", Path: "PATH"}

_POSITIONAL = get_args(tyro.conf.Positional[str])[1]

_SET = "One setting that has no flag of its own, as name=value. Repeat for several; --help-all lists the settings."

_HELP_ALL = "Show this help with all settings that --set takes, and stop."

_Command = TypeVar("_Command")


@dataclass(frozen=True)
class Help:
    """What the help says of a flag that several commands share: `Annotated[str, Help("...")]`."""

    text: str
    metavar: str = ""
    """Placeholder of the value; empty takes the type's."""
    aliases: tuple[str, ...] = ()
    """Further names of the flag."""


def part(
    default: Any,  # noqa: ANN401  (any settings)
    group: str | None = None,
    flags: tuple[str, ...] | None = None,
    omit: tuple[str, ...] = (),
) -> Any:  # noqa: ANN401  (a field of the settings' type)
    """A field of a command that holds settings, whose own fields are then flags and settings of the command.

    Args:
        default: Default value of the settings.
        group: Heading in `--help-all` for the fields that name no group themselves, none of which is then a flag.
            `None` leaves what is a flag to the settings.
        flags: Names of fields that are flags all the same.
        omit: Names of fields, at any depth, that the command line cannot set.
    """
    return field(default=default, metadata={"group": group, "flags": flags, "omit": omit})


@dataclass(frozen=True)
class Option:
    """One value that the command line may set."""

    path: tuple[str, ...]
    """Names of the fields that lead to it, the command's own first."""
    kind: Any
    """Type of the value."""
    default: Any
    """Default value; `dataclasses.MISSING` if the flag is required."""
    help: str
    group: str | None
    """Heading in `--help-all`; `None` marks a flag."""

    @property
    def name(self) -> str:
        """Name on the command line: `guidance-interval` for the field `guidance_interval`."""
        return self.path[-1].strip("_").replace("_", "-")


def options(
    kind: type, default: object = None, path: tuple[str, ...] = (), holder: Mapping[str, Any] | None = None
) -> Iterator[Option]:
    """All values of a command, those of nested settings included.

    Args:
        kind: The command's or the settings' class.
        default: Instance with the default values; `None` takes the class's own defaults.
        path: Names of the fields that lead to `kind`.
        holder: Metadata of the field that holds the settings, from `part` or `setting`; `None` is a command itself.
    """
    group, flags = ((holder or {}).get(key) for key in ("group", "flags"))
    omit = (holder or {}).get("omit") or ()
    helps, kinds = docstrings(kind), get_type_hints(kind, include_extras=True)
    for f in fields(kind):
        value = _default(f) if default is None else getattr(default, f.name)
        if f.name in omit:
            continue
        if is_dataclass(value):
            below = {**f.metadata, "omit": (*omit, *f.metadata.get("omit", ()))}
            yield from options(type(value), value, (*path, f.name), below)
            continue
        heading = None if flags and f.name in flags else f.metadata.get("group") or group
        yield Option((*path, f.name), kinds[f.name], value, helps.get(f.name, ""), heading)


def read(kind: type[_Command], words: Sequence[str], default: _Command | None = None, name: str = "") -> _Command:
    """The command that the words on the command line describe.

    Args:
        kind: The command's class.
        words: What follows the command's name.
        default: Command with the default values; `None` takes the class's own defaults.
        name: How to call the command in its help, e.g. `s2id sample`.

    Raises:
        InputError: A flag or setting is unknown, its text is of another type, or a value is out of range.
        SystemExit: Help was asked for (code 0), or something that must be given is missing (code 2).
    """
    found = list(options(kind, default))
    plain = [option for option in found if option.group is None]
    settings = {option.name: option for option in found if option.group is not None}
    print_after = ""
    if "--help-all" in words:
        words = ["--help"]
        print_after = _listed(settings.values()) if settings else ""
    _check_flags(words, plain, settings, name)
    parsed: Any
    left: list[str]
    try:
        parsed, left = tyro.cli(
            _flat(plain, bool(settings)),
            args=list(words),
            prog=name or None,
            description=inspect.getdoc(kind),
            config=(tyro.conf.FlagCreatePairsOff,),
            return_unknown_args=True,
        )
    except SystemExit:
        print(print_after, end="")
        raise
    if left:
        several = any(_POSITIONAL in get_args(option.kind) and _element(option.kind) for option in plain)
        hint = "give all that have no flag one after the other" if several else "it may be one too many"
        raise InputError(f"{' '.join(left)} is not understood; {hint}. A name with a dash first is written ./-NAME.")
    values = {option.path: _given(option, getattr(parsed, option.path[-1].strip("_") + "_")) for option in plain}
    for text in getattr(parsed, "set_", ()):
        option, value = _assigned(text, settings, plain)
        if option.path in values:
            raise InputError(f"--set {option.name} is given twice; give it once.")
        values[option.path] = value
    command = _built(kind, default, values)
    check(command)
    return command


def _check_flags(words: Sequence[str], plain: Sequence[Option], settings: Mapping[str, Option], name: str) -> None:
    """Refuse flags that there are not, and arguments without a text, which would be the present folder."""
    called = name.removeprefix("s2id ") or "this command"
    known = {"help", *(("set", "help-all") if settings else ())}
    for option in plain:
        known |= {f"no-{option.name}"} if option.default is True else {option.name}
        known |= {word.strip("-") for one in get_args(option.kind) if isinstance(one, Help) for word in one.aliases}
    paths = [f"--{option.name}" for option in plain if _bare(option.kind) is Path]
    for before, word in pairwise(["", *words]):
        if (not word and (before in paths or not before.startswith("-"))) or word in [f"{flag}=" for flag in paths]:
            raise InputError(f"{called} is given an empty argument, perhaps a variable that is not set; leave it out.")
        if word == "--":
            return
        flag = word.partition("=")[0].removeprefix("--").replace("_", "-")
        if not word.startswith("--") or flag in known:
            continue
        if flag in settings:
            raise InputError(f"{flag} is a setting of {called}; write --set {flag}=VALUE.")
        near = get_close_matches(flag, known, n=2)
        hint = f"did you mean {' or '.join(f'--{one}' for one in near)}?" if near else "--help lists its flags."
        raise InputError(f"{called} has no flag --{flag}; {hint}")


def _flat(plain: Sequence[Option], settings: bool) -> type:
    """A dataclass of the flags alone, for tyro."""
    rows: list[tuple[str, Any, Any]] = []
    for option in plain:
        shared = next((one for one in get_args(option.kind) if isinstance(one, Help)), Help(""))
        positional = option.name.upper() if _POSITIONAL in get_args(option.kind) else None
        bare = _bare(option.kind)
        choices = f"{{{','.join(map(str, get_args(bare)))}}}" if get_origin(bare) is Literal else None
        metavar = shared.metavar or positional or choices or _METAVARS.get(bare)
        kind = tyro.conf.arg(
            name=option.name,
            help=option.help or shared.text,
            metavar=metavar,
            aliases=shared.aliases or None,
            help_behavior_hint="(required)" if option.default is MISSING else None,
        )
        default, row = option.default, Annotated[option.kind, kind]
        if _read_here(option):
            default, row = str(default), Annotated[str, kind]
        rows.append((option.path[-1].strip("_") + "_", row, field(default=default)))
    if settings:
        several = tyro.conf.UseAppendAction[tuple[str, ...]]
        rows += [
            ("set_", Annotated[several, tyro.conf.arg(name="set", help=_SET, metavar="NAME=VALUE")], field(default=())),
            ("help_all", Annotated[bool, tyro.conf.arg(help=_HELP_ALL)], field(default=False)),
        ]
    return make_dataclass("Flags", rows, kw_only=True)


def _assigned(text: str, settings: dict[str, Option], plain: Sequence[Option]) -> tuple[Option, Any]:
    """The setting that `name=value` names, and its value."""
    name, equals, value = text.partition("=")
    name = name.strip().replace("_", "-")
    if not equals:
        raise InputError(f"--set {text!r} is not understood; write --set name=value.")
    option = settings.get(name)
    if option is None:
        if name in (flag.name for flag in plain):
            raise InputError(f"{name} is a flag of this command; write --{name} instead of --set.")
        near = get_close_matches(name, settings, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "--help-all lists the settings."
        raise InputError(f"there is no setting {name!r}; {hint}")
    return option, _read(f"--set {name}", option, value.strip())


def _given(option: Option, value: Any) -> Any:  # noqa: ANN401  (of any type)
    """The value of a flag, from what tyro made of it."""
    return _read(f"--{option.name}", option, value) if _read_here(option) else value


def _read_here(option: Option) -> bool:
    """Whether a flag's text is read as after --set, not by tyro, which says in a dozen lines what is wrong with it."""
    kind = _bare(option.kind)
    return (kind in (int, float) or get_origin(kind) is Literal) and option.default is not MISSING


def _read(name: str, option: Option, text: str) -> Any:  # noqa: ANN401  (of any type)
    """The value that a text is of an option.

    Raises:
        InputError: It is none.
    """
    try:
        return _value(option.kind, text)
    except ValueError as error:
        form = "; write it as in a=1,b=2" if get_origin(_bare(_element(option.kind))) is tuple else ""
        raise InputError(
            f"{name} takes {wanted(option.kind)}, not {text!r}{form}; its default is "
            f"{as_text(option.default) or 'empty'}."
        ) from error


def _value(kind: Any, text: str, separators: str = ",=") -> Any:  # noqa: ANN401  (of any type)
    """A text as a value of a type: elements of tuples are separated by commas, of pairs inside them by `=`.

    Raises:
        ValueError: The text is no such value.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _value(inner[0], text)
    if origin in (Union, UnionType):
        if NoneType in inner and text.lower() == "none":
            return None
        for one in inner:
            with suppress(ValueError):
                return _value(one, text, separators)
    elif origin is tuple:
        texts = split(text, separators[0]) if text else []
        kinds = [inner[0]] * len(texts) if inner[-1] is Ellipsis else inner
        return tuple(_value(k, t.strip(), separators[1:]) for k, t in zip(kinds, texts, strict=True))
    elif origin is Literal or kind is bool:
        known = {str(one).lower(): one for one in (inner or (True, False))}
        if text.lower() in known:
            return known[text.lower()]
    elif kind is str:
        return unquoted(text)
    elif kind is not NoneType:
        return kind(text)
    raise ValueError(text)


def _listed(settings: Iterable[Option]) -> str:
    """All settings by group, as `--help-all` prints them."""
    groups: dict[str, list[Option]] = {}
    for option in settings:
        groups.setdefault(str(option.group), []).append(option)
    lines = []
    for group, members in groups.items():
        lines += ["", f"settings of the {group}: --set name=value"]
        for option in members:
            lines.append(f"  {option.name}={as_text(option.default)}")
            lines += textwrap.wrap(option.help, 100, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines) + "\n"


def _built(
    kind: type[_Command], default: object, values: Mapping[tuple[str, ...], Any], path: tuple[str, ...] = ()
) -> _Command:
    """An instance with the values given at their paths, and default values elsewhere."""
    mine = {}
    for f in fields(kind):  # type: ignore[arg-type]
        here = (*path, f.name)
        value = _default(f) if default is None else getattr(default, f.name)
        if here in values:
            mine[f.name] = values[here]
        elif is_dataclass(value):
            mine[f.name] = _built(type(value), value, values, here)
        else:
            mine[f.name] = value
    return kind(**mine)


def _default(f: Any) -> Any:  # noqa: ANN401  (a field's default, of any type)
    return f.default if f.default_factory is MISSING else f.default_factory()


def _element(kind: Any) -> Any:  # noqa: ANN401  (of any type)
    """Type of a list's elements; of any other type, the type itself."""
    inner = get_args(_bare(kind))
    return inner[0] if get_origin(_bare(kind)) is tuple and inner[-1] is Ellipsis else None


def _bare(kind: Any) -> Any:  # noqa: ANN401  (of any type)
    """A type without annotations and without `None`."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        rest = [one for one in get_args(kind) if one is not NoneType]
        return _bare(rest[0]) if len(rest) == 1 else kind
    return kind
