"""Settings of the net, its training and the pipeline that trains it."""

from typing import Annotated, Literal

from pydantic import Field

from alexnet.config.nets import NETS
from alexnet.config.section import AboveZero, AtLeastZero, Handful, Positive, Section

ONE_STAGE_PER_RANK = ("GPipe", "1F1B")
ANY_STAGES_PER_RANK = ("Interleaved1F1B", "InterleavedZeroBubble")


class Pipeline(Section):
    """The section ``pipeline``: how the net is spread over ranks.

    Only ``replicas`` and ``microbatches`` change numbers, in their last bits.
    """

    ranks: Positive
    """Processes that train together as a pipeline; 1 gives the same numbers in one process."""
    replicas: Handful
    """Pipelines side by side, each over `pipeline.ranks`, with equal shares of every batch, whose gradients are added up."""
    cuts: Annotated[tuple[str, ...], Field(strict=False)]
    """Layers before which the net is cut into stages. The number of stages must be a multiple of the ranks."""
    schedule: Literal["InterleavedZeroBubble", "Interleaved1F1B", "1F1B", "GPipe"]
    """Order of the forward and backward passes. `1F1B` and `GPipe` run one stage per rank, the other two any number."""
    microbatches: Positive
    """Parts of equal size that a batch, or a replica's share of it, is divided into."""


class Training(Section):
    """The keys at the top level of params.yaml: what is trained, and how."""

    seed: Annotated[int, Field(ge=0, lt=2**62)]
    """Seed of all random numbers."""
    model: Literal[tuple(NETS)]  # type: ignore[valid-type]
    """The net. All but the first two need other switches and crops, which their recipes set."""
    classes: Positive | None
    """Classes of the net; null for as many as the data has."""
    init_from: str | None
    """A trained model of the same net to start from; null for initial weights. `~` is the home folder."""

    freeze: Annotated[tuple[str, ...], Field(strict=False)]
    """Layers whose weights and biases stay as they are, such as `[conv1, conv2]`; needs `init_from`."""

    activation: Literal["relu", "tanh", "sigmoid"] | None
    """Activation after each layer except the last."""
    pool: Literal["overlapping", "plain"] | None
    """Pooling windows: 3×3 with stride 2, which overlap, or 2×2 with stride 2."""
    lrn: Literal["paper", "code", "off"] | None
    """Local response normalisation: alpha as printed, alpha / n as in the authors' code, or none."""
    lrn_scope: Literal["tower", "all"] | None
    """The maps that the normalisation sums over: those of the same tower, or all."""
    towers: Literal[2, 1] | None
    """Towers, as groups in conv2, conv4 and conv5; the paper has one per GPU."""
    dropout: Literal["classic", "inverted", "off"] | None
    """`classic` halves the outputs in evaluation, `inverted` doubles the kept outputs in training."""

    crop_size: Positive
    """Side of the crops in pixels. 227 needs no padding in the paper's net; 224 is padded by 3 on the right and bottom."""
    crop_padding: Annotated[int, Field(ge=0, le=1024)]
    """Pixels around each image, in the mean's colour, that crops may reach into; 0 in the paper."""
    mean: Literal["image", "channel"]
    """What is subtracted from the pixels: the mean image, or its mean colour."""
    scale: Literal[255, "unit"]
    """Pixels on the 0–255 scale, or divided by each channel's standard deviation."""
    flip: bool | None
    """Mirror images at random in training and in the ten crops; null for the source's own: false for digits, text and
    traffic signs, else true."""
    color_noise: AtLeastZero
    """Standard deviation of the random weights on the RGB eigenvectors; 0 for no colour noise."""
    color_noise_scale: Literal["stdev", "eigenvalues"]
    """What these weights multiply: √λ as in the authors' code, or λ as printed, which fits pixels in 0..1."""

    init: Literal["paper", "code", "kaiming", "xavier", "torch", "cifar-code"]
    """Initial weights and biases. `code` and `cifar-code` are those of the authors' code for the large and the small nets."""
    bias_ones: Annotated[tuple[str, ...], Field(strict=False)] | None
    """Layers whose biases start at 1, and those of all others at 0, such as `[conv2, fc6]`; null for the biases of `init`."""
    optimizer: Literal["sgd", "torch_sgd", "adam", "adamw"]
    """`sgd` is the paper's, whose velocity includes the learning rate; torch's keeps the rate outside."""
    lr: AboveZero
    """Initial learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)]
    """Fraction of the velocity kept from step to step; Adam's beta1."""
    weight_decay: AtLeastZero
    """Weight decay."""
    bias_lr_mult: AboveZero
    """The biases' learning rate as a multiple of `lr`; 2 in the authors' code."""
    bias_decay: AtLeastZero | None
    """Weight decay of the biases; null for the same as the weights, 0 in the authors' code."""
    lr_mult: dict[str, AboveZero] | None
    """Learning rates of single layers as multiples of `lr`, such as `{fc8: 10}`; null for 1 in all. Biases are multiplied by
    `bias_lr_mult` too."""
    decay_mult: dict[str, AtLeastZero] | None
    """Weight decays of single layers as multiples of `weight_decay` and `bias_decay`, such as `{conv1: 0}`; null for 1 in all."""
    batch_size: Positive
    """Images per step."""
    epochs: Positive
    """Passes over the training images."""
    early_stop: Positive | None
    """End after this many epochs without a better validation error; null for never."""
    lr_schedule: Literal["plateau", "milestones", "step", "cosine", "constant"]
    """How the rate falls: when the validation error stops improving (at most three times), after given epochs, every few epochs,
    along half a cosine to zero, or not at all."""
    lr_factor: Annotated[float, Field(gt=0, lt=1)]
    """Factor by which each drop multiplies the rate."""
    lr_patience: Positive
    """`plateau` only: epochs without a better validation error before a drop."""
    lr_milestones: Annotated[tuple[Positive, ...], Field(strict=False)]
    """`milestones` only: the epochs after which the rate drops; the authors' code has 25, 51 and 79."""
    lr_step: Positive
    """`step` only: epochs between drops."""
    keep: Literal["last", "best"]
    """The epoch whose weights are kept: the last, or the one with the lowest validation error."""
    precision: Literal["float32", "bfloat16"]
    """Precision of the activations; weights, their gradients and updates, and the loss are always float32. `bfloat16` needs a GPU
    or a CPU with instructions for it, and is rejected elsewhere."""
    threads: Handful
    """CPU threads per rank. Changes the last bits of numbers, as the order in which CPU kernels sum depends on it."""
    pipeline: Pipeline
