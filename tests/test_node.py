"""A node may take as many inputs of one kind as are wanted, and give files beside its outputs."""

from typing import Annotated, NamedTuple

import pytest

from graphflow.node import Artifact, Grows, Port, Value, node, node_of


class Picture(Value):
    wire = "IMAGE"


def test_keyword_arguments_become_a_group_of_inputs() -> None:
    @node("Batch", category="toys")
    def batch(size: int = 1, **pictures: Annotated[Picture, Grows(("picture0", "picture1"))]) -> int:
        return len(pictures)

    assert node_of(batch).definition.inputs[1:] == (
        Port(name="picture0", type="IMAGE", required=True, grows="pictures"),
        Port(name="picture1", type="IMAGE", required=False, grows="pictures"),
    )
    assert batch(picture0=Picture()) == 1


def test_an_output_node_may_pass_its_input_on() -> None:
    class Shown(NamedTuple):
        picture: Picture
        files: list[Artifact]

    @node("Show", category="toys", output_node=True)
    def show(picture: Picture) -> Shown:
        return Shown(picture, [Artifact("text/plain", b"a", "a")])

    shown = node_of(show)
    result = show(Picture())
    assert [(port.name, port.type) for port in shown.definition.outputs] == [("picture", "IMAGE")]
    assert shown.outputs(result) == (result.picture,)
    assert shown.made(result) == result.files


def test_a_group_without_names_is_refused() -> None:
    with pytest.raises(TypeError, match=r"\*\*pictures needs Grows"):

        @node("Batch", category="toys")
        def batch(**pictures: Picture) -> int:
            return 0
