"""What crosses from stage to stage: values and gradients as they are, in the memory order that each side wants."""

from typing import Any

import pytest
import torch

from alexnet.pipeline.boundary import _Enter, _Leave

SHAPES = [(2, 3, 4, 5), (2, 6)]


@pytest.mark.parametrize("boundary", [_Enter, _Leave])
@pytest.mark.parametrize("shape", SHAPES)
def test_boundaries_pass_gradcheck_and_hand_on_what_they_get(boundary: Any, shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda tensor: boundary.apply(tensor, tensor.device), (tensor,))
    handed = boundary.apply(tensor, tensor.device)
    assert torch.equal(handed, tensor)
    assert handed.data_ptr() != tensor.data_ptr()  # a copy, never a view


def test_a_stage_sees_channels_last_and_a_boundary_contiguous_tensors() -> None:
    inside, outside = torch.channels_last, torch.contiguous_format
    for boundary, there, back in ((_Enter, inside, outside), (_Leave, outside, inside)):
        tensor = torch.randn(2, 3, 4, 5).to(memory_format=back).requires_grad_()
        handed = boundary.apply(tensor, tensor.device)
        assert handed.is_contiguous(memory_format=there)
        gradients: list[torch.Tensor] = []
        tensor.register_hook(gradients.append)  # type: ignore[no-untyped-call]
        handed.backward(torch.randn(2, 3, 4, 5).to(memory_format=there))
        assert gradients[0].is_contiguous(memory_format=back)
