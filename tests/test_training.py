"""Local training, evaluation and recalibration against hand-computed numbers."""

import math
from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import nn

from federated.config.training import Contrast, Train
from federated.errors import UserError
from federated.learning.batches import Images, evaluation_batch, round_batches
from federated.learning.compute import Compute, device_for, native_bf16, uses_bf16
from federated.learning.evaluation import embed, predict, recalibrate
from federated.learning.models import build_model
from federated.learning.optimizers import (
    learning_rate,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
)
from federated.learning.terms import (
    OBJECTIVES,
    Proximal,
    Term,
    class_weights,
    contrast_of_embeddings,
    cross_entropy,
)
from federated.learning.training import DivergedError, Trained, train_round
from federated.seeding import torch_generator

CPU = Compute(torch.device("cpu"), bf16=False)
PLAIN = Train(batch_size=8, precision="fp32", augment=False)


RECALIBRATE = {"limit": 0, "generator": torch_generator(0, "a", 1, "r"), "compute": CPU}


def toy_images(count: int = 48, size: int = 16) -> Images:
    """Return noise in which the upper half is brighter in class 1."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 2
    pixels = generator.integers(40, 120, (count, size, size)).astype(np.uint8)
    pixels[labels == 1, : size // 2] += 90
    return Images(pixels, torch.tensor(labels), size)


def toy_model(seed: int = 0) -> nn.Module:
    return build_model("convnet", width=0.25, image_size=16, norm="batch", generator_seed=seed)


def go(
    model: nn.Module,
    images: Images,
    train: Train,
    *,
    lr: float | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    terms: Sequence[Term] = (),
    compute: Compute = CPU,
    round: int = 1,
) -> Trained:
    """Train for a round as a site does, with further terms if given."""
    generator = torch_generator(0, "a", round, "train")
    parameters = list(model.parameters())
    return train_round(
        model,
        round_batches(images, train, generator, compute.device),
        terms=[cross_entropy(train, images.labels, compute.device), *terms],
        optimizer=optimizer or make_optimizer(parameters, train, lr or train.lr),
        clip_norm=train.clip_norm,
        compute=compute,
    )


def test_learning_rate_by_hand() -> None:
    train = Train(lr=0.1)
    assert learning_rate(train, 1, 100) == pytest.approx(0.1)
    assert learning_rate(train, 51, 100) == pytest.approx(0.05)
    assert learning_rate(train, 100, 100) == pytest.approx(0.05 * (1 + math.cos(0.99 * math.pi)))
    assert learning_rate(Train(lr=0.1, schedule="constant"), 70, 100) == 0.1


def test_class_weights_by_hand() -> None:
    assert class_weights(torch.tensor([0, 0, 0, 1])).tolist() == pytest.approx([2 / 3, 2.0])


def test_training_learns_and_evaluation_sees_it() -> None:
    images, model = toy_images(), toy_model()
    before, loss_before = predict(model, images, CPU)
    for _ in range(5):
        trained = go(model, images, PLAIN, lr=3e-3)
    after, loss_after = predict(model, images, CPU)
    assert loss_after < 0.5 * loss_before
    assert ((after >= 0.5) == (images.labels.numpy() == 1)).mean() > 0.95
    assert trained.steps == 6 and trained.examples == 48
    assert not np.array_equal(before, after)


@pytest.mark.parametrize(
    ("train", "steps", "seen"),
    [
        (Train(batch_size=8, max_steps=4), 4, 32),  # an epoch has 6 steps: cut short
        (Train(batch_size=8, local_epochs=3), 18, 144),
        (Train(batch_size=8, max_steps=15), 15, 120),  # goes on into a third epoch
        (Train(batch_size=20, max_steps=4), 4, 20 + 20 + 8 + 20),  # the last batch is the rest
    ],
)
def test_a_round_has_exactly_the_steps_that_are_asked(train: Train, steps: int, seen: int) -> None:
    trained = go(toy_model(), toy_images(), train)
    assert (trained.steps, trained.examples) == (steps, seen)


def test_every_epoch_of_a_round_shows_each_image_once() -> None:
    """Further epochs, which max-steps begins, are epochs like the first."""
    generator = torch.Generator().manual_seed(0)
    batches = round_batches(toy_images(), Train(batch_size=8, max_steps=12), generator, CPU.device)
    ids = torch.cat([batch.ids for batch in batches])
    assert [sorted(ids[:48].tolist()), sorted(ids[48:].tolist())] == [list(range(48))] * 2
    assert not torch.equal(ids[:48], ids[48:])


def test_a_stronger_pull_stays_nearer() -> None:
    moved = []
    for mu in (0.0, 1.0, 100.0):
        model = toy_model()
        start = [p.detach().clone() for p in model.parameters()]
        train = Train(batch_size=8, optimizer="sgd", lr=0.005, momentum=0.0)
        go(model, toy_images(), train, terms=[Proximal(mu, model.parameters())])
        pairs = zip(model.parameters(), start, strict=True)
        moved.append(sum(float((p.detach() - s).square().sum()) for p, s in pairs))
    assert moved[0] > moved[1] > moved[2] > 0


def test_one_sgd_step_is_the_textbook_one() -> None:
    """Cross-entropy, lr 0.1, no momentum: w - lr * gradient, by torch's own autograd."""
    images = toy_images(count=8)
    model, reference = toy_model(), toy_model()
    train = Train(
        batch_size=8, optimizer="sgd", momentum=0, weight_decay=0, clip_norm=0, augment=False
    )
    go(model, images, train, lr=0.1)
    order = torch.randperm(8, generator=torch_generator(0, "a", 1, "train"))
    x = evaluation_batch(torch.from_numpy(images.pixels[order.numpy()]), 16)
    reference.train()
    logits, _ = reference(x.contiguous(memory_format=torch.channels_last))
    nn.functional.cross_entropy(logits, images.labels[order]).backward()
    for p, q in zip(model.parameters(), reference.parameters(), strict=True):
        gradient = torch.zeros_like(q) if q.grad is None else q.grad
        torch.testing.assert_close(p, q - 0.1 * gradient)


def test_clipping_limits_the_step() -> None:
    images, model = toy_images(count=8), toy_model()
    start = [p.detach().clone() for p in model.parameters()]
    train = Train(batch_size=8, optimizer="sgd", momentum=0, weight_decay=0, clip_norm=0.01)
    go(model, images, train, lr=1.0)
    pairs = zip(model.parameters(), start, strict=True)
    assert math.sqrt(sum(float((p.detach() - s).square().sum()) for p, s in pairs)) <= 0.01 * 1.001


def test_memory_is_filled_with_what_was_seen() -> None:
    [contrast] = contrast_of_embeddings(Contrast(objective="nt-xent", memory_size=20), 3)
    go(toy_model(), toy_images(), PLAIN, terms=[contrast])
    memory = contrast.memory
    assert memory is not None and len(memory) == 20
    assert memory.rounds.tolist() == [3] * 20
    torch.testing.assert_close(memory.embeddings.norm(dim=1), torch.ones(20))
    order = torch.randperm(48, generator=torch_generator(0, "a", 1, "train"))
    assert memory.ids.tolist() == order[-20:].tolist()


def test_a_network_without_embedding_cannot_contrast() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 2))
    with pytest.raises(UserError, match="needs an embedding"):
        contrast = contrast_of_embeddings(Contrast(objective="nt-xent"), 1)
        go(model, toy_images(), PLAIN, terms=contrast)


def test_divergence_raises() -> None:
    with pytest.raises(DivergedError, match="step"):
        go(toy_model(), toy_images(), Train(optimizer="sgd", clip_norm=0, batch_size=8), lr=1e30)


def test_predict_is_independent_of_batching_and_leaves_the_model_alone() -> None:
    images, model = toy_images(count=200), toy_model()
    go(model, images, PLAIN)
    state = {n: t.clone() for n, t in model.state_dict().items()}
    whole, loss = predict(model, images, CPU)
    one_by_one = [
        predict(model, Images(images.pixels[i : i + 1], images.labels[i : i + 1], 16), CPU)
        for i in range(0, 200, 37)
    ]
    np.testing.assert_allclose(whole[::37], [p[0] for p, _ in one_by_one], rtol=1e-5)
    logits = torch.tensor(np.stack([1 - whole, whole], axis=1)).log()
    expected = nn.functional.nll_loss(logits, images.labels).item()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert all(torch.equal(state[n], t) for n, t in model.state_dict().items())


def test_embed_is_predicts_other_half() -> None:
    images, model = toy_images(), toy_model()
    ids = torch.tensor([5, 0, 5])
    z = embed(model, images, ids, CPU)
    assert torch.equal(z[0], z[2])
    x = evaluation_batch(torch.from_numpy(images.pixels[ids.numpy()]), 16)
    model.eval()
    torch.testing.assert_close(z, model(x)[1].detach())


def test_recalibrated_statistics_are_those_of_the_images() -> None:
    """One batch: running mean and variance equal those of the first layer's output, exactly."""
    images, model = toy_images(count=40), toy_model()
    go(model, images, PLAIN)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    recalibrate(model, images, train=Train(batch_size=64, augment=False), **RECALIBRATE)
    norms = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]
    name, first = norms[0]
    seen = []
    hook = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.eval()
    model(evaluation_batch(torch.from_numpy(images.pixels), 16))
    hook.remove()
    torch.testing.assert_close(first.running_mean, seen[0].mean(dim=(0, 2, 3)))
    torch.testing.assert_close(first.running_var, seen[0].var(dim=(0, 2, 3)))
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert f"{name}.running_mean" in changed
    assert all(n.endswith(("running_mean", "running_var", "num_batches_tracked")) for n in changed)
    assert all(norm.momentum == 0.1 for _, norm in norms) and not model.training


def test_recalibration_sees_images_as_training_does() -> None:
    """Crops of an image with a bright border are darker than the image."""
    pixels = np.full((32, 20, 20), 10, dtype=np.uint8)
    pixels[:, 0] = pixels[:, :, 0] = pixels[:, -1] = pixels[:, :, -1] = 250
    images = Images(pixels, torch.zeros(32, dtype=torch.int64), 12)
    means = {}
    for augment in (False, True):
        model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 144, 2))
        train = Train(batch_size=16, augment=augment)
        recalibrate(model, images, train=train, **RECALIBRATE)
        means[augment] = model[0].running_mean[0].item()
    assert means[True] < means[False] - 0.2


def test_recalibration_mends_statistics_of_other_weights() -> None:
    """The trap: after the weights changed, old statistics ruin a network that new ones do not."""
    images, model = toy_images(), toy_model()
    for _ in range(5):
        go(model, images, PLAIN, lr=3e-3)
    _, good = predict(model, images, CPU)
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    norm.running_mean += 3
    _, stale = predict(model, images, CPU)
    recalibrate(model, images, train=Train(batch_size=64, augment=False), **RECALIBRATE)
    _, mended = predict(model, images, CPU)
    assert good < 0.1 and mended < 0.1 < 1 < stale


def test_recalibration_leaves_dropout_off() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.BatchNorm1d(3 * 256), nn.Linear(768, 2))
    images = toy_images(count=16)
    recalibrate(model, images, train=Train(batch_size=64, augment=False), **RECALIBRATE)
    x = evaluation_batch(torch.from_numpy(images.pixels), 16).flatten(1)
    torch.testing.assert_close(model[2].running_mean, x.mean(dim=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_kept_optimizer_goes_on_as_if_never_stopped(optimizer: str) -> None:
    images, train = toy_images(), Train(batch_size=8, optimizer=optimizer, augment=False)
    whole, parts = toy_model(), toy_model()
    one = make_optimizer(list(whole.parameters()), train, 1e-3)
    for _ in range(2):
        go(whole, images, train, lr=1e-3, optimizer=one)
    first = make_optimizer(list(parts.parameters()), train, 1e-3)
    go(parts, images, train, lr=1e-3, optimizer=first)
    second = make_optimizer(list(parts.parameters()), train, 1e-3)
    restore_optimizer(second, optimizer_tensors(first))
    go(parts, images, train, lr=1e-3, optimizer=second)
    for p, q in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(p, q)


def test_precision_is_looked_up() -> None:
    cpu = torch.device("cpu")
    assert uses_bf16("bf16", cpu) and not uses_bf16("fp32", cpu)
    assert uses_bf16("auto", cpu) == native_bf16(cpu)
    assert device_for(0) == cpu


def test_bf16_trains_to_the_same_end() -> None:
    images, model = toy_images(), toy_model()
    compute = Compute(torch.device("cpu"), bf16=True)
    for round in range(1, 6):
        go(model, images, PLAIN, lr=3e-3, compute=compute, round=round)
    probabilities, _ = predict(model, images, compute)
    assert ((probabilities >= 0.5) == (images.labels.numpy() == 1)).mean() > 0.95


def test_adjust_changes_what_is_stepped_along() -> None:
    """With every gradient set to 1, plain SGD moves every weight by the learning rate a step."""
    images, model = toy_images(count=16), toy_model()
    start = [p.detach().clone() for p in model.parameters()]
    train = Train(batch_size=8, optimizer="sgd", momentum=0, weight_decay=0, augment=False)

    def adjust() -> None:
        for p in model.parameters():
            p.grad = torch.ones_like(p)

    train_round(
        model,
        round_batches(images, train, torch_generator(0, "a", 1, "train"), CPU.device),
        terms=[cross_entropy(train, images.labels, CPU.device)],
        optimizer=make_optimizer(list(model.parameters()), train, 0.25),
        clip_norm=0,
        compute=CPU,
        adjust=adjust,
    )
    for p, before in zip(model.parameters(), start, strict=True):
        torch.testing.assert_close(p, before - 0.5)


def test_every_objective_of_the_setting_has_a_term() -> None:
    choices = next(f for f in fields(Contrast) if f.name == "objective").metadata["choices"]
    assert set(choices) == {"none", "moon", *OBJECTIVES}
