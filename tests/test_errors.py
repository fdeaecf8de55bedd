"""The error table: what was expected, what was got, what to do."""

import jax
import numpy as np
import optax
import parts
import pytest

from probvae import VAE, Batch, data, fit, guides, likelihoods, nets, priors

SHAPE = (3, 2)
KEY = jax.random.key(0)
X = np.zeros((20, *SHAPE), np.float32)
NAN = np.where(np.arange(120).reshape(20, *SHAPE) == 31, np.nan, X)


def tiny(**changes):
    return VAE(
        **{
            "event_shape": SHAPE,
            "latent_dim": 2,
            "encoder": nets.MLP((4,)),
            "decoder": nets.MLP((4,)),
            **changes,
        }
    )


def fitting(x=X, vae=None, **options):
    options = {"rng_key": KEY, "epochs": 1, "batch_size": 10, "progress": False, **options}
    return lambda: fit(vae or tiny(), x, **options)


def joining(**changes):
    return lambda: tiny(**changes)


GAUSSIAN = tiny(likelihood=likelihoods.Gaussian())
CONTEXT = tiny(context_shape=(3,))

TABLE = {
    # the join
    "latent_dim 0": (joining(latent_dim=0), ValueError, "latent_dim expects a positive integer; got 0"),
    "negative latent_dim": (joining(latent_dim=-3), ValueError, "positive integer; got -3"),
    "a huge event shape": (joining(event_shape=(10**12,)), ValueError, r"event_shape=\(1000000000000,\).*entries.*smaller"),
    "a huge code": (joining(latent_dim=2**31 - 1), ValueError, r"latent_dim=2147483647 make an array.*smaller"),
    "no event shape": (joining(event_shape=()), ValueError, r"event_shape expects at least one dimension.*got \(\)"),
    "event of size 0": (joining(event_shape=(3, 0)), ValueError, r"positive integers; got \(3, 0\)"),
    "hierarchy with one guide": (
        joining(prior=priors.TwoLevel()), ValueError,
        r"prior TwoLevel and the posterior MeanField .*\['z1', 'z2'\].*\['z'\].*guide with the same sites"),
    "one prior with a hierarchy": (
        joining(posterior=guides.TwoLevelTopDown()), ValueError, "StandardNormal and the posterior TwoLevelTopDown"),
    "VampPrior with a program": (
        joining(prior=priors.VampPrior(3), posterior=guides.TwoLevelBottomUp()), TypeError,
        "VampPrior and the posterior TwoLevelBottomUp .*mixture of q.*MeanField"),
    "discrete prior, continuous guide": (
        joining(prior=priors.Bernoulli()), ValueError,
        r"Bernoulli and the posterior MeanField .*support of the prior is boolean, that of the posterior real. Use guides.Bernoulli\(\)"),
    "a sphere and a plane": (
        joining(prior=priors.UniformSphere()), ValueError,
        r"UniformSphere and the posterior MeanField .*sphere, that of the posterior real. Use guides.PowerSpherical\(\)"),
    "a prior of a context that is not there": (
        joining(prior=priors.ConditionalNormal()), ValueError, r"prior ConditionalNormal .*context_shape=\(\).*StandardNormal"),
    "a climb in a hierarchy": (
        joining(prior=priors.TwoLevel(), posterior=guides.SemiAmortized()), ValueError,
        "prior TwoLevel and the posterior SemiAmortized are incompatible: .*no such site.*one distribution"),
    "AR(1) of one entry": (
        joining(prior=priors.AutoregressiveNormal(), latent_dim=1), ValueError, "expects latent_dim >= 2; got 1"),
    "a net that forgets its shape": (
        joining(decoder=parts.WrongShapeNet), ValueError,
        r"decoder's net .*WrongShapeNet.* returned shape \(2, 5\).*expected \(2, 3, 2\)"),
    # components
    "no components": (lambda: priors.VampPrior(0), ValueError, "VampPrior.*positive integer; got 0"),
    "no widths": (lambda: nets.MLP((300, 0)), ValueError, r"tuple of positive integers.*got \(300, 0\)"),
    "scale 0": (lambda: likelihoods.FixedScale(0.0), ValueError, "finite number > 0; got 0.0"),
    "start below the floor": (lambda: likelihoods.LearnedScale(start=1e-9), ValueError, r"above exp\(min_log\)"),
    "equal pseudo-inputs": (lambda: priors.VampPrior(3, start_scale=0.0), ValueError, "start_scale=.*finite number > 0; got 0.0"),
    "a rate of 0": (lambda: priors.AutoregressiveNormal(0.0), ValueError, "delta=.*finite number > 0; got 0.0"),
    "no degrees of freedom": (lambda: priors.StudentT(0.0), ValueError, "StudentT.*finite number > 0; got 0.0"),
    "a sure bit": (lambda: priors.Bernoulli(1.0), ValueError, r"number in \(0, 1\); got 1.0"),
    "rank 0": (lambda: guides.LowRank(0), ValueError, "LowRank.*positive integer; got 0"),
    "no steps": (lambda: guides.SemiAmortized(0), ValueError, "SemiAmortized.*positive integer; got 0"),
    "rate 0": (lambda: guides.SemiAmortized(rate=0.0), ValueError, "SemiAmortized.*number > 0; got 0.0"),
    # data
    "one datum without its axis": (fitting(X[0]), ValueError, r"train has shape \(3, 2\); expected \(batch, 3, 2\).*train\[None\]"),
    "wrong event shape": (fitting(np.zeros((20, 2, 3))), ValueError, r"train has shape \(20, 2, 3\); expected \(batch, 3, 2\)"),
    "text": (fitting(np.full((20, *SHAPE), "a")), TypeError, "expects numbers; got dtype <U1"),
    "objects": (fitting(np.full((20, *SHAPE), None)), TypeError, "expects numbers; got dtype object"),
    "nothing": (fitting(np.zeros((0, *SHAPE))), ValueError, r"at least one row of shape \(3, 2\)"),
    "None": (fitting(None), TypeError, "expects an array"),
    "NaN": (fitting(NAN), ValueError, r"train holds 1 values that are NaN or infinite, the first in row 5.*mask"),
    "infinity": (fitting(np.where(np.isnan(NAN), np.inf, NAN)), ValueError, "NaN or infinite"),
    "NaN in validation": (fitting(validation=NAN), ValueError, "validation holds 1 values that are NaN"),
    "grey to Bernoulli": (
        fitting(X + 0.42), ValueError,
        r"Bernoulli expects boolean values \(0 or 1\); train holds 120 other values, such as 0.42.*Binarise.*Gaussian"),
    "bytes to Bernoulli": (fitting(np.full((20, *SHAPE), 200, np.uint8)), ValueError, "such as 200"),
    "bytes to Gaussian": (
        fitting(np.full((20, *SHAPE), 200, np.uint8), GAUSSIAN), ValueError, r"bytes in 0..200.*observation=data.observation"),
    "batch larger than data": (fitting(batch_size=21), ValueError, "batch_size=21 is larger than .* 20 rows. Use at most 20"),
    "one datum": (fitting(X[:1]), ValueError, "batch_size=10 is larger than the data, which have 1 rows"),
    "context unasked for": (fitting(Batch(X, np.zeros((20, 3)))), ValueError, r"context_shape=\(\).*context_shape=\(3,\)"),
    "context missing": (fitting(X, CONTEXT), ValueError, r"context expects shape .*context_shape=\(3,\); got None"),
    "context of another length": (fitting(Batch(X, np.zeros((19, 3))), CONTEXT), ValueError, "context expects a row for each of the 20 rows of x; got 19"),
    "context of another shape": (fitting(Batch(X, np.zeros((20, 4))), CONTEXT), ValueError, r"expected \(batch, 3\)"),
    "mask of another shape": (fitting(Batch(X, mask=np.ones((20, 3)))), ValueError, "mask has shape"),
    # options
    "batch 0": (fitting(batch_size=0), ValueError, "batch_size expects a positive integer; got 0"),
    "epochs 0": (fitting(epochs=0), ValueError, "epochs expects a positive integer; got 0"),
    "mistyped init_params": (
        fitting(init_params={"decoder$param": {}}), ValueError,
        r"init_params holds \['decoder\$param'\].*sites are \['decoder\$params', 'encoder\$params'\]"),
    "init_params of another size": (
        fitting(init_params={"prior$loc": np.zeros(3)}, vae=tiny(prior=priors.LearnedNormal())), ValueError,
        r"has shape \(3,\) for prior\$loc; this VAE expects \(2,\)"),
    # the programs
    "a guide without data": (lambda: tiny().guide(), ValueError, "expects data x of shape .*Predictive"),
    "a mask without data": (lambda: tiny().model(mask=np.ones((2, *SHAPE))), ValueError, "mask expects x.*got x=None"),
    "unknown data": (lambda: data.load("minst"), ValueError, "(?s)minst.*mnist"),
}  # fmt: skip

# What the type checker of the tests would catch before us: run with it out of the way, as users do.
UNTYPED = {
    "a class for a part": (
        "VAE(event_shape=(3,), latent_dim=2, prior=priors.VampPrior)", TypeError, r"prior expects a prior component.*Call it: VampPrior\(\)"),
    "a string for a part": (
        "VAE(event_shape=(3,), latent_dim=2, likelihood='bce')", TypeError, "likelihood expects a likelihood component; got 'bce'"),
    "a built module": (
        "VAE(event_shape=(3,), latent_dim=2, encoder=nnx.Linear(3, 4, rngs=nnx.Rngs(0)))", TypeError,
        "encoder expects a recipe.*built already"),
    "a float latent_dim": ("VAE(event_shape=(3,), latent_dim=2.0)", ValueError, "positive integer; got 2.0"),
    "a scale that is a number": ("likelihoods.Gaussian(scale=0.1)", TypeError, r"FixedScale\(0.1\)"),
    "an optimizer by name": (
        "fit(VAE(event_shape=(3,), latent_dim=2), np.zeros((9, 3)), rng_key=jax.random.key(0), optimizer='adam')",
        TypeError, "optax optimizer such as"),
    "a VAE's class": (
        "fit(VAE, np.zeros((9, 3)), rng_key=jax.random.key(0))", TypeError, "fit expects a probvae.VAE"),
    "half an epoch": (
        "fit(VAE(event_shape=(3,), latent_dim=2), np.zeros((9, 3)), rng_key=jax.random.key(0), epochs=0.5)",
        ValueError, "epochs expects a positive integer; got 0.5"),
    "an old key": (
        "fit(VAE(event_shape=(3,), latent_dim=2), np.zeros((9, 3)), rng_key=jax.random.PRNGKey(0))",
        TypeError, r"one typed key, jax.random.key\(0\)"),
    "many keys": (
        "fit(VAE(event_shape=(3,), latent_dim=2), np.zeros((9, 3)), rng_key=jax.random.split(jax.random.key(0)))",
        TypeError, "one typed key"),
    "beta of text": ("objectives.ELBO(beta='1')", ValueError, "finite number >= 0"),
    "half a particle": ("objectives.ELBO(num_particles=2.0)", TypeError, "positive integer; got 2.0"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), TABLE.values(), ids=TABLE.keys())
def test_error(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_errors_as_users_meet_them(tmp_path):
    """One process without the tests' type checker, for all of ``UNTYPED``."""
    import json
    import subprocess
    import sys

    code = (
        "import sys, json, jax, numpy as np\nfrom flax import nnx\nfrom probvae import *\nfound = []\n"
        "for call in json.loads(sys.argv[1]):\n"
        "    try:\n        eval(call); found.append(['none', ''])\n"
        "    except Exception as error:\n        found.append([type(error).__name__, str(error)])\n"
        "print(json.dumps(found))\n"
    )
    calls = json.dumps([call for call, *_ in UNTYPED.values()])
    run = subprocess.run(
        [sys.executable, "-c", code, calls],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    import re

    for (name, (_, error, message)), (kind, text) in zip(
        UNTYPED.items(), json.loads(run.stdout), strict=True
    ):
        assert kind == error.__name__, (name, text)
        assert re.search(message, text), (name, text)


def test_fitted_refuses_what_does_not_fit():
    fitted = fitting()()
    for call, message in (
        (lambda: fitted.encode(X[0]), r"x\[None\]"),
        (lambda: fitted.decode(np.zeros((4, 3))), r"z has shape \(4, 3\); expected \(batch, 2\)"),
        (
            lambda: fitted.log_prob(X, rng_key=KEY, num_particles=0),
            "num_particles expects a positive integer",
        ),
        (lambda: fitted.log_prob(X + 0.5, rng_key=KEY), "Bernoulli expects boolean"),
        (lambda: fitted.sample(0, rng_key=KEY), "num_samples expects a positive integer"),
        (lambda: fitted.elbo(NAN, rng_key=KEY), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_likelihood_that_is_no_density_has_no_log_prob():
    fitted = fitting(vae=tiny(likelihood=parts.NoDensity()))()
    with pytest.raises(ValueError, match="log p.x. needs a density .* NoDensity has none"):
        fitted.log_prob(X, rng_key=KEY, num_particles=2)


def test_a_mask_with_a_likelihood_that_does_not_factorise_is_refused():
    vae = tiny(likelihood=parts.NoFactors())
    with pytest.raises(ValueError, match="a mask needs a likelihood that factorises.*got NoFactors"):
        fitting(Batch(X, mask=np.ones(X.shape)), vae)()


def test_a_failed_fit_leaves_the_process_usable():
    with pytest.raises(ValueError, match="NaN"):
        fitting(NAN)()
    assert np.isfinite(fitting(optimizer=optax.sgd(0.1))().history.steps["loss"]).all()


def test_guides_are_checked_too():
    assert isinstance(tiny().posterior, guides.MeanField)
