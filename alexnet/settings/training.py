"""Settings of the net, its training and the pipeline that trains it."""

from typing import Annotated, Literal

from pydantic import Field

from alexnet.settings.choices import KeyOf
from alexnet.settings.section import Natural, Positive, Section

ONE_STAGE_A_RANK = ("GPipe", "1F1B")
ANY_STAGES_A_RANK = ("Interleaved1F1B", "InterleavedZeroBubble")


class Pipeline(Section):
    """The section ``pipeline``: how the net is spread over ranks. Only ``microbatches`` changes numbers (last bits)."""

    ranks: Positive
    """Processes that train together; 1 trains the same numbers in one process."""
    cuts: Annotated[tuple[str, ...], Field(strict=False)]
    """Layers before which the net is cut into stages; stages must be a multiple of the ranks."""
    schedule: Literal["GPipe", "1F1B", "Interleaved1F1B", "InterleavedZeroBubble"]
    """The order of forward and backward passes: GPipe and 1F1B run one stage a rank, the interleaved ones one or several."""
    microbatches: Positive
    """Equal parts that a batch is divided into."""


class Loader(Section):
    """The section ``loader``."""

    workers: Natural | None
    """Threads that decode images beside the training; 0 for none, null to choose by the cores. Changes no number."""


class Checkpoint(Section):
    """The section ``checkpoint``: how a training that was stopped goes on."""

    minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    """From one saving to the next; null to save nothing. Changes no number."""


class Training(Section):
    """The keys at the top level of params.yaml: what is trained, and how."""

    seed: Annotated[int, Field(ge=0, lt=2**62)]
    """All random numbers are functions of it."""
    model: Annotated[str, KeyOf("alexnet.model.nets", "NETS")]
    """The net."""
    classes: Positive | None
    """Outputs of the net; null for as many as the data has."""
    init_from: str | None
    """A trained model to start from, of the same net; its last layer is left out where it has other classes."""

    activation: Annotated[str, KeyOf("alexnet.model.layers", "ACTIVATIONS")] | None
    """The nonlinearity behind each layer but the last."""
    pool: Annotated[str, KeyOf("alexnet.model.layers", "POOLS")] | None
    """Pooling windows: 3x3 at a stride of 2, which overlap, or 2x2."""
    lrn: Annotated[str, KeyOf("alexnet.model.layers", "ALPHAS")] | None
    """Local response normalisation: with the printed alpha, with alpha / n as in the authors' code, or none."""
    lrn_scope: Annotated[str, KeyOf("alexnet.model.layers", "SCOPES")] | None
    """The maps that the normalisation sums over: neighbours in the same tower, or in all maps."""
    towers: Literal[2, 1] | None
    """Groups in conv2, conv4 and conv5: the paper's two GPUs, or one."""
    dropout: Annotated[str, KeyOf("alexnet.model.layers", "INVERTED")] | None
    """classic: a mask in training, outputs halved in the test. inverted: kept units doubled in training, nothing in the test."""

    crop_size: Positive
    """Side of the crops in pixels. 227 needs no padding in the paper's net; 224 is padded by 3 on the right and bottom."""
    crop_padding: Natural
    """Pixels of the mean's colour around each image, so that crops may stick out of it; the paper has none."""
    mean: Annotated[str, KeyOf("alexnet.data.colors", "MEANS")]
    """What is subtracted from the pixels: the mean image, or its mean over each channel."""
    scale: Annotated[str | int, KeyOf("alexnet.data.colors", "SCALES")]
    """Pixels on the 0-255 scale, or divided by the standard deviation of all training pixels of their channel."""
    flip: bool | None
    """Mirror images at random in training, and in the ten crops; null for the source's own (no for digits, else yes)."""
    color_noise: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Standard deviation of the weights on the RGB eigenvectors; the paper's is 0.1, 0 is off."""
    color_noise_scale: Annotated[str, KeyOf("alexnet.data.colors", "NOISE_SCALES")]
    """What the weights multiply: the pixels' standard deviation along an eigenvector, or the eigenvalue as printed."""

    init: Annotated[str, KeyOf("alexnet.model.initialization", "INITS")]
    """Initial weights: the paper's N(0, 0.01), with ones as biases in conv2, conv4, conv5, fc6 and fc7, or others'."""
    optimizer: Annotated[str, KeyOf("alexnet.training.optim", "OPTIMIZERS")]
    """sgd is the paper's momentum SGD, whose velocity carries the rate; torch_sgd keeps the rate outside."""
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Initial learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)]
    """Part of the velocity kept from step to step; Adam's beta1."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Decay of the weights."""
    bias_lr_mult: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """The biases' rate as a multiple of ``lr``."""
    bias_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    """Decay of the biases; null for that of the weights."""
    batch_size: Positive
    """Images a step."""
    epochs: Positive
    """Passes over the training images."""
    early_stop: Positive | None
    """End after so many epochs without a better validation error; null for never."""
    lr_schedule: Annotated[str, KeyOf("alexnet.training.schedule", "SCHEDULES")]
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
    """Of the maps and what computes them; weights, their gradients and updates, and the loss are float32 always."""
    threads: Positive
    """CPU threads a rank. Part of the recipe: CPU kernels sum in an order that depends on it."""
    pipeline: Pipeline
    loader: Loader
    checkpoint: Checkpoint
