"""What crosses from stage to stage: values and gradients as they are, in the memory order that each side wants."""

from typing import Any

import pytest
import torch

from alexnet.pipeline.boundary import _FromWire, _ToWire

SHAPES = [(2, 3, 4, 5), (2, 6)]


@pytest.mark.parametrize("wire", [_FromWire, _ToWire])
@pytest.mark.parametrize("shape", SHAPES)
def test_wires_pass_gradcheck_and_hand_on_what_they_get(wire: Any, shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(wire.apply, (tensor,))
    handed = wire.apply(tensor)
    assert torch.equal(handed, tensor)
    assert handed.data_ptr() != tensor.data_ptr()  # a copy, never a view


def test_a_stage_sees_channels_last_and_a_wire_contiguous_tensors() -> None:
    inside, outside = torch.channels_last, torch.contiguous_format
    for wire, there, back in ((_FromWire, inside, outside), (_ToWire, outside, inside)):
        tensor = torch.randn(2, 3, 4, 5).to(memory_format=back).requires_grad_()
        handed = wire.apply(tensor)
        assert handed.is_contiguous(memory_format=there)
        gradients: list[torch.Tensor] = []
        tensor.register_hook(gradients.append)
        handed.backward(torch.randn(2, 3, 4, 5).to(memory_format=there))
        assert gradients[0].is_contiguous(memory_format=back)
