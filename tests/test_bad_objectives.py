"""Bad input for objectives and for what judges their codes: a named error before anything is trained."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest

from probvae import fit, objectives
from probvae.criticism import factor_vae_score, mutual_information_gap
from probvae.objectives import (
    ELBO,
    IWAE,
    AdversarialELBO,
    BetaTC,
    Capacity,
    CosineWarmUp,
    FactorVAE,
    FreeBits,
    InfoVAE,
    MultiRate,
    Renyi,
    SemiSupervisedELBO,
)
from probvae.objectives.compatibility import check_schedules
from probvae.objectives.objective import AbstractObjective

KEY = jax.random.key(0)
VAE = oracle.vae(3, 2)
X = oracle.dataset(40)[:, :3].astype(np.float32)
WEIGHTS = [
    (kind, name)
    for kind in (
        ELBO,
        FreeBits,
        Capacity,
        BetaTC,
        InfoVAE,
        FactorVAE,
        AdversarialELBO,
        SemiSupervisedELBO,
    )
    for name in kind.scheduled
]
FITTED = [pair for pair in WEIGHTS if pair[0] is not SemiSupervisedELBO]  # which asks for another VAE
EVERY = (
    ELBO,
    IWAE,
    Renyi,
    FreeBits,
    Capacity,
    BetaTC,
    InfoVAE,
    FactorVAE,
    AdversarialELBO,
    MultiRate,
    SemiSupervisedELBO,
)


def fitting(objective, **options):
    options = {"rng_key": KEY, "epochs": 3, "batch_size": 10, "progress": False, **options}
    return fit(VAE, X, objective=objective, **options)


def nan_from(first):
    return lambda step: jnp.where(step < first, 1.0, jnp.nan)


def test_the_table_has_every_objective():
    found = {getattr(objectives, name) for name in objectives.__all__}
    kinds = {k for k in found if isinstance(k, type) and issubclass(k, AbstractObjective)}
    assert kinds - {AbstractObjective} == set(EVERY)
    for kind in kinds - {AbstractObjective}:
        fields = {f: str(of).replace("float | int", "float") for f, of in kind.__annotations__.items()}
        weights = {f for f, of in fields.items() if "float | " in of}
        assert weights == set(kind.scheduled), "a field that may be a schedule is looked at by `fit`"


@pytest.mark.parametrize(("kind", "name"), WEIGHTS, ids=lambda each: getattr(each, "__name__", each))
@pytest.mark.parametrize(
    ("value", "got"),
    [
        (-1.0, "got -1.0"),
        (math.nan, "got nan"),
        (math.inf, "got inf"),
        (lambda step: math.nan, "a schedule that gives nan at step 0"),
        (lambda step: -0.5 + step, "a schedule that gives -0.5 at step 0"),
        (lambda step: np.ones(3), "a schedule that gives array.* at step 0"),
    ],
    ids=["negative", "nan", "infinite", "nan at 0", "negative at 0", "vector"],
)
def test_a_weight_is_a_finite_number_of_at_least_0(kind, name, value, got):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\({name}=...\) expects a finite .*{got}"):
        kind(**{name: value})


@pytest.mark.parametrize("kind", [k for k in EVERY if "num_particles" in k.__annotations__])
def test_no_particles(kind):
    for number in (0, -2, True):
        message = rf"{kind.__name__}\(num_particles=...\) .*got {number}"
        with pytest.raises((TypeError, ValueError), match=message):
            kind(num_particles=number)


@pytest.fixture
def untrained(monkeypatch):
    """Fail where a fit starts: what is refused, is refused before."""
    monkeypatch.setattr(
        "probvae.training.loop.initialize", lambda *told: pytest.fail("training started")
    )


@pytest.mark.parametrize(("kind", "name"), FITTED, ids=lambda each: getattr(each, "__name__", each))
def test_a_schedule_is_looked_at_over_all_steps_of_the_fit(kind, name, untrained):
    """Three epochs of four batches are steps 0 to 11."""
    with pytest.raises(
        ValueError, match=rf"{kind.__name__}\({name}=.*gives nan at step 11 of this fit"
    ):
        fitting(kind(**{name: nan_from(11)}))
    check_schedules(kind(**{name: nan_from(11)}), 11)


@pytest.mark.parametrize(
    ("schedule", "got"),
    [
        (optax.linear_schedule(1.0, -1.0, 8), "a schedule that gives -0.25 at step 5 of this fit"),
        (lambda step: 1 / (3 - step) ** 2, "a schedule that gives inf at step 3 of this fit"),
        (lambda step: 0.0 if step < 5 else 1.0, "cannot be traced.*jnp.where in place of `if`"),
        (lambda step: math.cos(step), "cannot be traced.*jnp.cos in place of math.cos"),
    ],
    ids=["negative", "infinite", "if", "math"],
)
def test_schedules_that_go_wrong_later(schedule, got, untrained):
    with pytest.raises(ValueError, match=rf"(?s)ELBO\(beta=...\) expects a finite number >= 0.*{got}"):
        fitting(ELBO(schedule))


def test_schedules_that_are_right_are_let_through():
    """A weight that ends just under 0 by rounding is no mistake, and no step after the last is asked for."""
    fine = lambda step: jnp.sin(jnp.pi * step / 4)  # noqa: E731
    assert float(fine(4)) < 0
    check_schedules(ELBO(fine), 5)
    check_schedules(ELBO(CosineWarmUp(5)), 300_000)
    with pytest.raises(ValueError, match="at step 262200 of this fit"):
        check_schedules(ELBO(nan_from(262_200)), 300_000)


def test_info_vae_never_rewards_codes_for_differing_from_the_prior(untrained):
    falling = optax.linear_schedule(1.0, 0.0, 10)
    with pytest.raises(ValueError, match=r"InfoVAE\(lam=.*number >= 0.5.*gives 0.39.* at step 6"):
        fitting(InfoVAE(0.5, falling))
    check_schedules(InfoVAE(1.0, falling), 20)
    check_schedules(InfoVAE(0.3, lambda step: jnp.float32(0.7)), 20)


@pytest.mark.parametrize("kind", [BetaTC, InfoVAE, FactorVAE])
def test_a_batch_of_one_has_nothing_to_compare(kind, untrained):
    message = rf"^{kind.__name__} compares .*at least 2; got a batch of 1.*batch_size"
    with pytest.raises(ValueError, match=message):
        fitting(kind(), batch_size=1)


def test_a_part_to_freeze_that_does_not_exist(untrained):
    for roles, got in ((("decodr",), "decodr"), (("encoder", "posterior"), "posterior")):
        with pytest.raises(ValueError, match=f"freeze expects .*encoder, decoder, prior.*got .*{got}"):
            fitting(None, freeze=roles)
    with pytest.raises(ValueError, match=r"freeze=\('decoder',\) needs a value in init_params"):
        fitting(None, freeze=("decoder",))


SCORES = (mutual_information_gap, lambda codes, factors: factor_vae_score(codes, factors, rng_key=KEY))


@pytest.mark.parametrize("score", SCORES, ids=["MIG", "FactorVAE"])
@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (np.arange(18).reshape(9, 2), "same rows in the same order; got 10 and 9 rows"),
        (np.arange(10), r"factors expects an array \(n, factors\); got shape \(10,\)"),
        (np.full((10, 2), 3), r"columns \[0, 1\] have one value in all 10 rows"),
        (np.full((10, 2), np.nan), "factors expects finite numbers; got NaN"),
    ],
    ids=["length", "vector", "constant", "nan"],
)
def test_factors_that_do_not_fit_the_codes(score, factors, message):
    with pytest.raises(ValueError, match=message):
        score(np.random.default_rng(0).normal(size=(10, 3)), factors)


def test_what_is_fixed_after_the_fact_stays_a_value():
    """Objectives stay hashable values: equal ones share a compiled program."""
    assert replace(ELBO(), beta=2.0) == ELBO(2.0)
    assert hash(InfoVAE()) == hash(InfoVAE())
