"""What a prediction means, what the loss weighs, and guidance that runs the encoder once."""

import pytest
import torch

from s2id.diffusion.denoiser import Denoiser, TrainedDenoiser, convert, loss, loss_weight
from s2id.diffusion.exact import EmpiricalDenoiser, GaussianDenoiser
from s2id.diffusion.guidance import AutoGuided, ConditionalDenoiser, Guided, clipped
from s2id.diffusion.process import Schedule, alpha_sigma
from s2id.shapes import NULL, per_sample

LOGSNR = torch.tensor([-6.0, -1.0, 0.0, 3.0, 6.0], dtype=torch.float64)


T = torch.tensor([0.98, 0.6, 0.5, 0.2, 0.03], dtype=torch.float64)


def noisy(seed=0, logsnr=LOGSNR):
    generator = torch.Generator().manual_seed(seed)
    x, eps = (torch.randn(5, 2, 3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    alpha, sigma = alpha_sigma(logsnr)
    x_t = per_sample(alpha, x) * x + per_sample(sigma, x) * eps
    v = per_sample(alpha, x) * eps - per_sample(sigma, x) * x
    return {"x": x, "eps": eps, "v": v}, x_t, alpha, sigma


@pytest.mark.parametrize("kind", ["x", "eps", "v"])
def test_a_true_prediction_of_any_kind_tells_all_three(kind):
    truth, x_t, alpha, sigma = noisy()
    forms = convert(kind, truth[kind], x_t, alpha, sigma)
    for name in ("x", "eps", "v"):
        assert torch.allclose(getattr(forms, name), truth[name], atol=1e-10)


@pytest.mark.parametrize("kind", ["x", "eps", "v"])
def test_a_wrong_prediction_of_any_kind_still_explains_the_state(kind):
    _, x_t, alpha, sigma = noisy()
    a, s = per_sample(alpha, x_t), per_sample(sigma, x_t)
    forms = convert(kind, noisy(seed=1)[0]["v"], x_t, alpha, sigma)
    assert torch.allclose(a * forms.x + s * forms.eps, x_t, atol=1e-10)
    assert torch.allclose(a * forms.eps - s * forms.x, forms.v, atol=1e-10)
    again = convert("v", forms.v, x_t, alpha, sigma)
    assert torch.allclose(again.x, forms.x, atol=1e-9) and torch.allclose(again.eps, forms.eps, atol=1e-9)


def test_weighted_x_loss_is_v_loss():
    truth, x_t, alpha, sigma = noisy()
    guess = truth["x"] + 0.1 * noisy(seed=1)[0]["x"]
    v = convert("x", guess, x_t, alpha, sigma).v
    weighted = loss("x", guess, truth["x"], LOGSNR, most=1e9)
    assert torch.allclose(weighted, loss("v", v, truth["v"], LOGSNR, most=1.0))
    assert torch.allclose(weighted, (v - truth["v"]).square().mean())


def test_the_weight_is_bounded_and_belongs_to_x_alone():
    weight = loss_weight("x", LOGSNR, most=10.0)
    assert weight.max() == 10 and weight.min() >= 1
    assert torch.allclose(weight[:3], 1 / alpha_sigma(LOGSNR)[1][:3] ** 2)
    for kind in ("eps", "v"):
        assert torch.equal(loss_weight(kind, LOGSNR, most=10.0), torch.ones_like(LOGSNR))


class Oracle:
    """A network that predicts the truth, and counts."""

    def __init__(self, truth):
        self.truth = truth
        self.calls = []

    def encode(self, x_t, logsnr):
        self.calls.append("encode")
        return logsnr

    def decode(self, encoded, label=None):
        self.calls.append("decode")
        return label

    def predict(self, features, size):
        return self.truth


@pytest.mark.parametrize("kind", ["x", "eps", "v"])
def test_a_network_that_is_right_denoises_rightly(kind):
    schedule = Schedule()
    truth, x_t, _, _ = noisy(logsnr=schedule.logsnr(T))
    denoiser = TrainedDenoiser(Oracle(truth[kind]), schedule, kind)
    assert torch.allclose(denoiser(x_t, T), truth["x"], atol=1e-6)


def test_the_network_hears_the_logsnr_of_the_schedule():
    class Listener(Oracle):
        def encode(self, x_t, logsnr):
            self.heard = logsnr

    network, schedule = Listener(torch.zeros(1, 1, 2, 2)), Schedule().at_density(3.0)
    t = torch.tensor([0.3])
    TrainedDenoiser(network, schedule)(torch.zeros(1, 1, 2, 2), t)
    assert torch.equal(network.heard, schedule.logsnr(t))


def test_guidance_runs_the_encoder_once_and_the_decoder_once_per_condition():
    network = Oracle(torch.zeros(2, 1, 4, 4))
    x_t, t, label = torch.zeros(2, 1, 4, 4), torch.full((2,), 0.5), torch.tensor([1, 2])
    Guided(TrainedDenoiser(network, Schedule()), 3.0)(x_t, t, label)
    assert network.calls == ["encode", "decode", "decode"]
    network.calls.clear()
    Guided(TrainedDenoiser(network, Schedule()), 1.0)(x_t, t, label)
    assert network.calls == ["encode", "decode"]
    network.calls.clear()
    Guided(TrainedDenoiser(network, Schedule()), 3.0)(x_t, t)
    assert network.calls == ["encode", "decode"]
    network.calls.clear()
    TrainedDenoiser(network, Schedule()).under_each(x_t, t, [label, None, label])
    assert network.calls == ["encode"] + 3 * ["decode"]


@pytest.fixture
def clouds():
    """Two classes of two pictures."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 3, 3, generator=generator, dtype=torch.float64)
    return EmpiricalDenoiser(images, Schedule(), torch.tensor([0, 0, 1, 1]))


def guide(denoiser, guidance, label):
    x_t = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Guided(denoiser, guidance)(x_t, torch.full((2,), 0.6, dtype=torch.float64), label)


def test_guidance_one_is_the_plain_denoiser_and_zero_ignores_the_label(clouds):
    label = torch.tensor([0, 1])
    x_t = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain, none = (clouds(x_t, torch.full((2,), 0.6, dtype=torch.float64), asked) for asked in (label, None))
    assert torch.equal(guide(clouds, 1.0, label), plain) and torch.equal(guide(clouds, 1.0, None), none)
    assert torch.allclose(guide(clouds, 0.0, label), none)
    assert (plain - none).abs().max() > 0.01


def test_guidance_goes_on_beyond_the_condition_in_a_straight_line(clouds):
    label = torch.tensor([0, 1])
    plain, none = guide(clouds, 1.0, label), guide(clouds, 0.0, label)
    assert torch.allclose(guide(clouds, 2.5, label), none + 2.5 * (plain - none))


def test_guidance_works_in_its_interval_only_and_calls_no_more_than_it_needs(clouds):
    x_t = torch.randn(3, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    t, label = torch.tensor([0.1, 0.4, 0.9], dtype=torch.float64), torch.tensor([0, 1, 0])
    part = Guided(clouds, 3.0, interval=(0.2, 0.6))(x_t, t, label)
    whole, plain = Guided(clouds, 3.0)(x_t, t, label), Guided(clouds, 1.0)(x_t, t, label)
    assert (whole - plain).abs().amax((1, 2, 3)).min() > 0.01
    assert torch.equal(part[1], whole[1]) and torch.equal(part[[0, 2]], plain[[0, 2]])
    network = Oracle(torch.zeros(3, 1, 3, 3))
    outside = torch.full((3,), 0.9)
    Guided(TrainedDenoiser(network, Schedule()), 3.0, interval=(0.2, 0.6))(x_t.float(), outside, label)
    assert network.calls == ["encode", "decode"]


def test_guidance_leaves_pictures_without_a_label_as_they_are(clouds):
    mixed, none = guide(clouds, 4.0, torch.tensor([0, NULL])), guide(clouds, 4.0, None)
    assert torch.allclose(mixed[1], none[1]) and not torch.allclose(mixed[0], none[0])


def test_autoguidance_goes_on_beyond_the_better_model_under_every_condition(clouds):
    weaker = EmpiricalDenoiser(0.5 * clouds.images, Schedule(), clouds.labels)
    x_t = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    t, label = torch.full((2,), 0.6, dtype=torch.float64), torch.tensor([0, 1])
    for asked in (label, None):
        own, other = clouds(x_t, t, asked), weaker(x_t, t, asked)
        assert torch.allclose(AutoGuided(clouds, weaker, 2.5)(x_t, t, asked), other + 2.5 * (own - other))
        assert torch.allclose(AutoGuided(clouds, weaker, 1.0)(x_t, t, asked), own)
        assert (own - other).abs().max() > 0.01
    both = Guided(AutoGuided(clouds, weaker, 2.0), 3.0)(x_t, t, label)
    moved, none = (2 * clouds(x_t, t, asked) - weaker(x_t, t, asked) for asked in (label, None))
    assert torch.allclose(both, none + 3.0 * (moved - none)), "guidance by a label is of what autoguidance left"


def test_autoguidance_is_exact_where_errors_are_the_same_only_larger():
    """A weaker model with twice the error of the better one: weight 2 is the truth."""
    truth = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    error = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    own, weaker = (TrainedDenoiser(Oracle(truth + k * error), Schedule()) for k in (1, 2))
    denoised = AutoGuided(own, weaker, 2.0)(torch.zeros_like(truth), torch.full((2,), 0.5))
    torch.testing.assert_close(denoised, truth)


def test_all_denoisers_keep_the_contract(clouds, network):
    trained = TrainedDenoiser(network(), Schedule())
    gaussian = GaussianDenoiser(torch.ones(1, 1), Schedule())
    for denoiser in (trained, clouds, gaussian, Guided(clouds, 2.0), AutoGuided(clouds, clouds, 2.0)):
        assert isinstance(denoiser, Denoiser)
    for denoiser in (trained, clouds, AutoGuided(clouds, clouds, 2.0)):
        assert isinstance(denoiser, ConditionalDenoiser)


@pytest.mark.parametrize("prediction", ["x", "eps", "v"])
def test_a_trained_denoiser_reads_each_picture_at_its_own_time(network, prediction):
    denoiser = TrainedDenoiser(network(), Schedule(), prediction)
    x_t = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    t, label = torch.tensor([0.2, 0.7]), torch.tensor([1, 2])
    together = denoiser(x_t, t, label)
    for i in range(2):
        alone = denoiser(x_t[i : i + 1], t[i : i + 1], label[i : i + 1])
        assert torch.allclose(together[i : i + 1], alone, atol=1e-5)


def test_guided_states_stay_in_the_range_of_pictures_and_conditional_ones_are_left_alone(network):
    denoiser = TrainedDenoiser(network(classes=10), Schedule())
    x_t = 3 * torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    t, label = torch.full((2,), 0.6), torch.tensor([1, 7])
    conditional = denoiser(x_t, t, label)
    assert torch.equal(Guided(denoiser, 1.0, within=clipped)(x_t, t, label), conditional)
    free = Guided(denoiser, 1000.0)(x_t, t, label)
    kept = Guided(denoiser, 1000.0, within=clipped)(x_t, t, label)
    assert free.abs().max() > 2 and bool((kept.abs() <= conditional.abs().clamp(min=1)).all())
    inside = free.abs() < 1
    assert inside.any() and torch.equal(kept[inside], free[inside])
