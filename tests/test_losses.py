import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from federated.learning.losses import moon, nt_xent, proximal, sup_con
from federated.learning.memory import ContrastiveMemory, MemoryView

Loss = Callable[..., Tensor]
both = pytest.mark.parametrize("loss", [nt_xent, sup_con])


def draw(seed: int, n: int, *, d: int = 4, images: int = 1000) -> tuple[Tensor, Tensor, Tensor]:
    """n embeddings, the class of each (0 or 1, a function of the image) and its image."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(images, (n,), generator=generator)
    return torch.randn(n, d, generator=generator), ids % 2, ids


def as_view(embeddings: Tensor, labels: Tensor, ids: Tensor) -> MemoryView:
    memory = ContrastiveMemory.empty(len(ids), embeddings.shape[1])
    return memory.push(embeddings, labels, ids, round=1).view()


def cosines(z: Tensor, memory: MemoryView, tau: float) -> Tensor:
    """e^{cosine/tau} of the batch against batch and memory, in float64."""
    z = z / z.norm(dim=1, keepdim=True)
    return torch.exp(z @ torch.cat([z, memory.embeddings.double()]).T / tau)


def slow_nt_xent(z: Tensor, labels: Tensor, ids: Tensor, tau: float, memory: MemoryView) -> Tensor:
    """The published formula, loop by loop, with its exponentials as they stand."""
    e = cosines(z, memory, tau)
    y, image = [*labels, *memory.labels], [*ids, *memory.ids]
    terms = []
    for i in range(len(z)):
        for p in range(len(y)):
            if y[p] == y[i] and image[p] != image[i]:
                negatives = torch.zeros((), dtype=torch.float64)
                for n in range(len(y)):
                    if y[n] != y[i]:
                        negatives = negatives + e[i, n]
                terms.append(-torch.log(e[i, p] / (e[i, p] + negatives)))
    return torch.stack(terms).mean() if terms else 0 * z.sum()


def slow_sup_con(z: Tensor, labels: Tensor, ids: Tensor, tau: float, memory: MemoryView) -> Tensor:
    e = cosines(z, memory, tau)
    y, image = [*labels, *memory.labels], [*ids, *memory.ids]
    anchors = []
    for i in range(len(z)):
        others = [a for a in range(len(y)) if image[a] != image[i]]
        positives = [p for p in others if y[p] == y[i]]
        if positives:
            denominator = torch.stack([e[i, a] for a in others]).sum()
            logs = [torch.log(e[i, p] / denominator) for p in positives]
            anchors.append(-torch.stack(logs).sum() / len(positives))
    return torch.stack(anchors).mean() if anchors else 0 * z.sum()


@pytest.mark.parametrize(("loss", "slow"), [(nt_xent, slow_nt_xent), (sup_con, slow_sup_con)])
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    b=st.integers(1, 6),
    m=st.integers(0, 5),
    tau=st.sampled_from([0.05, 0.5]),
)
def test_loss_and_gradient_are_those_of_the_formula(
    loss: Loss, slow: Loss, seed: int, b: int, m: int, tau: float
) -> None:
    z, labels, ids = draw(seed, b, images=7)  # few images, so that repeats occur
    memory = as_view(*draw(seed + 1, m, images=7))
    fast = z.clone().requires_grad_()
    exact = z.double().requires_grad_()
    value = loss(fast, labels, ids, temperature=tau, memory=memory)
    reference = slow(exact, labels, ids, tau, memory)
    value.backward()
    reference.backward()
    torch.testing.assert_close(value.double(), reference, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast.grad.double(), exact.grad, rtol=1e-3, atol=1e-4)


def test_nt_xent_by_hand() -> None:
    z = torch.tensor([[2.0, 0.0], [0.5, 0.0], [0.0, 3.0]])  # length does not matter
    labels, ids = torch.tensor([1, 1, 0]), torch.tensor([0, 1, 2])
    # Two pairs, each e^1 against one negative e^0; the lone negative is no anchor of a pair.
    alone = nt_xent(z, labels, ids, temperature=1.0)
    assert alone.item() == pytest.approx(math.log(1 + math.exp(-1)))
    # A negative in the memory on top of the positives: e^1 against e^0 + e^1.
    memory = as_view(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), torch.tensor([2]))
    value = nt_xent(z, labels, ids, temperature=1.0, memory=memory)
    assert value.item() == pytest.approx(math.log(2 + math.exp(-1)))
    # As image 9, the same entry is also the positive of the lone negative: e^0 against 2 e^0.
    memory = memory._replace(ids=torch.tensor([9]))
    value = nt_xent(z, labels, ids, temperature=1.0, memory=memory)
    assert value.item() == pytest.approx((2 * math.log(2 + math.exp(-1)) + math.log(3)) / 3)


def test_other_positives_are_in_the_denominator_of_sup_con_only() -> None:
    z, labels, ids = torch.ones(3, 2), torch.tensor([1, 1, 1]), torch.arange(3)
    assert nt_xent(z, labels, ids, temperature=0.05).item() == 0
    assert sup_con(z, labels, ids, temperature=0.05).item() == pytest.approx(math.log(2))


def test_sup_con_is_nt_xent_where_every_anchor_has_one_positive() -> None:
    z, _, ids = draw(3, 8)
    labels = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    ours, theirs = (loss(z, labels, ids, temperature=0.1) for loss in (nt_xent, sup_con))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)


@both
def test_empty_memory_is_the_in_batch_loss_to_the_bit(loss: Loss) -> None:
    z, labels, ids = draw(0, 32, d=128)
    results = []
    for memory in (None, ContrastiveMemory.empty(64, 128).view()):
        leaf = z.clone().requires_grad_()
        value = loss(leaf, labels, ids, temperature=0.05, memory=memory)
        value.backward()
        results.append((value, leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@both
def test_an_image_in_the_memory_under_its_own_id_changes_nothing(loss: Loss) -> None:
    z, labels = torch.randn(2, 4, generator=torch.Generator().manual_seed(5)), torch.tensor([0, 1])
    memory = as_view(z.flip(1), labels, torch.tensor([10, 11]))
    own = loss(z, labels, torch.tensor([10, 11]), temperature=0.5, memory=memory)
    assert own.item() == 0  # no other image of the class, so no positive
    other = loss(z, labels, torch.tensor([20, 21]), temperature=0.5, memory=memory)
    assert other.item() > 0


@both
def test_repeats_of_one_image_are_not_each_others_positives(loss: Loss) -> None:
    z, _, _ = draw(1, 5)
    labels, ids = torch.tensor([1, 1, 1, 1, 0]), torch.tensor([3, 3, 3, 3, 4])
    assert loss(z, labels, ids, temperature=0.05).item() == 0
    assert loss(z, labels, torch.arange(5), temperature=0.05).item() > 0


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize(
    ("loss", "labels"),
    [(nt_xent, [0]), (nt_xent, [0, 1]), (nt_xent, [1, 1, 1]), (sup_con, [0]), (sup_con, [0, 1])],
)
def test_without_positives_or_negatives_the_loss_is_a_zero_with_zero_gradient(
    loss: Loss, labels: list[int]
) -> None:
    z = torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(2)).requires_grad_()
    with torch.autograd.detect_anomaly(check_nan=True):
        value = loss(z, torch.tensor(labels), torch.arange(len(labels)), temperature=0.05)
        value.backward()
    assert value.item() == 0
    assert torch.equal(z.grad, torch.zeros_like(z))


@both
def test_order_of_the_batch_changes_the_loss_by_rounding_only(loss: Loss) -> None:
    z, labels, ids = draw(4, 32, d=16)
    memory = as_view(*draw(5, 20, d=16))
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    first = loss(z, labels, ids, temperature=0.05, memory=memory)
    second = loss(z[order], labels[order], ids[order], temperature=0.05, memory=memory)
    torch.testing.assert_close(first, second, rtol=1e-5, atol=0)


@both
def test_no_gradient_reaches_the_memory(loss: Loss) -> None:
    z, labels, ids = draw(6, 8)
    memory = as_view(*draw(7, 8))
    memory.embeddings.requires_grad_()
    z.requires_grad_()
    loss(z, labels, ids, temperature=0.5, memory=memory).backward()
    assert memory.embeddings.grad is None
    assert z.grad.abs().sum() > 0


@both
def test_bfloat16_and_autocast_do_not_reach_the_arithmetic(loss: Loss) -> None:
    z, labels, ids = draw(8, 32, d=128)
    half = z.bfloat16().requires_grad_()
    value = loss(half, labels, ids, temperature=0.05)
    value.backward()
    assert value.dtype == torch.float32
    assert half.grad.isfinite().all()
    assert torch.equal(value, loss(half.detach().float(), labels, ids, temperature=0.05))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(value, loss(half, labels, ids, temperature=0.05))


@both
def test_extreme_temperatures_and_dead_embeddings_stay_finite(loss: Loss) -> None:
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    value = loss(z, torch.tensor([0, 0, 1, 1]), torch.arange(4), temperature=1e-3)
    value.backward()
    assert value.isfinite()
    assert z.grad.isfinite().all()


def test_nt_xent_keeps_its_digits_when_almost_zero() -> None:
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    value = nt_xent(z, torch.tensor([0, 0, 1]), torch.arange(3), temperature=0.05)
    assert value.item() == pytest.approx(math.exp(-40), rel=1e-4, abs=0)  # log(1 + x) = x


def test_moon_by_hand() -> None:
    east, north = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 0.5]])
    towards = moon(east, east, north, temperature=0.5)
    assert towards.item() == pytest.approx(math.log(1 + math.exp(-2)))
    both_rows = moon(torch.cat([east, north]), *[torch.cat([east, east])] * 2, temperature=0.5)
    assert both_rows.item() == pytest.approx(math.log(2))


def test_moon_of_swapped_models_differs_by_the_cosines() -> None:
    z, a, b = (draw(seed, 16)[0] for seed in (1, 2, 3))
    difference = moon(z, a, b, temperature=0.5) - moon(z, b, a, temperature=0.5)
    cosine = torch.nn.functional.cosine_similarity
    torch.testing.assert_close(difference, (cosine(z, b) - cosine(z, a)).mean() / 0.5)


def test_moon_moves_the_local_embeddings_only() -> None:
    z, a, b = (draw(seed, 4)[0].bfloat16().requires_grad_() for seed in (1, 2, 3))
    value = moon(z, a, b, temperature=0.05)
    value.backward()
    assert value.dtype == torch.float32
    assert z.grad.isfinite().all()
    assert a.grad is None
    assert b.grad is None


def test_proximal_by_hand() -> None:
    weights = [torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor(3.0, requires_grad=True)]
    reference = [torch.zeros(2, requires_grad=True), torch.tensor(1.0)]
    value = proximal(weights, reference)
    value.backward()
    assert value.item() == (1 + 4 + 4) / 2
    assert weights[0].grad.tolist() == [1, 2]  # w - w_t
    assert weights[1].grad.item() == 2
    assert reference[0].grad is None


def test_proximal_at_the_reference_is_zero_with_zero_gradient() -> None:
    model = torch.nn.Linear(5, 3)
    value = proximal(model.parameters(), [w.detach().clone() for w in model.parameters()])
    value.backward()
    assert value.item() == 0
    assert all(torch.equal(w.grad, torch.zeros_like(w)) for w in model.parameters())


def test_proximal_squares_in_float32() -> None:
    w, w_t = torch.ones(1001, dtype=torch.bfloat16), torch.zeros(1001, dtype=torch.bfloat16)
    assert proximal([w], [w_t]).item() == 500.5  # 1001 has too many digits for bfloat16


@pytest.mark.parametrize(
    "reference", [[torch.zeros(3)], [torch.zeros(1, 3), torch.zeros(1)], [torch.zeros(3)] * 3]
)
def test_proximal_refuses_other_shapes(reference: list[Tensor]) -> None:
    with pytest.raises(ValueError):
        proximal([torch.ones(3), torch.ones(1)], reference)


def test_proximal_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        proximal([], [])
