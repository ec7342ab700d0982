"""The net's geometry and its initial weights."""

import torch
from nets import meta_net, net_of

from alexnet.model.initialization import initialize
from alexnet.settings.nets import NETS


def test_alexnet_has_the_papers_parameters() -> None:
    net = meta_net(classes=1000)
    counts = {name: sum(p.numel() for p in layer.parameters()) for name, layer in net.named_children()}
    assert {name: count for name, count in counts.items() if count} == {
        "conv1": 34_944,
        "conv2": 307_456,
        "conv3": 885_120,
        "conv4": 663_936,
        "conv5": 442_624,
        "fc6": 37_752_832,
        "fc7": 16_781_312,
        "fc8": 4_097_000,
    }


def test_both_crops_give_maps_of_55() -> None:
    for side in (227, 224):
        net, images = meta_net(crop_size=side), torch.empty(1, 3, side, side, device="meta")
        end = [name for name, _ in net.named_children()].index("conv1")
        assert net[: end + 1](images).shape == (1, 96, 55, 55)
        assert net.eval()(images).shape == (1, 10)


def test_a_224_crop_is_padded_on_the_right_and_bottom() -> None:
    net = net_of(crop_size=224)
    padded = net[:1](torch.ones(1, 3, 224, 224))
    assert padded[..., :224, :224].all() and not padded[..., 224:, :].any() and not padded[..., 224:].any()


def test_the_first_two_layers_and_conv4_and_conv5_keep_to_their_tower() -> None:
    net = net_of()
    assert [net.get_submodule(f"conv{i}").groups for i in range(1, 6)] == [1, 2, 1, 2, 2]
    assert [net.get_submodule(f"lrn{i}").towers for i in (1, 2)] == [2, 2]


def test_every_legal_cut_is_a_layer() -> None:
    for model, facts in NETS.items():
        assert set(facts.cuts) <= {name for name, _ in net_of(model).named_children()}


def test_initial_weights_are_the_papers_and_do_not_depend_on_the_slice() -> None:
    net, half = net_of(), net_of()[8:]
    initialize(net, "paper", seed=5)
    initialize(half, "paper", seed=5)
    for name, parameter in net.named_parameters():
        if name.endswith("weight"):
            assert abs(parameter.std().item() - 0.01) < 2e-4 and abs(parameter.mean().item()) < 2e-4, name
        else:
            assert (parameter == (name.split(".")[0] in ("conv2", "conv4", "conv5", "fc6", "fc7"))).all(), name
    assert all(torch.equal(value, net.get_parameter(name)) for name, value in half.named_parameters())
