from collections import deque
from itertools import count

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from federated.learning.memory import ContrastiveMemory, unit

DIM = 3


def embed(ids: Tensor) -> Tensor:
    """An embedding that depends on its image only."""
    return torch.stack([torch.sin(ids * k + 1.0) for k in range(1, DIM + 1)], dim=1)


def filled(size: int, batches: list[int]) -> ContrastiveMemory:
    """A memory after one batch a round, from round 1; images are numbered as they come."""
    memory = ContrastiveMemory.empty(size, DIM)
    first = 0
    for round, n in enumerate(batches, start=1):
        ids = torch.arange(first, first + n)
        memory = memory.push(embed(ids), ids % 2, ids, round=round)
        first += n
    return memory


def assert_same(a: ContrastiveMemory, b: ContrastiveMemory) -> None:
    assert a.size == b.size
    for name, tensor in a.state().items():
        assert tensor.dtype == b.state()[name].dtype
        assert torch.equal(tensor, b.state()[name]), name


sizes = st.integers(0, 9)
batches = st.lists(st.integers(0, 12), max_size=6)


@settings(deadline=None)
@given(size=sizes, batches=batches)
def test_memory_is_a_queue_that_drops_the_oldest_first(size: int, batches: list[int]) -> None:
    queue: deque[tuple[int, int]] = deque(maxlen=size)
    image = count()
    for round, n in enumerate(batches, start=1):
        queue.extend((next(image), round) for _ in range(n))
    memory = filled(size, batches)
    assert len(memory) == len(queue) <= size
    assert memory.ids.tolist() == [i for i, _ in queue]
    assert memory.rounds.tolist() == [r for _, r in queue]
    assert memory.labels.tolist() == [i % 2 for i, _ in queue]
    torch.testing.assert_close(memory.embeddings, unit(embed(memory.ids)))


@settings(deadline=None, max_examples=50)
@given(size=sizes, batches=batches)
def test_state_survives_safetensors_to_the_bit(size: int, batches: list[int]) -> None:
    memory = filled(size, batches)
    assert_same(ContrastiveMemory.from_state(size, load(save(memory.state()))), memory)


def test_a_state_longer_than_the_size_keeps_its_newest() -> None:
    memory = ContrastiveMemory.from_state(2, filled(5, [5]).state())
    assert memory.ids.tolist() == [3, 4]


@settings(deadline=None, max_examples=50)
@given(batches=batches, now=st.integers(6, 9), max_age=st.integers(0, 9))
def test_drop_older_than_keeps_the_fresh_in_order(
    batches: list[int], now: int, max_age: int
) -> None:
    memory = filled(30, batches)
    fresh = memory.drop_older_than(now, max_age)
    kept = [(i, r) for i, r in zip(*map(Tensor.tolist, (memory.ids, memory.rounds)), strict=True)]
    kept = [(i, r) for i, r in kept if now - r <= max_age]
    assert list(zip(fresh.ids.tolist(), fresh.rounds.tolist(), strict=True)) == kept
    assert fresh.ages(now).tolist() == [now - r for _, r in kept]
    torch.testing.assert_close(fresh.embeddings, unit(embed(fresh.ids)))


def test_push_normalises_detaches_and_widens() -> None:
    z = torch.tensor([[3.0, 4.0, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    memory = ContrastiveMemory.empty(4, 3).push(
        z * 2, torch.tensor([1], dtype=torch.int32), torch.tensor([7], dtype=torch.int32), round=2
    )
    torch.testing.assert_close(memory.embeddings, torch.tensor([[0.6, 0.8, 0.0]]))
    assert not memory.embeddings.requires_grad
    assert memory.embeddings.dtype == torch.float32
    assert {t.dtype for t in (memory.labels, memory.ids, memory.rounds)} == {torch.int64}


def test_push_leaves_the_old_memory_and_keeps_no_hold_on_the_batch() -> None:
    old = filled(4, [3])
    before = ContrastiveMemory.from_state(4, {k: v.clone() for k, v in old.state().items()})
    z, ids = unit(embed(torch.arange(9, 12))), torch.arange(9, 12)
    new = old.push(z, ids % 2, ids, round=2)
    z.zero_()
    ids.zero_()
    assert_same(old, before)
    assert new.ids.tolist() == [2, 9, 10, 11]
    torch.testing.assert_close(new.embeddings.norm(dim=1), torch.ones(4))


def test_re_embed_keeps_order_and_labels_and_renews_the_rounds() -> None:
    memory = filled(4, [3, 3])
    moved = memory.re_embed(lambda ids: 5 * embed(ids + 100).bfloat16(), round=8)
    assert moved.ids.tolist() == [2, 3, 4, 5]
    assert torch.equal(moved.labels, memory.labels)
    assert torch.equal(moved.embeddings, unit(5 * embed(memory.ids + 100).bfloat16()))
    assert moved.ages(9).tolist() == [1, 1, 1, 1]
    assert memory.rounds.tolist() == [1, 2, 2, 2]


def test_re_embed_with_the_same_network_changes_no_bit_of_the_embeddings() -> None:
    memory = filled(4, [4])
    assert torch.equal(memory.re_embed(embed, round=3).embeddings, memory.embeddings)


def test_re_embed_does_not_run_a_network_on_nothing() -> None:
    def network(ids: Tensor) -> Tensor:
        raise AssertionError("called for an empty memory")

    assert len(ContrastiveMemory.empty(4, DIM).re_embed(network, round=2)) == 0


def test_re_embed_refuses_another_shape() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\), needs \(4, 3\)"):
        filled(4, [4]).re_embed(lambda ids: embed(ids)[:2], round=2)


def test_size_zero_is_always_empty() -> None:
    memory = filled(0, [5, 1])
    assert len(memory) == 0
    assert memory.view().embeddings.shape == (0, DIM)
    assert_same(memory, ContrastiveMemory.empty(0, DIM))


def test_view_is_the_contents() -> None:
    memory = filled(4, [3])
    view = memory.view()
    assert torch.equal(view.embeddings, memory.embeddings)
    assert view.labels.tolist() == [0, 1, 0]
    assert view.ids.tolist() == [0, 1, 2]


def test_to_moves_every_tensor() -> None:
    moved = filled(4, [3]).to("meta")
    assert {t.device.type for t in moved.state().values()} == {"meta"}


def test_a_pushed_batch_must_have_as_many_labels_as_embeddings() -> None:
    ids = torch.arange(5)
    with pytest.raises(ValueError, match=r"5 embeddings need labels of shape \(5,\), got \(4,\)"):
        ContrastiveMemory.empty(2, DIM).push(embed(ids), ids[1:], ids, round=1)


def test_no_memory_holds_more_than_its_size() -> None:
    with pytest.raises(ValueError, match="size 2 cannot hold 3"):
        ContrastiveMemory(2, **filled(3, [3]).state())


def test_a_zero_embedding_stays_zero() -> None:
    assert torch.equal(unit(torch.zeros(2, 3)), torch.zeros(2, 3))
