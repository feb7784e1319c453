import pytest
import torch

from minioneformer.training.randomness import (
    random_state,
    restore_random_state,
    shielded_randomness,
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


def test_what_is_drawn_inside_does_not_move_the_generator():
    before = torch.get_rng_state()
    with shielded_randomness(CPU):
        torch.rand(7)
        torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
def test_the_same_holds_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    device = torch.device("cuda")
    states = random_state(device)
    with shielded_randomness(device):
        torch.rand(7, device=device)
    first = torch.rand(5, device=device)
    restore_random_state(states, device)
    assert torch.equal(torch.rand(5, device=device), first)
