import pytest
import torch

from minioneformer.training.randomness import (
    random_state,
    restore_random_state,
    seed_step,
)

CPU = torch.device("cpu")


def test_a_restored_generator_repeats_itself():
    states = random_state(CPU)
    first = torch.rand(5)
    torch.rand(3)
    restore_random_state(states, CPU)
    assert torch.equal(torch.rand(5), first)


def test_the_state_is_a_copy():
    states = random_state(CPU)
    kept = states["cpu"].clone()
    torch.rand(2000)
    assert torch.equal(states["cpu"], kept)


def test_a_step_draws_the_same_whatever_was_drawn_before():
    seed_step(3, 7, 0)
    first = torch.rand(5)
    torch.rand(11)
    seed_step(3, 7, 0)
    assert torch.equal(torch.rand(5), first)


def test_seed_step_and_process_all_count():
    drawn = set()
    for seed, step, rank in [(3, 7, 0), (4, 7, 0), (3, 8, 0), (3, 7, 1), (7, 3, 0), (2**62, 7, 0)]:
        seed_step(seed, step, rank)
        drawn.add(torch.rand(()).item())
    assert len(drawn) == 6


@pytest.mark.gpu
def test_a_gpu_is_seeded_too():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    seed_step(3, 7, 0)
    first = torch.rand(5, device="cuda")
    seed_step(3, 7, 0)
    assert torch.equal(torch.rand(5, device="cuda"), first)
