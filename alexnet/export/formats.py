"""The formats: ONNX, torch's pt2, and the weights of torchvision's ``alexnet``."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alexnet.errors import UserError
from alexnet.models.layers import Dropout
from alexnet.models.network import Network
from alexnet.models.saved import TORCHVISION

Run = Callable[[Tensor], Tensor]
"""Inputs of any number of images in, outputs out."""


@dataclass(frozen=True)
class Graph:
    """What is exported."""

    module: nn.Module
    """In evaluation mode."""
    example: Tensor
    """Inputs of two images or more."""
    inputs: str
    outputs: str
    metadata: dict[str, str]

    def program(self) -> torch.export.ExportedProgram:
        """The graph as torch captures it, for any number of images."""
        with torch.no_grad():
            return torch.export.export(self.module, (self.example,), dynamic_shapes=({0: torch.export.Dim("batch")},))


def onnx(graph: Graph) -> tuple[bytes, Run]:
    """An ONNX file, with the metadata in ``metadata_props``, and a function that runs it in onnxruntime."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; run `python -m pip install onnx onnxruntime onnxscript`") from None
    with _quiet():
        converted = torch.onnx.export(
            graph.program(), dynamo=True, verbose=False, input_names=[graph.inputs], output_names=[graph.outputs]
        )
    assert converted is not None
    proto = converted.model_proto
    for key, value in graph.metadata.items():
        proto.metadata_props.add(key=key, value=value)
    content = proto.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return content, lambda images: torch.from_numpy(session.run(None, {graph.inputs: images.numpy()})[0])


def pt2(graph: Graph) -> tuple[bytes, Run]:
    """A program for ``torch.export.load``, with the metadata as extra files, and the program as loaded from it."""
    file = io.BytesIO()
    with _quiet():
        torch.export.save(graph.program(), file, extra_files=dict(graph.metadata))
        file.seek(0)
        loaded = torch.export.load(file).module()
    return file.getvalue(), lambda images: torch.as_tensor(loaded(images))


def torchvision(net: Network, classes: int) -> tuple[bytes, Run]:
    """A ``state_dict`` for torchvision's ``alexnet`` with ``num_classes=classes``, and that net with it.

    Classic dropout halves its outputs in evaluation, torchvision's leaves them: the weights behind it are halved instead, which
    changes no bit. Raises ``UserError`` for another net.
    """
    names = {ours: theirs for theirs, ours in TORCHVISION.items()}
    modules = dict(net.named_children())
    foreign = [name for name, layer in modules.items() if isinstance(layer, nn.Tanh | nn.Sigmoid)]
    if foreign or set(net.weighted) != set(names) or modules["conv1"].out_channels != 64:
        raise UserError("--to torchvision: torchvision has no such net; it has alexnet-owt with ReLU, use --to onnx or pt2")
    tensors = {}
    for name, parameter in net.named_parameters():
        layer, _, kind = name.rpartition(".")
        drop = modules.get(f"drop{layer[-1]}")
        kept = 1 - drop.p if isinstance(drop, Dropout) and not drop.inverted and kind == "weight" else 1.0
        tensors[f"{names[layer]}.{kind}"] = (parameter * kept).detach().contiguous()
    from torchvision.models import alexnet  # type: ignore[import-untyped]

    file = io.BytesIO()
    torch.save(tensors, file)
    file.seek(0)
    theirs = alexnet(num_classes=classes)
    theirs.load_state_dict(torch.load(file, weights_only=True))
    return file.getvalue(), theirs.eval()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings about its own converter."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
