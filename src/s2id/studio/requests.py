"""What clients may ask for, as OpenAPI describes it. Values are checked where they are used."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from s2id.errors import InputError
from s2id.settings import Size, Window, parse_any_size
from s2id.studio.settings import MOST_PICTURES, MOST_SIDE

Name = Annotated[str, Field(max_length=1000)]

Class = Name | int


class Beside(BaseModel):
    """What a picture is asked for beside its class; what is left out stays open."""

    model_config = ConfigDict(extra="forbid", strict=True)

    style: Class | None = Field(None, description="The same as `label`, where classes are styles.")
    words: Name | None = Field(None, description="What is shown, in words that the model knows.")
    attributes: dict[Name, bool] = Field({}, description="By name, whether the picture has the attribute.")
    numbers: dict[Name, float] = Field({}, description="By name, the number in the unit of the data.")


class Asked(Beside):
    """What one picture is asked for."""

    label: Class | None = Field(None, description="Name or index of a class.")


class Compose(Beside):
    """A sheet of pictures: every label with every seed."""

    model: Name = Field(description="Name of a model, from /api/models.")
    label: Class | None | list[Class | None] = Field(
        None,
        description="Name or index of a class, or several; none is no class. Left out, each seed has a class of its "
        "own, or none if anything else is asked for.",
    )
    seeds: Name = Field("0", description="A seed, a range 0-11 or a list 1,5,9.")
    sampling: dict[Name, Any] = Field({}, description="Settings by name; those left out are as /api/models says.")


class Morph(BaseModel):
    """The way from one picture of a sheet to another, of the same model and settings."""

    model_config = ConfigDict(extra="forbid", strict=True)

    start: Name = Field(description="Id of the field at which it begins.")
    end: Name = Field(description="Id of the field at which it ends.")
    frames: int = Field(9, ge=2, le=MOST_PICTURES, description="Functions on the way, with both ends.")


class _FromPictures(Asked):
    """What a form asks for beside its files. A form holds texts: `attributes`, `numbers` and `sampling` are JSON."""

    model_config = ConfigDict(extra="forbid", strict=False)

    size: Name | None = Field(None, description="Height x width of the result in pixels, or its long side.")
    scale: float | None = Field(None, ge=1, le=64, description="Instead of a size: how many times as large.")

    def target(self, own: Size, usual: int = 1) -> Size:
        """Height and width of the result.

        Args:
            own: Height and width of what is given.
            usual: How many times as large it becomes if nothing is asked.

        Raises:
            InputError: The size is none, or there is a scale too.
        """
        if self.size is None:
            times = usual if self.scale is None else self.scale
            return round(own[0] * times), round(own[1] * times)
        if self.scale is not None:
            raise InputError("size and scale both say how large; keep one of them.")
        size = parse_any_size(self.size)
        if isinstance(size, tuple):
            return size
        if not size:
            raise InputError("size is 0; it must be at least 1 pixel.")
        return max(1, round(size * own[0] / max(own))), max(1, round(size * own[1] / max(own)))


class Upscale(_FromPictures):
    """A picture to enlarge."""

    model: Name = Field(description="Name of a model that can upscale.")
    seeds: Name = Field("0", description="Of a model that invents: one answer is drawn per seed. Others have one.")


class Restore(_FromPictures):
    """A picture to restore."""

    model: Name = Field(description="Name of a model that can restore.")
    noise: float = Field(0.0, ge=0, le=100, description="Standard deviation of its noise; black is -1 and white is 1.")
    seeds: Name = Field("0-7", description="One answer is drawn per seed.")
    sampling: dict[Name, Any] = Field({}, description="Settings by name.")


class Depixelate(_FromPictures):
    """Frames of a moving camera: one animation, or several pictures."""

    model: Name | None = Field(None, description="Name of a model of such pictures, if any.")
    seeds: Name = Field("0-7", description="Seeds of the model's answers, whose mean is the picture.")


class Seen(BaseModel):
    """Which part of a field is seen, and how large."""

    model_config = ConfigDict(extra="forbid")

    height: int | None = Field(None, ge=1, le=MOST_SIDE, description="In pixels; left out, it follows from the width.")
    width: int | None = Field(None, ge=1, le=MOST_SIDE, description="In pixels; left out, it follows from the height.")
    window: str | None = Field(
        None,
        max_length=200,
        description="Region: top,left,height,width as shares of the frame, as in 0.25,0.25,0.5,0.5",
    )
    fit: Literal["fit", "fill", "stretch"] = "fit"
    look: Literal["smooth", "squares", "palette"] = "smooth"
    form: Literal["png", "safetensors", "html", "gif"] = Field(
        "png", description="Of a recipe, the file that it makes; gif of a way only."
    )

    def size(self, own: Size) -> Size:
        """Height and width; one that is left out follows from the other in the picture's own aspect."""
        if self.width is None:
            return (self.height, max(1, round(self.height * own[1] / own[0]))) if self.height else own
        return self.height or max(1, round(self.width * own[0] / own[1])), self.width

    @property
    def region(self) -> Window | None:
        """The window as `Field.image` takes it: top, left, bottom and right.

        Raises:
            InputError: It is none.
        """
        if self.window is None:
            return None
        try:
            top, left, height, width = (float(part) for part in self.window.split(","))
        except ValueError:
            raise InputError(
                f"window {self.window[:60]!r} is not top,left,height,width; write it as in 0.25,0.25,0.5,0.5."
            ) from None
        return top, left, top + height, left + width
