from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from extractors.core.networks.batching import Batcher
from extractors.core.networks.runtime import memory_budget, prepare, torch_dtype
from storage.errors import ClipError


def identity(cost: int) -> int:
    return cost


def run_batched(costs, cost, budget, run, **options):
    """Results of all units in the order in which the units came."""
    units = [[cost_of_one] for cost_of_one in costs]  # lists, so that equal costs stay different units

    def run_costs(batch):
        return run([one for [one] in batch])

    group = options.pop("equal", lambda one: None)
    batcher = Batcher(run_costs, cost=lambda u: cost(u[0]), budget=budget, group=lambda u: group(u[0]), **options)
    results = {
        id(u): result for batch, outcomes in batcher.stream(units) for u, result in zip(batch, outcomes, strict=True)
    }
    return [results[id(u)] for u in units]


def recorded(limit: int = 10**9):
    """A model that tells each batch it was given, and runs out of memory where a batch costs over the limit."""
    batches: list[list[int]] = []

    def run(batch: list[int]) -> list[str]:
        batches.append(batch)
        if max(batch) * len(batch) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to\nallocate 9 GiB")
        return [f"result {cost}" for cost in batch]

    return batches, run


@given(
    costs=st.lists(st.integers(1, 50), max_size=20),
    budget=st.integers(0, 200),
    limit=st.integers(1, 200),
    keys=st.integers(1, 3),
)
def test_every_item_gets_its_own_result_whatever_fits(costs: list[int], budget: int, limit: int, keys: int) -> None:
    batches, run = recorded(limit)
    results = run_batched(costs, identity, budget, run, equal=lambda cost: cost % keys)
    assert len(results) == len(costs)
    for cost, result in zip(costs, results, strict=True):
        if cost > limit:
            assert isinstance(result, ClipError)
            assert result.reason == "out_of_memory"
        else:
            assert result == f"result {cost}"
    for batch in batches:
        assert len({cost % keys for cost in batch}) == 1
        assert len(batch) == 1 or max(batch) * len(batch) <= budget
    assert len(batches) <= 2 * len(costs) + 8  # each attempt settles a batch or halves the most that one may cost


def test_batches_are_sorted_by_length_and_bounded_with_their_padding() -> None:
    batches, run = recorded()
    run_batched([3, 10, 2, 9, 4], identity, 20, run)
    assert batches == [[10, 9], [4, 3, 2]]


def test_no_budget_means_one_at_a_time() -> None:
    batches, run = recorded()
    run_batched([3, 10, 2], identity, memory_budget("cpu"), run)
    assert batches == [[3], [10], [2]]  # as they come: nothing is held to choose from
    assert run_batched([], identity, 0, run) == []


def test_units_are_read_as_they_are_needed_and_a_window_of_them_is_held() -> None:
    read, seen = [], []

    def source():
        for number in range(100):
            read.append(number)
            yield np.full(10, number, np.uint8)

    batcher = Batcher(lambda batch: [int(u[0]) for u in batch], cost=len, budget=20, window_bytes=40)
    for batch, outputs in batcher.stream(source()):
        seen += outputs
        assert len(read) - len(seen) <= 4 + len(batch)  # a window, and the batch that was started
    assert sorted(seen) == list(range(100))


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    batches, run = recorded(limit=20)
    results = run_batched([10] * 8, identity, 80, run)
    assert [len(batch) for batch in batches] == [8, 4, 2, 2, 2, 2]
    assert results == ["result 10"] * 8


def test_what_does_not_fit_alone_is_an_error_of_one_line_and_the_rest_goes_on() -> None:
    _, run = recorded(limit=20)
    results = run_batched([10, 30, 5], identity, 90, run)
    assert [results[0], results[2]] == ["result 10", "result 5"]
    assert isinstance(results[1], ClipError)
    assert results[1].message == "CUDA out of memory. Tried to allocate 9 GiB"


def test_any_other_error_is_not_swallowed() -> None:
    def run(batch: list[int]) -> list[int]:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        run_batched([1], identity, 0, run)


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_a_prepared_model_has_its_precision_and_no_shortcuts(precision) -> None:
    torch.backends.cudnn.allow_tf32 = True
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())
    assert prepare(model, "cpu", precision) is model
    assert not model.training
    assert all(p.dtype == torch_dtype(precision) and not p.requires_grad for p in model.parameters())
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"


def test_compiling_is_asked_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda _self, **options: asked.append(options))
    prepare(torch.nn.Linear(2, 2), "cpu", compiled=True)
    prepare(torch.nn.Linear(2, 2), "cpu")
    assert asked == [{"dynamic": True}]
