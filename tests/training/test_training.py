"""Training loops: what a stopped training goes on from, in which order samples come, and who may look on."""

import copy
import hashlib
import io
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from experiments.networks.forward import accuracy
from experiments.samples.cifar import crop_flip
from experiments.training import state as states
from experiments.training.fit import fit
from experiments.training.sgd import fit_sgd, one_cycle, step_decay

IMAGES = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(20) % 3
SHORT = partial(fit_sgd, epochs=4, rate=0.1, seed=5, batch_size=8)
LOOPS = pytest.mark.parametrize(
    "loop", [SHORT, partial(fit, epochs=4, rate=0.01, seed=5, batch_size=8)], ids=["sgd", "adamw"]
)


class Killed(Exception):
    pass


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 3)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def kill_at(fatal):
    def after_epoch(epoch, model):
        if epoch == fatal:
            raise Killed

    return after_epoch


def identical(one, other):
    return all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


@pytest.fixture(autouse=True)
def after_every_epoch(monkeypatch):
    """States are written however young the last one is."""
    monkeypatch.setattr(states, "SPARED", 0.0)


@pytest.fixture
def killed(tmp_path):
    """The state that a training leaves when it is killed in its second epoch."""
    state = tmp_path / "folder" / "model.state"
    with pytest.raises(Killed):
        SHORT(network(), IMAGES, LABELS, state=state, after_epoch=kill_at(2))
    return state


@pytest.mark.parametrize("decay", [step_decay, partial(one_cycle, rise=0.5)])
@pytest.mark.parametrize("fatal", [1, 2, 4])
def test_a_killed_training_ends_as_one_that_was_never_stopped_bit_by_bit(decay, fatal, tmp_path):
    state, epochs = tmp_path / "state", []
    train = partial(SHORT, inputs=IMAGES, targets=LABELS, augment=crop_flip, decay=decay)
    whole = train(network())
    with pytest.raises(Killed):
        train(network(), state=state, after_epoch=kill_at(fatal))
    assert state.exists() == (fatal > 1)
    fresh = network()
    torch.manual_seed(fatal)
    resumed = train(fresh, state=state, after_epoch=lambda epoch, model: epochs.append(epoch))
    assert epochs == list(range(fatal, 5))
    assert identical(resumed, whole)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("fatal", [1, 2, 4])
def test_a_training_by_adamw_resumes_too_and_goes_on_drawing_where_it_stood(fatal, tmp_path):
    state = tmp_path / "state"
    train = partial(fit, inputs=IMAGES, targets=LABELS, epochs=4, rate=0.01, seed=5, batch_size=8)
    models = [network() for _ in range(3)]
    torch.manual_seed(1)
    whole = train(models[0])
    torch.manual_seed(1)
    with pytest.raises(Killed):
        train(models[1], state=state, after_epoch=kill_at(fatal))
    torch.manual_seed(1 if fatal == 1 else 2)  # without a state, the first epoch begins anew
    assert identical(train(models[2], state=state), whole)
    assert not any(tmp_path.iterdir())


@LOOPS
def test_a_young_state_is_left_and_an_older_epoch_leads_to_the_same_end(loop, tmp_path, monkeypatch):
    monkeypatch.setattr(states, "SPARED", 60.0)
    state, epochs = tmp_path / "state", []
    train = partial(loop, inputs=IMAGES, targets=LABELS, state=state)
    torch.manual_seed(1)
    whole = train(network())
    torch.manual_seed(1)
    with pytest.raises(Killed):
        train(network(), after_epoch=kill_at(4))
    resumed = train(network(), after_epoch=lambda epoch, model: epochs.append(epoch))
    assert epochs == [2, 3, 4]
    assert identical(resumed, whole)
    with pytest.raises(Killed):
        train(network(), after_epoch=kill_at(2))
    os.utime(state, (0, 0))  # of long ago
    with pytest.raises(Killed):
        train(network(), after_epoch=kill_at(4))
    epochs.clear()
    train(network(), after_epoch=lambda epoch, model: epochs.append(epoch))
    assert epochs == [3, 4]


def test_the_seed_alone_decides_and_the_global_generator_is_left_alone():
    train = partial(fit_sgd, inputs=IMAGES, targets=LABELS, epochs=2, rate=0.1, batch_size=8, augment=crop_flip)
    models = [network() for _ in range(3)]
    generator = torch.get_rng_state()
    one, again, other = (train(model, seed=seed) for model, seed in zip(models, (1, 1, 2), strict=True))
    assert torch.equal(generator, torch.get_rng_state())
    assert identical(one, again)
    assert not identical(one, other)


def test_every_sample_is_seen_once_an_epoch_in_nearly_equal_batches_and_a_new_order():
    rows, batches = torch.arange(20.0)[:, None], []

    def watch(batch, generator):
        batches.append(batch[:, 0])
        return batch / 20

    fit_sgd(nn.Linear(1, 3), rows, LABELS, epochs=2, rate=0.1, seed=0, batch_size=8, augment=watch)
    assert [len(batch) for batch in batches] == [7, 7, 6] * 2
    first, second = (torch.cat(part).tolist() for part in (batches[:3], batches[3:]))
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_steps_are_those_of_sgd_at_the_decayed_rate():
    progress, rows = [], torch.randn(20, 4, generator=torch.Generator().manual_seed(0))

    def decay(value):
        progress.append(value)
        return 1 - value

    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    twin = copy.deepcopy(model)
    fit_sgd(model, rows, LABELS, epochs=2, rate=0.1, seed=0, batch_size=20, decay=decay, weight_decay=0.01)
    assert progress[:2] == [0, 0.5]
    speed = [torch.zeros_like(weight) for weight in twin.parameters()]
    for rate in (0.1, 0.05):
        gradients = torch.autograd.grad(nn.functional.cross_entropy(twin(rows), LABELS), [*twin.parameters()])
        with torch.no_grad():
            for weight, gradient, moving in zip(twin.parameters(), gradients, speed, strict=True):
                weight -= rate * moving.mul_(0.9).add_(gradient + 0.01 * weight)
    torch.testing.assert_close(model.state_dict(), twin.state_dict())


def test_the_published_schedule_drops_to_a_tenth_after_half_and_after_three_quarters():
    factors = [step_decay(epoch / 200) for epoch in range(200)]
    assert factors == pytest.approx([1] * 100 + [0.1] * 50 + [0.01] * 50)
    assert [step_decay(value, drops=(0.2,), factor=0.5) for value in (0.19, 0.2, 0.9)] == [1, 0.5, 0.5]
    with pytest.raises(ValueError, match=r"drops must be shares of the training .*, not \[100, 150\]"):
        step_decay(0, drops=(100, 150))


def test_one_cycle_rises_straight_from_near_0_to_1_and_falls_to_0():
    assert 0 < one_cycle(0) < 0.05
    assert one_cycle(0.15) == pytest.approx((one_cycle(0) + 1) / 2)
    assert one_cycle(0.3) == one_cycle(0.6, rise=0.6) == 1
    assert one_cycle(0.65) == pytest.approx(0.5)
    assert 0 < one_cycle(0.999) < 1e-4
    for rise in (0, 1, 30):
        with pytest.raises(ValueError, match=f"rise must be a share of the training .*, not {rise}"):
            one_cycle(0.5, rise=rise)


@LOOPS
@pytest.mark.parametrize("training", [True, False])
def test_after_each_epoch_the_model_is_shown_at_rest_and_goes_on_as_before(loop, training):
    seen, modes = [], []
    model = network().train(training)
    model.register_forward_pre_hook(lambda module, inputs: modes.append(module.training))

    def after_epoch(epoch, shown):
        seen.append((epoch, shown is model, any(module.training for module in shown.modules())))

    assert loop(model, IMAGES, LABELS, after_epoch=after_epoch) is model
    assert seen == [(epoch, True, False) for epoch in (1, 2, 3, 4)]
    assert set(modes) == {training}
    assert not any(module.training for module in model.modules())


@LOOPS
def test_who_looks_on_changes_nothing_and_is_shown_the_final_weights_last(loop):
    shown = []

    def after_epoch(epoch, model):
        model(IMAGES)
        shown.append(copy.deepcopy(model))

    torch.manual_seed(1)  # for the other loop's dropout
    watched = loop(network(), IMAGES, LABELS, after_epoch=after_epoch)
    torch.manual_seed(1)
    assert identical(watched, loop(network(), IMAGES, LABELS))
    assert identical(watched, shown[-1])
    assert not identical(*shown[-2:])


def test_a_frozen_part_stays_in_its_own_mode():
    model = network()
    model[1].eval()
    fit_sgd(model, IMAGES, LABELS, epochs=2, rate=0.1, seed=0)
    assert model[1].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 5}, "of a training with epochs 4, not 5"),
        ({"rate": 0.2}, r"of a training with rate 0\.1, not 0\.2"),
        ({"seed": 6}, "of a training with seed 5, not 6"),
        ({"batch_size": 4}, "of a training with batch_size 8, not 4"),
        ({"inputs": IMAGES[:9], "targets": LABELS[:9]}, "of a training with samples 20, not 9"),
        ({"model": nn.Linear(2, 2)}, "of another model"),
    ],
)
def test_the_state_of_another_training_is_refused_and_kept(change, message, killed):
    with pytest.raises(ValueError, match=rf"model\.state is {message}.*; delete it") as caught:
        SHORT(**{"model": network(), "inputs": IMAGES, "targets": LABELS, "state": killed} | change)
    assert "\n" not in str(caught.value)
    assert killed.exists()


@pytest.mark.parametrize("harm", ["empty", "text", "truncated", "one bit changed"])
def test_a_damaged_state_is_refused(harm, killed):
    content = bytearray(killed.read_bytes())
    content[len(content) // 2] ^= 1
    killed.write_bytes({"empty": b"", "text": b"text", "truncated": content[:100]}.get(harm, content))
    with pytest.raises(ValueError, match=r"model\.state is damaged .* delete it"):
        SHORT(network(), IMAGES, LABELS, state=killed)


def test_a_state_with_a_pickle_in_it_is_not_opened(killed):
    class Forged:
        def __reduce__(self):
            return (Path.touch, (killed.with_name("taken"),))

    for content, expected in ((Forged(), "holds something else"), ([], "lacks epoch"), (None, "holds something else")):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        killed.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
        with pytest.raises(ValueError, match=rf"model\.state {expected}.*; delete it") as caught:
            SHORT(network(), IMAGES, LABELS, state=killed)
        assert "\n" not in str(caught.value)
    assert not killed.with_name("taken").exists()


def test_a_linear_model_learns_separable_data_and_is_handed_back_at_rest():
    rows = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    labels = (rows[:, 0] > 0).long()
    model = nn.Linear(5, 2).requires_grad_(False)
    assert fit_sgd(model, rows, labels, epochs=10, rate=0.1, seed=0, decay=one_cycle) is model
    assert accuracy(model, rows, labels) > 0.97
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"rate": 0}, "rate must be a number above 0, not 0"),
        ({"rate": float("nan")}, "rate must be a number above 0, not nan"),
        ({"inputs": IMAGES[:0], "targets": LABELS[:0]}, "training needs samples; there is none"),
        ({"targets": LABELS[:19]}, "a target for each of its 20 samples, not 19"),
        ({"rate": 1e30}, r"training diverged \(loss (nan|inf)\); lower the learning rate 1e\+30"),
    ],
)
def test_impossible_settings_data_and_divergence_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SHORT(**{"model": network(), "inputs": IMAGES, "targets": LABELS} | change)


def test_sgd_minimises_what_it_is_told_and_moves_what_it_is_told():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    body, head = model[0].weight.clone(), model[1].weight.clone()
    inputs = torch.rand(8, 3, generator=torch.Generator().manual_seed(0))

    def loss(model, inputs, targets):
        return (model(inputs) - targets).square().mean()

    settings = {"rate": 0.1, "seed": 0, "batch_size": 8, "momentum": 0.0, "weight_decay": 0.0}
    before = loss(model, inputs, torch.ones(8, 2)).item()
    fit_sgd(model, inputs, torch.ones(8, 2), epochs=5, loss=loss, trainable=model[1].parameters(), **settings)
    assert loss(model, inputs, torch.ones(8, 2)).item() < before
    assert torch.equal(model[0].weight, body)
    assert not torch.equal(model[1].weight, head)
