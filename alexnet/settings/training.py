"""Settings of the net, its training and the pipeline that trains it."""

from typing import Annotated, Literal

from pydantic import Field

from alexnet.settings.section import Natural, Positive, Section

CUTS = {"alexnet": ("conv3", "fc6", "fc7", "fc8")}
"""The layers of each net that read the maps of both of the paper's GPUs: the pipeline may be cut before them."""

ONE_STAGE_A_RANK = ("GPipe", "1F1B")
SEVERAL_STAGES_A_RANK = ("Interleaved1F1B", "InterleavedZeroBubble")


class Pipeline(Section):
    """The section ``pipeline``: how the net is spread over ranks. Only ``microbatches`` changes numbers (last bits)."""

    ranks: Positive
    """Processes that train together; 1 trains the same numbers in one process."""
    cuts: Annotated[tuple[str, ...], Field(strict=False)]
    """Layers before which the net is cut into stages; stages must be a multiple of the ranks."""
    schedule: Literal["GPipe", "1F1B", "Interleaved1F1B", "InterleavedZeroBubble"]
    """The order of forward and backward passes: GPipe and 1F1B run one stage a rank, the interleaved ones several."""
    microbatches: Positive
    """Equal parts that a batch is divided into."""


class Loader(Section):
    """The section ``loader``."""

    workers: Natural | None
    """Threads that decode images beside the training; 0 for none, null to choose by the cores. Changes no number."""


class Training(Section):
    """The keys at the top level of params.yaml: what is trained, and how."""

    seed: Annotated[int, Field(ge=0, lt=2**62)]
    """All random numbers are functions of it."""
    model: Literal["alexnet"]
    """The net."""
    classes: Positive | None
    """Outputs of the net; null for as many as the data has."""
    crop_size: Literal[224, 227]
    """Side of the crops in pixels: 227 unpadded, or 224, which the net pads by 3 on the right and bottom; 55 maps either way."""
    flip: bool | None
    """Mirror images at random in training, and in the ten crops; null for the source's own (no for digits, else yes)."""
    color_noise: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Standard deviation of the weights on the RGB eigenvectors; the paper's is 0.1, 0 is off."""
    init: Literal["paper"]
    """Initial weights: the paper's N(0, 0.01), with ones as biases in conv2, conv4, conv5, fc6 and fc7."""
    optimizer: Literal["sgd"]
    """The paper's momentum SGD, whose velocity carries the rate."""
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Initial learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)]
    """Part of the velocity kept from step to step."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Decay of all weights and biases."""
    batch_size: Positive
    """Images a step."""
    epochs: Positive
    """Passes over the training images."""
    lr_schedule: Literal["plateau", "milestones", "step", "cosine", "constant"]
    """When the rate drops: where the validation error stops improving (three times at the most), after given epochs, after every
    few epochs, along half a cosine down to zero, never."""
    lr_factor: Annotated[float, Field(gt=0, lt=1)]
    """For ``plateau``, ``milestones`` and ``step``: what a drop multiplies the rate with."""
    lr_patience: Positive
    """For ``plateau``: epochs without a better validation error before the rate drops."""
    lr_milestones: Annotated[tuple[Positive, ...], Field(strict=False)]
    """For ``milestones``: the epochs after which the rate drops; the authors' code has 25, 51 and 79."""
    lr_step: Positive
    """For ``step``: epochs from drop to drop."""
    keep: Literal["last", "best"]
    """The epoch whose weights are kept: the last, or the one of least validation error."""
    precision: Literal["float32", "bfloat16"]
    """Of the convolutions and matrix products; weights and their updates are float32 always."""
    threads: Positive
    """CPU threads a rank. Part of the recipe: CPU kernels sum in an order that depends on it."""
    pipeline: Pipeline
    loader: Loader
