"""Muon beside PyTorch's own and AdamW, and in the training loop."""

import pytest
import torch
from torch import nn

from sdlearn.core import make_generator, randn
from sdlearn.data import Endless
from sdlearn.muon import Muon, orthogonalize
from sdlearn.training import train

from .conftest import assert_close, assert_identical, refused

NUMBERS = Endless(lambda i: torch.tensor([float(i % 5), float(i % 3)]))


def copy_of(network):
    """Another network with the same weights."""
    other = type(network)(*shape_of(network), bias=network.bias is not None)
    other.load_state_dict(network.state_dict())
    return other


def shape_of(network):
    height, width = network.weight.shape[:2]
    if isinstance(network, nn.Conv2d):
        return width, height, network.kernel_size
    return width, height


def walk(optimizer, weights, steps=5, seed=0):
    """Steps with gradients that depend on the shape and the number of the step alone."""
    for step in range(steps):
        for i, weight in enumerate(weights):
            source = make_generator(1000 * seed + 10 * step + i)
            weight.grad = randn(weight.shape, source)
        optimizer.step()
        optimizer.zero_grad()


# The polynomial


@pytest.mark.parametrize("shape", [(1, 30, 20), (3, 20, 30), (2, 7, 7), (1, 1, 5)])
def test_directions_stay_and_singular_values_come_near_one(shape):
    matrices = randn(shape, make_generator(0))
    turned = orthogonalize(matrices)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    values = left.mT @ turned @ right.mT  # diagonal, if the directions are the same
    diagonal = torch.diagonal(values, dim1=1, dim2=2)
    assert (values - torch.diag_embed(diagonal)).abs().max() < 1e-3
    assert diagonal.min() > 0 and diagonal.max() < 1.4


def test_the_size_of_a_gradient_does_not_matter():
    matrices = randn((2, 8, 12), make_generator(0))
    assert_close(orthogonalize(1000 * matrices), orthogonalize(matrices))


def test_no_gradient_at_all_is_no_step():
    assert not orthogonalize(torch.zeros(1, 4, 6)).any()


# The optimizer


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch has it since 2.9")
@pytest.mark.parametrize("width, height", [(30, 20), (20, 30), (16, 16)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01, 0.3])
def test_flat_matrices_as_in_pytorch(width, height, weight_decay):
    """PyTorch multiplies in bfloat16, in another order: the last of its digits differ."""
    ours = nn.Linear(width, height, bias=False)
    theirs = copy_of(ours)
    optimizer = Muon(ours, 1e-3, weight_decay, dtype=torch.bfloat16)
    reference = torch.optim.Muon(
        theirs.parameters(), lr=0.01, weight_decay=weight_decay, momentum=0.95
    )
    before = ours.weight.detach().clone()
    walk(optimizer, [ours.weight])
    walk(reference, [theirs.weight])
    moved = (theirs.weight - before).norm()
    assert (ours.weight - theirs.weight).norm() < 0.05 * moved


def test_matrices_of_one_shape_do_not_mix():
    """They are multiplied together, and each moves as it would alone."""
    pair = nn.ModuleList([nn.Linear(6, 4, bias=False) for _ in range(2)])
    single = [copy_of(layer) for layer in pair]
    walk(Muon(pair), [layer.weight for layer in pair])
    for i, layer in enumerate(single):
        optimizer = Muon(layer)
        for step in range(5):
            layer.weight.grad = randn(layer.weight.shape, make_generator(10 * step + i))
            optimizer.step()
        assert_close(layer.weight, pair[i].weight)


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_kernel_is_a_flat_matrix(kernel):
    conv = nn.Conv2d(5, 8, kernel, bias=False)
    flat = nn.Linear(5 * kernel**2, 8, bias=False)
    flat.weight.data = conv.weight.detach().flatten(1).clone()
    by_conv, by_flat = Muon(conv), Muon(flat)
    for step in range(5):
        gradient = randn(flat.weight.shape, make_generator(step))
        conv.weight.grad, flat.weight.grad = gradient.view_as(conv.weight), gradient
        by_conv.step()
        by_flat.step()
    assert_identical(conv.weight.flatten(1), flat.weight)


def words_and_norms():
    """A network with matrices, a table of embeddings, biases and a norm."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(7, 6), nn.LayerNorm(6), nn.Linear(6, 4))


def test_all_else_moves_as_by_adamw():
    ours, theirs = words_and_norms(), words_and_norms()
    walk(Muon(ours, 1e-3), list(ours.parameters()))
    reference = torch.optim.AdamW(theirs.parameters(), 1e-3, weight_decay=0.01)
    walk(reference, list(theirs.parameters()))
    for (name, our), their in zip(ours.named_parameters(), theirs.parameters()):
        if name == "2.weight":  # the one matrix
            assert not torch.equal(our, their)
        else:
            assert_identical(our, their)


def test_the_learning_rate_is_read_at_each_step():
    """The loop of the lesson sets it before each step, for every group."""
    model = words_and_norms()
    optimizer = Muon(model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    walk(optimizer, list(model.parameters()))
    for weight, untouched in zip(model.parameters(), words_and_norms().parameters()):
        assert_identical(weight, untouched)


# In the training loop


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, 2))


def loss_fn(model, batch, generator):
    noise = torch.randn(batch.shape, generator=generator)
    return (model(batch + noise) - batch).square().mean()


def short(model, optimizer="muon", **settings):
    how = dict(steps=6, batch_size=4, lr=0.01, save_every=2, optimizer=optimizer)
    return train(model, loss_fn, NUMBERS, **{**how, **settings})


def assert_same_weights(ours, theirs):
    for name, weight in theirs.state_dict().items():
        assert_identical(ours.state_dict()[name], weight)


class Killed(Exception):
    pass


def kill(step, model, ema):
    if step == 3:
        raise Killed


def without_biases():
    """Nothing but matrices: AdamW counts no update."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8, bias=False), nn.Linear(8, 2, bias=False))


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("make", [network, without_biases], ids=lambda f: f.__name__)
def test_killed_and_resumed_ends_in_the_same_weights(tmp_path, make, precision):
    how = {"mixed_precision": precision}
    path = tmp_path / "state.safetensors"
    whole, victim, resumed = make(), make(), make()
    losses = short(whole, **how)
    with pytest.raises(Killed):
        short(victim, checkpoint=path, on_step=kill, **how)
    assert short(resumed, checkpoint=path, **how) == losses
    assert_same_weights(resumed, whole)


def test_it_is_another_training_than_that_of_adamw():
    by_muon, by_adamw = network(), network()
    assert short(by_muon)[0] == short(by_adamw, "adamw")[0]
    assert not torch.equal(by_muon[0].weight, by_adamw[0].weight)


def test_a_file_of_the_other_optimizer_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        short(network(), "adamw", checkpoint=path, on_step=kill)
    with refused("delete it", "another training"):
        short(network(), checkpoint=path)


def test_frozen_weights_stay():
    model = network()
    for weight in model[0].parameters():
        weight.requires_grad_(False)
    short(model)
    for i, moves in ((0, False), (2, True)):
        for weight, before in zip(model[i].parameters(), network()[i].parameters()):
            assert torch.equal(weight, before) is not moves


@pytest.mark.parametrize("optimizer", ["sgd", "Muon", None, torch.optim.AdamW])
def test_an_unknown_optimizer_is_named(optimizer):
    model = network()
    with refused("optimizer", "'adamw' or 'muon'"):
        short(model, optimizer)
    assert_same_weights(model, network())
