"""Forms with files: read within limits, described for OpenAPI, and checked like every other request."""

import json
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from s2id.errors import InputError

_JSON = ("attributes", "numbers", "sampling")
"""Fields whose text is JSON."""

_MOST_FILES, _MOST_FIELDS = 256, 32

_LONGEST = 100
"""Characters of a file's name."""

_Form = TypeVar("_Form", bound=BaseModel)


@dataclass(frozen=True)
class Upload:
    """A file that a client sent."""

    name: str
    """What the client calls it, as a plain name without folders. No path is made of it."""
    content: bytes

    @classmethod
    def of(cls, name: str | None, content: bytes) -> "Upload":
        """A file with whatever its client calls it.

        >>> Upload.of("../../etc/pass wd.png", b"").name, Upload.of("(1) <b>.png", b"").name, Upload.of("..", b"").name
        ('pass wd.png', '(1) _b_.png', 'picture')
        """
        plain = PurePath((name or "").replace("\\", "/")).name
        plain = "".join(c if c.isprintable() and c not in "<>" else "_" for c in plain)[-_LONGEST:]
        return cls(plain if plain.strip(". ") else "picture", content)


async def read_form(request: Request, kind: type[_Form], *names: str) -> tuple[_Form, dict[str, list[Upload]]]:
    """What a form asks for, and its files by the name of their field.

    Args:
        request: The request.
        kind: What the form asks for.
        names: Names of the fields that hold files.

    Raises:
        InputError: A field's text is no JSON.
        RequestValidationError: The form has other fields, or a value is not what it must be.
    """
    values: dict[str, Any] = {}
    files: dict[str, list[Upload]] = {name: [] for name in names}
    async with request.form(max_files=_MOST_FILES, max_fields=_MOST_FIELDS) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) and name in files:
                files[name].append(Upload.of(value.filename, await value.read()))
            elif isinstance(value, UploadFile) or name in files:
                raise InputError(f"{name[:60]} is not a file where one belongs, or is one where none does.")
            elif value:  # an empty field of a page is one that was left out
                values[name] = _parsed(name, value) if name in _JSON else value
    try:
        return kind.model_validate(values), files
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from None


def described(kind: type[BaseModel], *names: str) -> dict[str, Any]:
    """The body of a form for OpenAPI, with files under some names; those that end in * may be several."""
    schema = kind.model_json_schema()
    one = {"type": "string", "format": "binary"}
    for name in names:
        schema["properties"][name.rstrip("*?")] = {"type": "array", "items": one} if name.endswith("*") else one
    schema["required"] = [*schema.get("required", []), *(name.rstrip("*") for name in names if not name.endswith("?"))]
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def one_of(files: list[Upload], name: str) -> Upload:
    """The only file of a field of a name.

    Raises:
        InputError: There is none, or there are several.
    """
    if len(files) != 1:
        raise InputError(f"{len(files)} files came as {name!r}; send one.")
    return files[0]


def _parsed(name: str, text: str) -> Any:  # noqa: ANN401  (a value of JSON)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{name} is no JSON; write it as in " + '{"name": 1}.') from None
