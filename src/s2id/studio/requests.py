"""What clients may ask for, as OpenAPI describes it. Values are checked where they are used."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

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
    label: Class | None | list[Class | None] = Field(None, description="Name or index of a class, or several.")
    seeds: Name = Field("0", description="A seed, a range 0-11 or a list 1,5,9.")
    sampling: dict[Name, Any] = Field({}, description="Settings by name; those left out are as /api/models says.")
