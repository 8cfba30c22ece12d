"""Unlearning methods and the controls that imitate them: what each changes, what it must not touch, what it refuses."""

import copy
from functools import cache, partial

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from experiments.interfaces import Samples
from experiments.networks.forward import accuracy
from experiments.networks.reinitialised import reinitialised
from experiments.networks.timm import Normalise, build
from experiments.samples.digits import digits
from experiments.testbeds.unlearning import relabelling, unlearners
from experiments.training import descent
from experiments.training.fit import fit
from modelgif_core import Paths, cosine, extract_field
from modelgif_core.readout import given_label

FORGOTTEN = 9
FORGETTING = {
    "neg_grad": partial(unlearners.neg_grad, rate=6e-3),
    "neg_grad_frozen": partial(unlearners.neg_grad_frozen, rate=8e-3),
    "neg_grad_plus": unlearners.neg_grad_plus,
    "random_label": partial(relabelling.random_label, epochs=6, rate=2e-3),
    "approximate": partial(relabelling.approximate, epochs=6, rate=5e-3),
    "salun": partial(relabelling.salun, epochs=6),
    "scrub": partial(unlearners.scrub, rate=5e-3),
    "ssd": partial(unlearners.ssd, alpha=5, batch_size=8),
    "bad_teacher": partial(unlearners.bad_teacher, epochs=12, rate=5e-3),
}
METHODS = FORGETTING | {"finetune": partial(unlearners.finetune, epochs=4)}
EVERY_METHOD = pytest.mark.parametrize("name", METHODS)


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first = [nn.Conv2d(1, 12, 5, stride=2), nn.BatchNorm2d(12), nn.ReLU(inplace=True)]
        second = [nn.Conv2d(12, 24, 3, stride=2), nn.BatchNorm2d(24), nn.ReLU()]
        model = nn.Sequential(Normalise(0.13, 0.31), *first, *second, nn.Flatten(), nn.Linear(216, 10))
        return model.to(memory_format=torch.channels_last).eval()  # as zoos build theirs


@cache
def data():
    samples = digits("victim", 320)
    gone = samples.labels == FORGOTTEN
    return tuple(Samples(samples.inputs[part], samples.labels[part]) for part in (~gone, gone))


@cache
def original():
    samples = digits("victim", 320)
    return fit(network().train(), *samples, epochs=12, rate=1e-2, seed=0)


@cache
def retrained(seed):
    fresh = reinitialised(original(), seed)
    return fit(fresh.train(), *data()[0], epochs=12, rate=1e-2, seed=seed)


def without_class():
    return retrained(1)


@cache
def unlearned(name, seed=1):
    return METHODS[name](original(), *data(), seed=seed)


def probes(count=12):
    samples = digits("references", 400)
    chosen = samples.labels == FORGOTTEN
    return Paths(torch.zeros(()), samples.inputs[chosen][:count], samples.labels[chosen][:count])


def distance(one, other, readout=given_label):
    fields = [extract_field(model, probes(), steps=4, readout=readout) for model in (one, other)]
    return float(cosine(*fields).nanmean())


def snapshot(model):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    return state, [module.training for module in model.modules()], [p.requires_grad for p in model.parameters()]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def scores(model):
    return [accuracy(model, *samples) for samples in data()]


@EVERY_METHOD
def test_a_method_leaves_the_given_model_alone_and_repeats_itself(name):
    given = copy.deepcopy(original()).train()
    next(given.parameters()).requires_grad_(False)
    before = snapshot(given)
    torch.rand(3)  # the global generator plays no part
    new = METHODS[name](given, *data(), seed=1)
    after = snapshot(given)
    assert same(before[0], after[0])
    assert before[1:] == after[1:]
    assert not any(module.training for module in new.modules())
    assert not same(new.state_dict(), given.state_dict())
    assert same(new.state_dict(), unlearned(name).state_dict())
    assert all(parameter.grad is None for parameter in new.parameters())


@EVERY_METHOD
def test_another_seed_gives_another_model(name):
    assert not same(unlearned(name).state_dict(), unlearned(name, seed=2).state_dict())


@pytest.mark.parametrize("name", FORGETTING)
def test_a_method_forgets_the_class_and_keeps_the_rest(name):
    assert scores(original()) == [1, 1]
    retained, forgotten = scores(unlearned(name))
    assert forgotten < 0.5
    assert retained > 0.93


def test_finetuning_forgets_less_than_methods_that_see_the_class():
    retained, forgotten = scores(unlearned("finetune"))
    assert retained > 0.98
    assert forgotten > max(scores(unlearned(name))[1] for name in FORGETTING)


def test_ascent_at_rate_zero_changes_nothing_unless_statistics_drift_to_the_forgotten_class():
    published, frozen = (
        method(original(), *data(), seed=0, rate=0.0) for method in (unlearners.neg_grad, unlearners.neg_grad_frozen)
    )
    assert same(frozen.state_dict(), original().state_dict())
    assert scores(frozen) == scores(original())
    assert same(dict(published.named_parameters()), dict(original().named_parameters()))
    seen, drifted = (model(data()[1].inputs).softmax(1)[:, FORGOTTEN] for model in (original(), published))
    assert drifted.mean() < seen.mean()


def test_dropout_follows_the_seed():
    retain, forget = data()
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(400, 10))
    models = [unlearners.finetune(model, retain, forget, seed=seed, epochs=1) for seed in (0, 0, 1)]
    assert same(models[0].state_dict(), models[1].state_dict())
    assert not same(models[0].state_dict(), models[2].state_dict())


def test_salun_moves_no_weight_outside_its_mask():
    masks = relabelling.salient(original(), data()[1], 0.5)
    pairs = zip(masks, original().parameters(), unlearned("salun").parameters(), strict=True)
    moved = 0
    for mask, old, new in pairs:
        assert torch.equal(old[~mask], new[~mask])
        moved += int((old != new).sum())
    assert moved > 0.9 * sum(int(mask.sum()) for mask in masks)


def test_salient_weights_have_the_largest_gradients():
    forget = data()[1]
    masks = relabelling.salient(original(), forget, 0.3)
    model = copy.deepcopy(original()).requires_grad_(True)
    loss = cross_entropy(model(forget.inputs), forget.labels)
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))]).abs()
    mask = torch.cat([part.flatten() for part in masks])
    assert int(mask.sum()) == round(0.3 * len(mask))
    assert gradient[mask].min() >= 0.999 * gradient[~mask].max()


def test_scrub_without_its_teacher_is_finetuning():
    settings = {"seed": 4, "epochs": 2, "rate": 1e-2}
    scrubbed = unlearners.scrub(original(), *data(), **settings, max_epochs=0, alpha=0, gamma=1)
    finetuned = unlearners.finetune(original(), *data(), **settings)
    for name, value in finetuned.state_dict().items():
        assert torch.allclose(value, scrubbed.state_dict()[name], atol=1e-6)


def test_ssd_only_shrinks_weights():
    old, new = original().state_dict(), unlearned("ssd").state_dict()
    for name in old:
        assert (new[name].abs() <= old[name].abs()).all()
        assert (new[name] * old[name] >= 0).all()
    assert all(torch.equal(old[name], new[name]) for name, _ in original().named_buffers() if name in old)


def test_ssd_of_single_samples_follows_the_formula_whatever_the_seed():
    retain, forget = data()
    model = nn.Sequential(nn.Flatten(), nn.Linear(400, 10, bias=False)).requires_grad_(False)
    model[1].weight.copy_(torch.randn(10, 400, generator=torch.Generator().manual_seed(0)))

    def importance(samples):
        error = model(samples.inputs).softmax(1) - one_hot(samples.labels, 10)
        return (error.square().T @ samples.inputs.flatten(1).square()) / len(error)

    own = importance(forget)
    overall = importance(Samples(*(torch.cat(parts) for parts in zip(retain, forget, strict=True))))
    factor = torch.where(own > 2 * overall, (1.5 * overall / own).clamp(max=1), 1)
    assert 0.01 < (factor < 1).float().mean() < 0.9
    for seed in (0, 1):
        new = unlearners.ssd(model, retain, forget, seed=seed, alpha=2, dampening=1.5, batch_size=1)
        assert torch.allclose(new[1].weight, model[1].weight * factor, rtol=1e-3, atol=1e-5)


def test_ssd_says_when_alpha_can_select_nothing():
    with pytest.raises(ValueError, match=r"alpha 10.* selects no weight in batches of 1; take a smaller one"):
        unlearners.ssd(original(), *data(), seed=0, batch_size=1)  # at most all samples for each forgotten one: 7.62


def test_ssd_of_batches_follows_the_seed_that_deals_them():
    models = [unlearners.ssd(original(), *data(), seed=seed, alpha=5, batch_size=8) for seed in (0, 0, 1)]
    assert same(models[0].state_dict(), models[1].state_dict())
    assert not same(models[0].state_dict(), models[2].state_dict())


@pytest.mark.parametrize(("method", "anew"), [("approximate", True), ("salun", True), ("random_label", False)])
def test_forgotten_images_get_other_labels_than_their_own(monkeypatch, method, anew):
    retain, forget = data()
    seen = []

    class Watched(nn.Linear):
        def forward(self, inputs):
            seen.append([inputs.flatten(1).sum(1).tolist()])
            return super().forward(inputs.flatten(1))

    def watch(outputs, labels, **options):
        seen[-1].append(labels.tolist())
        return cross_entropy(outputs, labels, **options)

    monkeypatch.setattr(relabelling, "cross_entropy", watch)
    if method == "salun":
        monkeypatch.setattr(
            relabelling, "salient", lambda model, *_: [torch.ones_like(p) > 0 for p in model.parameters()]
        )
    getattr(relabelling, method)(Watched(400, 10), retain, forget, seed=0, epochs=6)
    marks = {round(mark, 3) for mark in forget.inputs.flatten(1).sum(1).tolist()}
    drawn = {}
    for marks_of_batch, labels in [batch for batch in seen if len(batch) == 2]:
        for mark, label in zip(marks_of_batch, labels, strict=True):
            drawn.setdefault(round(mark, 3), []).append(label)
    labels = [drawn[mark] for mark in marks]
    assert all(len(given) == 6 for given in labels)
    assert {label for given in labels for label in given} <= set(range(10)) - {FORGOTTEN}
    assert all((len(set(given)) > 1) == anew for given in labels)


def test_divergence_is_that_of_the_softened_distributions():
    outputs, goal = torch.randn(2, 7, 10, generator=torch.Generator().manual_seed(0))
    soft = [torch.distributions.Categorical(logits=logits / 3) for logits in (goal, outputs)]
    expected = 9 * torch.distributions.kl_divergence(*soft).mean()
    assert torch.allclose(descent.divergence(outputs, goal, 3), expected, rtol=1e-4)
    assert abs(descent.divergence(goal, goal)) < 1e-6


BUILDERS = {
    "cnn": network,
    "test_resnet": lambda seed: build("test_resnet", classes=10, seed=seed),
    "test_vit": lambda seed: build("test_vit", classes=10, seed=seed, img_size=20, patch_size=4),
    "attention": lambda seed: nn.TransformerEncoderLayer(8, 2, 16),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_every_tensor_of_a_reinitialised_model_is_new_and_scaled_as_in_a_new_model(name):
    built = BUILDERS[name](0)
    trained = copy.deepcopy(built)
    with torch.no_grad():
        for value in trained.state_dict().values():
            value.add_(3)  # no tensor keeps a value that a new model could have
    first, again, other = (reinitialised(trained, seed).state_dict() for seed in (1, 1, 2))
    assert same(first, again)
    for key, old in trained.state_dict().items():
        assert not torch.isclose(first[key], old).any(), key
        new = built.state_dict()[key].float()
        if new.numel() > 100 and new.std() > 0:
            assert not torch.equal(first[key], other[key]), key
            assert 0.7 < first[key].std() / new.std() < 1.4, key
        elif new.numel() > 1 and new.std() == 0:
            assert first[key].float().std() == 0, key


RETAIN, FORGET = "retain", "forget"


@pytest.mark.parametrize("spoilt", [RETAIN, FORGET])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda samples: Samples(samples.inputs[:0], samples.labels[:0]), "set is empty"),
        (lambda samples: Samples(samples.inputs), "needs a label for each"),
        (lambda samples: Samples(samples.inputs, samples.labels[:-1]), "needs a label for each"),
        (lambda samples: Samples(samples.inputs, samples.labels + 5), "the model has 10 outputs"),
    ],
)
@EVERY_METHOD
def test_bad_samples_are_named(name, make, message, spoilt):
    sets = dict(zip((RETAIN, FORGET), data(), strict=True))
    sets[spoilt] = make(sets[spoilt])
    with pytest.raises(ValueError, match=f"{spoilt}.*{message}"):
        METHODS[name](original(), *sets.values(), seed=0)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        (unlearners.neg_grad_plus, {"alpha": 1.5}, "alpha must lie between 0 and 1, not 1.5"),
        (relabelling.salun, {"share": -0.1}, "share must lie between 0 and 1, not -0.1"),
        (unlearners.bad_teacher, {"share": 30}, "share must lie between 0 and 1, not 30"),
        (unlearners.ssd, {"alpha": 0}, "alpha must be above 0"),
        (unlearners.neg_grad, {"rate": 1e30}, r"unlearning diverged .* lower the rate 1e\+30"),
    ],
)
def test_settings_out_of_range_are_named(method, settings, message):
    with pytest.raises(ValueError, match=message):
        method(original(), *data(), seed=0, **settings)


def test_approximate_unlearning_needs_a_class_that_is_not_forgotten():
    everything = digits("victim", 320)
    with pytest.raises(ValueError, match="there is none: take random_label"):
        relabelling.approximate(original(), data()[0], everything, seed=0)
