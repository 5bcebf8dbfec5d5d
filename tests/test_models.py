"""The networks: published counts, the formula of the paper, and laws of build_model."""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy, linear, max_pool2d
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from federated.errors import UserError
from federated.learning.models import MODELS, build_model
from federated.learning.models.blocks import WholeMapConv2d, conv_norm_relu
from federated.learning.models.convnet import ConvNet
from federated.learning.models.covidnet import CovidNet, pool_to_2x2
from federated.learning.models.original import OriginalCovidNet

# Parameters of every stage as published, without batch norm.
STAGES = {
    "backbone.stem": 9_472,
    "backbone.longs.0": 16_640,
    "backbone.longs.1": 131_584,
    "backbone.longs.2": 525_312,
    "backbone.longs.3": 2_099_200,
    "backbone.blocks.0.steps.0": 14_160,
    **{f"backbone.blocks.0.steps.{k}": 117_312 for k in (1, 2)},
    "backbone.blocks.1.steps.0": 150_336,
    **{f"backbone.blocks.1.steps.{k}": 464_000 for k in (1, 2, 3)},
    "backbone.blocks.2.steps.0": 595_584,
    **{f"backbone.blocks.2.steps.{k}": 1_845_504 for k in (1, 2, 3, 4, 5)},
    "backbone.blocks.3.steps.0": 2_370_816,
    **{f"backbone.blocks.3.steps.{k}": 7_361_024 for k in (1, 2)},
    "classifier": 8_652_546,
    "projection": 8_520_832,
}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(factory: type[nn.Module], **arguments: object) -> nn.Module:
    """Shapes without numbers: the full network costs nothing on the meta device."""
    with torch.device("meta"):
        return factory(**arguments)


def of_type(model: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, kind)]


def build(name: str, *, norm: str = "batch", width: float = 0.125, seed: int = 0) -> nn.Module:
    return build_model(name, width=width, image_size=32, norm=norm, generator_seed=seed)


def images(*shape: int, seed: int = 7) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors on busy cores: threads that wait for each other cost ten times the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("stage", "parameters"), STAGES.items())
def test_stage_has_the_published_parameters(stage: str, parameters: int) -> None:
    assert count(on_meta(CovidNet, norm="none").get_submodule(stage)) == parameters


def test_totals_are_the_published_ones() -> None:
    plain = on_meta(CovidNet, norm="none")
    assert count(plain.get_submodule("backbone")) == 31_489_296
    assert count(plain) == 48_662_674 == sum(STAGES.values())
    assert count(on_meta(CovidNet)) - count(plain) == 12_672


def test_batch_norm_is_nine_layers_of_the_published_widths() -> None:
    norms = of_type(on_meta(CovidNet), _BatchNorm)
    widths = sorted(norm.num_features for norm in norms)
    assert widths == sorted([64, 256, 512, 1024, 2048, 1024, 256, 1024, 128])
    assert sum(count(norm) for norm in norms) == 12_672


def test_all_other_parameters_belong_to_convolutions() -> None:
    owners = {
        type(module) for module in on_meta(CovidNet).modules() if list(module.parameters(False))
    }
    assert owners == {nn.Conv2d, WholeMapConv2d, nn.BatchNorm2d}


def test_an_image_of_224_px_costs_12_3_gflop_and_its_maps_are_56_28_14_7() -> None:
    network = on_meta(CovidNet)
    maps: list[tuple[int, ...]] = []
    for block in network.get_submodule("backbone.blocks").children():
        block.register_forward_hook(lambda _, __, output: maps.append(tuple(output[0].shape[1:])))
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(2, 3, 224, 224, device="meta"))
    assert counter.get_total_flops() / 2 == pytest.approx(12.3e9, rel=0.005)
    assert maps == [(256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)]


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_backbone_follows_the_formula_of_the_paper(norm: str) -> None:
    backbone = build("covidnet", norm=norm).backbone.eval()
    x = images(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone(x), paper_backbone(backbone, x, halved_sum))


def test_pooling_the_sum_is_another_network() -> None:
    """What this network did until 2026-11-25: p43 was off by a seventh at initialisation."""
    backbone = build("covidnet", width=0.25).backbone.eval()
    x = images(4, 3, 96, 96)
    with torch.no_grad():
        p43 = backbone(x)
        other = paper_backbone(backbone, x, lambda *terms: max_pool2d(sum(terms), 2))
    assert 0.1 < ((other - p43).norm() / p43.norm()).item() < 0.4


def halved_sum(*terms: Tensor) -> Tensor:
    return sum(max_pool2d(term, 2) for term in terms)


def paper_backbone(backbone: nn.Module, x: Tensor, halved: Callable[..., Tensor]) -> Tensor:
    """Return p43 by the paper's formula; ``halved`` makes what p21, p31 and p41 read."""
    p = [list(block.steps) for block in backbone.blocks]
    long1, long2, long3, long4 = backbone.longs
    stem = max_pool2d(backbone.stem[:-2](x).relu(), 2)
    l1 = long1(stem)
    p11 = p[0][0](stem)
    p12 = p[0][1](p11 + l1)
    p13 = p[0][2](p12 + p11 + l1)
    l2 = max_pool2d(long2[:-2](p11 + p12 + p13 + l1).relu(), 2)
    p21 = p[1][0](halved(p11, p12, p13, l1))
    p22 = p[1][1](l2 + p21)
    p23 = p[1][2](l2 + p21 + p22)
    p24 = p[1][3](l2 + p21 + p22 + p23)
    l3 = max_pool2d(long3[:-2](p21 + p22 + p23 + p24 + l2).relu(), 2)
    p31 = p[2][0](halved(p21, p22, p23, p24, l2))
    p32 = p[2][1](l3 + p31)
    p33 = p[2][2](l3 + p31 + p32)
    p34 = p[2][3](l3 + p31 + p32 + p33)
    p35 = p[2][4](l3 + p31 + p32 + p33 + p34)
    p36 = p[2][5](l3 + p31 + p32 + p33 + p34 + p35)
    l4 = max_pool2d(long4[:-2](p31 + p32 + p33 + p34 + p35 + p36 + l3).relu(), 2)
    p41 = p[3][0](halved(p31, p32, p33, p34, p35, p36, l3))
    p42 = p[3][1](p41 + l4)
    return p[3][2](p41 + p42 + l4)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_pooling_before_the_relu_changes_no_bit(norm: str) -> None:
    layers = conv_norm_relu(3, 8, 3, norm=norm, padding=1, halve=True)
    x = images(4, 3, 12, 12)
    published = max_pool2d(layers[:-2](x).relu(), 2)
    outputs = (layers(x), published)
    first, second = (torch.autograd.grad(o.square().sum(), layers[0].weight)[0] for o in outputs)
    assert torch.equal(*outputs)
    assert torch.equal(first, second)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 7, 8])
def test_pooling_to_2x2_is_the_adaptive_one(side: int) -> None:
    x = images(2, 3, side, 7)
    torch.testing.assert_close(pool_to_2x2(x), adaptive_avg_pool2d(x, 2))


@pytest.mark.parametrize("step", range(6))
def test_every_step_of_block_3_enters_the_sum_before_p41_once(step: int) -> None:
    """Fault 3 of the published code: p32 twice, p33 never."""
    backbone = build("covidnet").backbone.eval()
    steps = backbone.blocks[2].steps
    with torch.no_grad():
        for later in steps[step + 1 :]:  # silenced, so that only the direct path is left
            later[-1].weight.zero_()
            later[-1].bias.zero_()
        seen: list[Tensor] = []
        backbone.blocks[3].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        backbone(images(1, 3, 64, 64))
        steps[step][-1].bias += 1.0
        backbone(images(1, 3, 64, 64))
    torch.testing.assert_close(seen[1], seen[0] + 1.0)


def test_head_convolutions_are_the_dense_layers_of_the_paper() -> None:
    network = build("covidnet", norm="none")
    x = images(3, 3, 64, 64)
    with torch.no_grad():
        flat = adaptive_avg_pool2d(network.backbone(x), 2).flatten(1)
        for layer in of_type(network.classifier, nn.Conv2d):
            last = linear(flat, layer.weight.flatten(1), layer.bias)
            flat = last.relu()
        torch.testing.assert_close(network(x)[0], last)


@pytest.mark.parametrize(("name", "relus"), [("covidnet", 9), ("convnet", 3)])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_every_norm_keeps_every_relu(name: str, relus: int, norm: str) -> None:
    """Fault 4 of the published code: without batch norm it had no ReLU either."""
    network = build(name, norm=norm)
    expected = {"batch": (relus, 0), "group": (0, relus), "none": (0, 0)}[norm]
    assert (len(of_type(network, _BatchNorm)), len(of_type(network, nn.GroupNorm))) == expected
    assert len(of_type(network, nn.ReLU)) == relus
    negative: list[bool] = []
    for module in of_type(network, nn.ReLU):
        module.register_forward_hook(lambda _, args, __: negative.append(bool((args[0] < 0).any())))
    network(images(8, 3, 32, 32))
    assert negative == [True] * relus


@pytest.mark.parametrize("name", ["covidnet", "convnet"])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (47, 64), (65, 33), (96, 96)])
def test_shapes_for_any_size(name: str, norm: str, height: int, width: int) -> None:
    logits, embedding = build(name, norm=norm)(images(2, 3, height, width))
    assert logits.shape == (2, 2)
    assert embedding.shape == (2, 128)
    assert logits.isfinite().all()
    assert embedding.isfinite().all()


@pytest.mark.parametrize("width", [0.03, 0.1, 0.3, 0.4])
def test_shapes_for_any_width(width: float) -> None:
    network = CovidNet(3, width, 1, norm="group", projection=40)
    logits, embedding = network(images(2, 1, 32, 32))
    assert (logits.shape, embedding.shape) == ((2, 3), (2, 40))


@pytest.mark.parametrize("name", MODELS)
def test_heads_are_submodules(name: str) -> None:
    network = build(name)
    assert all(count(network.get_submodule(head)) for head in network.heads)


def test_original_has_no_batch_norm_and_dense_layers_on_the_flat_map() -> None:
    network = on_meta(OriginalCovidNet, image_size=224)
    dense = 7 * 7 * 2048 * 1024 + 1024 + 1024 * 256 + 256 + 256 * 2 + 2
    assert count(network) == 31_489_296 + dense == 134_513_682
    assert not of_type(network, _BatchNorm)
    assert [(layer.in_features, layer.out_features) for layer in of_type(network, nn.Linear)] == [
        (7 * 7 * 2048, 1024),
        (1024, 256),
        (256, 2),
    ]


@pytest.mark.parametrize("size", [32, 63, 64, 79, 95, 96, 97])
def test_original_fits_the_image_size_it_was_built_for(size: int) -> None:
    network = OriginalCovidNet(image_size=size, width=0.125)
    logits, embedding = network(images(2, 3, size, size))
    assert (logits.shape, embedding.shape) == ((2, 2), (2, 32))
    with pytest.raises(UserError, match=f"built for {size}x{size} px"):
        network(images(2, 3, size + 1, size))


def test_convnet_count_by_hand() -> None:
    convolutions = (27 * 32 + 32) + (288 * 64 + 64) + (576 * 128 + 128)
    heads = (128 * 2 + 2) + (128 * 128 + 128)
    assert count(on_meta(ConvNet, norm="none")) == convolutions + heads
    assert count(on_meta(ConvNet)) == convolutions + heads + 2 * (32 + 64 + 128) == 110_466


@pytest.mark.parametrize(("name", "smallest"), [("covidnet", 32), ("convnet", 16)])
def test_smallest_image(name: str, smallest: int) -> None:
    network = build(name)
    assert network(images(2, 3, smallest, smallest))[0].isfinite().all()
    with pytest.raises(UserError, match=f"{smallest}x{smallest} px"):
        network(images(2, 3, smallest, smallest - 1))


@pytest.mark.parametrize("name", MODELS)
def test_in_evaluation_an_image_does_not_see_its_batch(name: str) -> None:
    network = build(name)
    x = images(5, 3, 32, 32)
    network.train()(x)  # moves the running statistics away from their start
    network.eval()
    with torch.no_grad():
        together = network(x)
        alone = [network(x[i : i + 1]) for i in range(5)]
    for output, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(output, torch.cat(parts), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("width", [0.125, 0.5])
def test_initial_activations_neither_explode_nor_vanish(norm: str, width: float) -> None:
    network = build("covidnet", norm=norm, width=width)
    rms: list[float] = []
    for block in network.backbone.blocks:
        block.register_forward_hook(lambda _, __, out: rms.append(out[0].square().mean().sqrt()))
    logits, _ = network(images(8, 3, 64, 64))
    assert all(0.5 < value < 2 for value in rms)
    assert cross_entropy(logits, torch.arange(8) % 2) < 2


@pytest.mark.parametrize("name", MODELS)
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build(name, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second, other = build(name, seed=3).state_dict(), build(name, seed=4).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(("name", "lr", "steps"), [("convnet", 1e-2, 80), ("covidnet", 1e-3, 30)])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_learns_sixteen_random_images_by_heart(name: str, lr: float, steps: int, norm: str) -> None:
    network = build(name, norm=norm)
    x, y = images(16, 3, 32, 32), torch.arange(16) % 2
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(network(x)[0], y).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)  # as published
        optimizer.step()
    assert cross_entropy(network(x)[0], y) < 0.1
    assert (network(x)[0].argmax(1) == y).all()


def test_unknown_names_are_told_in_one_sentence() -> None:
    with pytest.raises(UserError, match=r"unknown model 'covidnt' \(did you mean 'covidnet'"):
        build("covidnt")
    with pytest.raises(UserError, match=r"'zzz': give one of covidnet, .* or package\.module"):
        build("zzz")
    with pytest.raises(UserError, match="unknown norm 'layer'"):
        build("covidnet", norm="layer")


def test_images_too_small_for_the_network_are_refused_when_it_is_built() -> None:
    for name in MODELS:
        with pytest.raises(UserError, match="8x8 px are too small"):
            build_model(name, width=0.125, image_size=8, norm="batch", generator_seed=0)


class Recorder(nn.Module):
    """Keeps what it was built with, and draws a weight."""

    def __init__(self, **arguments: object) -> None:
        super().__init__()
        self.arguments = arguments
        self.weight = nn.Parameter(torch.randn(3))


@pytest.fixture
def hospital(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("hospital")
    module.everything = Recorder
    module.some = lambda num_classes, norm="x": Recorder(num_classes=num_classes, norm=norm)
    module.greedy = lambda num_classes, depth: Recorder()
    module.wrong = lambda: "a string"
    monkeypatch.setitem(sys.modules, "hospital", module)
    return module


def test_a_factory_gets_what_its_signature_takes(hospital: ModuleType) -> None:
    everything = {"num_classes": 2, "image_size": 32, "width": 0.125, "norm": "batch"}
    assert build("hospital:everything").arguments == everything
    assert build("hospital:some").arguments == {"num_classes": 2, "norm": "batch"}
    first, second = build("hospital:some", seed=5), build("hospital:some", seed=5)
    assert torch.equal(first.weight, second.weight)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_package.nets:f", "there is no module no_such_package; looked in"),
        (":f", "write package.module:name"),
        ("hospital:sume", "has no 'sume' .did you mean 'some'"),
        ("hospital:", "write package.module:name"),
        ("hospital:greedy", "missing a required argument: 'depth'"),
        ("hospital:wrong", "returned str, not a torch module"),
    ],
)
def test_bad_factories_are_told_in_one_sentence(
    hospital: ModuleType, path: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build(path)


def test_a_norm_that_would_do_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="takes no norm"):
        build_model("covidnet-original", width=0.125, image_size=64, norm="group", generator_seed=0)


def test_a_kernel_over_the_whole_map_is_its_convolution() -> None:
    layer = WholeMapConv2d(6, 4, 2)
    x = torch.randn(3, 6, 2, 2, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.conv2d(x, layer.weight, layer.bias)
    for layout in (torch.contiguous_format, torch.channels_last):
        found = layer.to(memory_format=layout)(x.contiguous(memory_format=layout))
        torch.testing.assert_close(found, expected)
