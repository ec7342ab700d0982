"""The layers by which nets may vary, by the settings' names, and two that torch lacks: normalisation by tower, dropout by row."""

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.models.compiled import compiled_on_gpu


class LocalResponseNorm(nn.Module):
    """Local response normalisation (paper, section 3.3): ``b_i = a_i / (k + alpha * sum_j a_j^2) ** 0.75``.

    The sum runs over ``size`` neighbouring maps of the same tower, ``alpha`` is not divided by ``size`` (torch's own
    layer does both otherwise). Maps of shape (N, C, H, W) in, the same out.
    """

    def __init__(self, towers: int, size: int = 5, alpha: float = 1e-4, k: float = 2.0) -> None:
        super().__init__()
        self.towers, self.size, self.alpha, self.k = towers, size, alpha, k
        self._windows: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}

    def forward(self, maps: Tensor) -> Tensor:
        if maps.is_cuda:
            return cast(Tensor, _NormOnGpu.apply(maps, self))
        return cast(Tensor, _LocalResponseNorm.apply(maps, self._window(maps), self.k, self.towers))

    def _window(self, maps: Tensor) -> Tensor:
        """The sum over neighbouring maps is a 1x1 convolution with this band matrix, which CPUs run at full speed."""
        kind = maps.shape[1], maps.dtype, maps.device
        if kind in self._windows:
            return self._windows[kind]
        position = torch.arange(maps.shape[1] // self.towers, device=maps.device)
        near = (position[:, None] - position).abs() <= self.size // 2
        window = (self.alpha * near.to(maps.dtype)).repeat(self.towers, 1)[:, :, None, None]
        if not torch.compiler.is_compiling():  # a tensor of an export's trace means nothing outside
            self._windows[kind] = window
        return window

    def extra_repr(self) -> str:
        return f"towers={self.towers}, size={self.size}, alpha={self.alpha}, beta=0.75, k={self.k}"


class _LocalResponseNorm(torch.autograd.Function):
    """With s = k + alpha * sum a^2 and b = a * s^-3/4: da = g * s^-3/4 - 2 * 3/4 * a * window(g * a * s^-7/4).

    Computes in the maps' own type: under autocast, CUDA would take roots in float32 and CPUs would not.
    """

    @staticmethod
    def forward(ctx, maps, window, k, towers):  # type: ignore[no-untyped-def]
        with _no_autocast(maps):
            scale = F.conv2d(maps * maps, window, groups=towers).add_(k)
            power = scale.rsqrt()
            power.mul_(power.sqrt())
        ctx.save_for_backward(maps, window, scale, power)
        ctx.towers = towers
        ctx.set_materialize_grads(False)  # before the first layer that learns there are no gradients
        return maps * power

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        if gradient is None:
            return None, None, None, None
        maps, window, scale, power = ctx.saved_tensors
        with _no_autocast(maps):
            direct = gradient * power
            around = F.conv2d((direct * maps).div_(scale), window, groups=ctx.towers)
            return direct.addcmul_(maps, around, value=-1.5), None, None, None


class _NormOnGpu(torch.autograd.Function):
    """The same in float32, which a GPU has time for while it waits for its memory."""

    @staticmethod
    def forward(ctx, maps, norm):  # type: ignore[no-untyped-def]
        normalized, root = _normalize(maps, norm.towers, norm.size // 2, norm.alpha, norm.k)
        ctx.save_for_backward(maps, root)
        ctx.norm = norm
        ctx.set_materialize_grads(False)
        return normalized

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        if gradient is None:
            return None, None
        (maps, root), norm = ctx.saved_tensors, ctx.norm
        return _normalize_backward(gradient, maps, root, norm.towers, norm.size // 2, norm.alpha), None


@compiled_on_gpu
def _normalize(maps: Tensor, towers: int, reach: int, alpha: float, k: float) -> tuple[Tensor, Tensor]:
    """What ``LocalResponseNorm`` gives, and s^-1/2."""
    values = _by_tower(maps, towers)
    root = (k + alpha * _neighbours(values * values, reach)).rsqrt()
    return _as_maps(values * root * root.sqrt(), maps), _as_maps(root, maps)


@compiled_on_gpu
def _normalize_backward(gradient: Tensor, maps: Tensor, root_maps: Tensor, towers: int, reach: int, alpha: float) -> Tensor:
    values, root = _by_tower(maps, towers), _by_tower(root_maps, towers)
    direct = _by_tower(gradient, towers) * root * root.sqrt()
    around = _neighbours(direct * values * root * root, reach)
    return _as_maps(direct - 1.5 * alpha * values * around, maps)


def _by_tower(maps: Tensor, towers: int) -> Tensor:
    """(N, C, H, W) to float32 (N, H, W, towers, C / towers), the order in which channels-last maps lie in memory."""
    return maps.permute(0, 2, 3, 1).reshape(len(maps), *maps.shape[2:], towers, maps.shape[1] // towers).float()


def _as_maps(values: Tensor, maps: Tensor) -> Tensor:
    return values.flatten(3).permute(0, 3, 1, 2).to(maps.dtype)


def _neighbours(values: Tensor, reach: int) -> Tensor:
    """The sum of each value and its neighbours to both sides on the last axis."""
    count, padded = values.shape[-1], F.pad(values, (reach, reach))
    total = padded[..., :count]
    for shift in range(1, 2 * reach + 1):
        total = total + padded[..., shift : shift + count]
    return total


def _no_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    device = tensor.device.type
    # Meta tensors have no autocast.
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


class Dropout(nn.Module):
    """Dropout (paper, section 4.2): a mask in training, outputs times ``1 - p`` in evaluation.

    The inverted form divides by ``1 - p`` in training instead, and does nothing in evaluation. Which units drop is a function of
    ``key`` (the seed and the layer) and of each row's number alone, so it depends neither on how a batch is divided nor on
    which process draws it. Activations (N, units) and rows (N,) in; (N, units) out.
    """

    def __init__(self, p: float, key: int, inverted: bool = False) -> None:
        super().__init__()
        self.p, self.key, self.inverted = p, key, inverted
        self.stream = int(mix(torch.tensor(key, device="cpu")))

    def forward(self, activations: Tensor, rows: Tensor | None) -> Tensor:
        if not self.training:
            return activations if self.inverted else activations * (1 - self.p)
        if rows is None:
            raise ValueError("dropout draws by the rows' numbers: call the net with rows=, an int64 tensor (N,)")
        kept = activations * _kept(rows, activations.shape[1], self.stream, int(self.p * 2**24))
        return kept / (1 - self.p) if self.inverted else kept

    def extra_repr(self) -> str:
        return f"p={self.p}, inverted={self.inverted}"


def mix(numbers: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014) on int64: a bijection whose bits look random."""
    mixed = numbers + (0x9E3779B97F4A7C15 - 2**64)
    mixed = (mixed ^ ((mixed >> 30) & (2**34 - 1))) * (0xBF58476D1CE4E5B9 - 2**64)
    mixed = (mixed ^ ((mixed >> 27) & (2**37 - 1))) * (0x94D049BB133111EB - 2**64)
    return mixed ^ ((mixed >> 31) & (2**33 - 1))


@compiled_on_gpu
def _kept(rows: Tensor, units: int, stream: int, dropped: int) -> Tensor:
    """Which units of each row stay, bool (N, units): all but ``dropped`` in 2^24."""
    keys = mix(rows + stream)[:, None] + torch.arange(units, device=rows.device)
    return (mix(keys) & 0xFFFFFF) >= dropped


ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
"""Applied after each layer but the last."""
POOLS = {"overlapping": (3, 2), "plain": (2, 2)}
"""Side and stride of a pooling window, in pixels (paper, section 3.4)."""
ALPHAS = {"paper": 1e-4, "code": 1e-4 / 5, "off": None}
"""Alpha of the normalisation: as printed; divided by the five maps of the sum, as in the authors' code; none."""
SCOPES = {"tower": True, "all": False}
"""Whether the normalisation sums over the maps of one tower only."""
INVERTED = {"classic": False, "inverted": True, "off": None}
"""Whether dropout scales in training instead of in evaluation; None for no dropout."""
