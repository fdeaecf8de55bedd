"""What each paper of the gallery promises, as a measured quantity beside the plain VAE's.

One function for each file of ``models/``, by its name; ``case`` holds the fitted variant, the plain VAE
fitted to the same data, the data, and what builds the variant for other data.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from probvae import fit, guides, likelihoods
from probvae.objectives import ELBO, BetaTC, terms
from probvae.tracing import trace_structure

KEY = jax.random.key(5)


def read(fitted, x, **options):
    """Terms of data under a fitted VAE, one draw each."""
    vae = fitted.vae.eval()
    return jax.jit(lambda x: terms(KEY, fitted.values, vae.model, vae.guide, x, **options))(x)


def refit(vae, x, epochs=60, optimizer=None, **options):
    """Fit to a toy data set."""
    optimizer = optimizer or optax.adam(1e-2)
    x = np.asarray(x, np.float32)
    settings = {"rng_key": KEY, "epochs": epochs, "batch_size": 100, "optimizer": optimizer}
    return fit(vae, x, progress=False, **settings, **options)


def gaussian(case, scale):
    """The variant's nets under the plain ELBO and a normal p(x|z): what it is held against."""
    fixed = likelihoods.Gaussian(likelihoods.FixedScale(scale))
    one = dataclasses.replace(case.fitted.vae, likelihood=fixed)
    return refit(one, case.data.observation(KEY, case.data.train), optimizer=optax.adam(3e-3))


def codes(fitted, x, num_samples=1):
    """Draws of q(z|x), ``(num_samples, n, latent)``."""
    return fitted.encode(x).sample(KEY, (num_samples,))


def last(fitted, name):
    return fitted.history.validation[name][-1]


def error(fitted, x):
    """Root mean square of x - E[x|z], z a draw of q(z|x)."""
    return float(jnp.sqrt(jnp.square(x - fitted.reconstruct(x, rng_key=KEY)).mean()))


def vae(case):
    """It uses its code: the ELBO is above the log p(x) of independent pixels."""
    p = np.clip(case.data.train.mean(0), 1e-3, 1 - 1e-3)
    x = case.data.valid
    independent = (x * np.log(p) + (1 - x) * np.log1p(-p)).sum((1, 2)).mean()
    assert last(case.fitted, "elbo") > independent + 1
    assert last(case.fitted, "kl") > 1


def gaussian_vae(case):
    """The learned scale is what maximum likelihood asks for: the error that is left."""
    x = case.data.observation(KEY, case.data.train)
    scale = last(case.fitted, "scale_x")
    assert scale == pytest.approx(error(case.fitted, x), rel=0.05)
    assert abs(scale / 0.3 - 1) > 0.1  # it has moved from its start


def sigma_vae(case):
    """The scale is the training set's error, without a parameter."""
    x = case.data.observation(KEY, case.data.train)
    assert not [name for name in case.fitted.params if name.startswith("likelihood")]
    assert last(case.fitted, "scale_x") == pytest.approx(error(case.fitted, x), rel=0.03)


def linear_vae(case):
    """It is probabilistic PCA: log p(x) climbs to the closed form's largest, and not beyond."""
    x = np.asarray(case.data.observation(KEY, case.data.train))
    rows = x.reshape(len(x), -1)
    exact = PCA(case.fitted.vae.latent_dim).fit(rows).score(rows)
    assert exact - 3 < case.fitted.elbo(x, rng_key=KEY, num_particles=20).mean < exact


def fits_its_codes(case):
    """The prior lies where codes are: they are likelier under it than under the standard normal."""
    z = read(case.fitted, case.data.valid, look=lambda guide, *_: guide["z"]["value"])
    normal = -0.5 * (jnp.square(z.extra) + np.log(2 * np.pi)).sum(-1)
    assert z.log_prior["z"].mean() > normal.mean() + 0.05


def continuous_bernoulli(case):
    """A density at each pixel: it integrates to 1, and the Bernoulli formula to less."""
    z = case.fitted.encode(case.data.valid[:5]).mean
    grid = jnp.linspace(0.0, 1.0, 1001).reshape(-1, 1, 1, 1)
    mass = {}
    for fitted in (case.fitted, case.plain):
        density = jnp.exp(fitted.decode(z).base_dist.log_prob(grid + jnp.zeros((5, 8, 8))))
        mass[fitted] = jnp.trapezoid(density, dx=1e-3, axis=0)
    np.testing.assert_allclose(mass[case.fitted], 1, atol=0.03)
    assert mass[case.plain].max() < 0.55


def laplace(case):
    """What the decoder cannot explain, it gives the median of, where the normal's gives the mean."""
    wild = jax.random.bernoulli(KEY, 0.3, (400, 4)) + 0.01 * jax.random.normal(KEY, (400, 4))
    one = case.build((4,), latent_dim=1, hidden=(4,))
    normal = likelihoods.Gaussian(likelihoods.LearnedScale(start=0.3))
    found = [refit(vae, wild) for vae in (one, dataclasses.replace(one, likelihood=normal))]
    median, mean = (fitted.decode(jnp.zeros((1, 1))).mean for fitted in found)
    assert jnp.abs(median).max() < 0.05
    assert jnp.abs(mean - 0.3).max() < 0.1


def autoregressive_vae(case):
    """The pixels before a pixel say what the code need not: more likely data, and a lower KL."""
    ours, plain = case.fitted.history, case.plain.history
    at = ours.num_epochs - 1
    assert ours.validation["elbo"][at] > plain.validation["elbo"][at] + 0.5
    assert ours.validation["kl"][at] < 0.8 * plain.validation["kl"][at]


def beta_vae(case):
    """The KL is lower, and so is what is said about x."""
    assert last(case.fitted, "kl") < 0.7 * last(case.plain, "kl")
    assert last(case.fitted, "log_likelihood") < last(case.plain, "log_likelihood") - 1


def annealed(case):
    """The code is taken up early, while it is cheap; in the end the bound is the plain ELBO."""
    early, steps = slice(20, 100), case.fitted.history.steps
    assert steps["kl"][early].mean() > 2 * case.plain.history.steps["kl"][early].mean()
    elbo = steps["log_likelihood"] - steps["kl"]
    assert steps["bound"][60] > elbo[60] + 1
    assert steps["bound"][-1] == pytest.approx(elbo[-1], rel=1e-5)
    assert last(case.fitted, "kl") > 0.9 * last(case.plain, "kl")


def capacity(case):
    """The KL is the capacity asked for, 6 nats; the plain one's is its own."""
    assert last(case.fitted, "kl") == pytest.approx(6, abs=0.3)
    assert last(case.plain, "kl") < 4


def free_bits(case):
    """No unit spends less than lambda = 0.6 nats; of the plain VAE's one does."""
    units = [read(fitted, case.data.train).kl["z"].mean(0) for fitted in (case.fitted, case.plain)]
    assert units[0].min() > 0.97 * 0.6
    assert units[1].min() < 0.55


def conditional(case):
    """A classifier trained on real digits recognises the class that was asked for."""
    x, labels = case.data.train.reshape(-1, 64), case.data.labels["train"]
    classifier = LogisticRegression(max_iter=300).fit(x, labels)
    drawn = case.fitted.sample(30, context=np.eye(10), rng_key=KEY).x.reshape(300, 64)
    right = classifier.predict(np.asarray(drawn)).reshape(30, 10) == np.arange(10)
    assert right.mean() > 0.6
    assert last(case.fitted, "kl") < last(case.plain, "kl")  # the code need not say the class


def labelled(n):
    """The tenth of the data whose labels the semi-supervised VAE is told."""
    return np.arange(n) % 10 == 0


def semi_supervised(case):
    """q(y|x) names more held-out digits than logistic regression on the same labels alone."""
    x, labels = case.data.train, case.data.labels
    known = labelled(len(x))
    drawn = [case.data.observation(key, x[known]) for key in jax.random.split(KEY, 10)]
    right = {"ours": [], "grey": [], "binary": []}
    alone = {"grey": [x[known]], "binary": drawn}  # the latter as the VAE and held-out data have them
    for name, rows in alone.items():
        told = np.concatenate(rows).reshape(-1, 64), np.tile(labels["train"][known], len(rows))
        alone[name] = LogisticRegression(max_iter=1000).fit(*told)
    for split in ("valid", "test"):
        held = getattr(case.data, split)
        q = case.fitted.responsibilities(held, rng_key=KEY, num_particles=1)
        right["ours"].extend(np.asarray(q).argmax(1) == labels[split])
        for name, classifier in alone.items():
            right[name].extend(classifier.predict(held.reshape(-1, 64)) == labels[split])
    share = {name: np.mean(found) for name, found in right.items()}
    assert share["ours"] > max(share["grey"], share["binary"]) + 0.02, share


def iwae(case):
    """The bound is above the ELBO of the same model, by more than where q was held to the posterior."""
    x, gaps = case.data.valid, []
    for fitted in (case.fitted, case.plain):
        elbo = fitted.elbo(x, rng_key=KEY, num_particles=50).mean
        gaps.append(fitted.log_prob(x, rng_key=KEY, num_particles=50).mean - elbo)
    steps = case.fitted.history.steps
    assert (steps["bound"] > steps["log_likelihood"] - steps["kl"]).mean() > 0.99
    assert gaps[0] > gaps[1] > 0


def iaf(case):
    """q(z|x) is correlated; the plain one is a product."""
    most = []
    for fitted in (case.fitted, case.plain):
        z = np.asarray(codes(fitted, case.data.valid[:20], 2000))
        among = [np.corrcoef(z[:, i].T) - np.eye(z.shape[-1]) for i in range(20)]
        most.append(np.abs(among).max((1, 2)).mean())
    assert most[0] > 0.15
    assert most[1] < 0.06  # noise


def mixture(case):
    """Without labels, data of three kinds fall into clusters that are purer than chance."""
    kinds, noise = jax.random.split(jax.random.key(0))
    label = np.arange(600) % 3
    kind = jax.random.bernoulli(kinds, 0.5, (3, 16))[label]
    x = jnp.where(jax.random.bernoulli(noise, 0.08, kind.shape), ~kind, kind).astype(float)
    made = case.build((16,), latent_dim=2, hidden=(16,), components=6)
    share = refit(made, x, epochs=80).responsibilities(x, rng_key=KEY)
    np.testing.assert_allclose(share.sum(1), 1, rtol=1e-5)
    cluster = np.asarray(share.argmax(1))
    pure = sum(np.bincount(label[cluster == k]).max() for k in set(cluster.tolist()))
    assert pure / 600 > 0.55
    with pytest.raises(TypeError, match="GaussianMixture.*got StandardNormal"):
        case.plain.responsibilities(case.data.valid[:2], rng_key=KEY)


def hierarchical(case):
    """Two codes, the top one in use; the plain VAE has one."""
    kl = {name: values.sum() / 300 for name, values in read(case.fitted, case.data.valid).kl.items()}
    assert set(kl) == {"z1", "z2"}
    assert kl["z2"] > 0.05
    drawn = case.fitted.sample(4, rng_key=KEY)
    assert {name: z.shape for name, z in drawn.z.items()} == {"z1": (4, 4), "z2": (4, 4)}
    assert set(trace_structure(case.plain.vae).model) == {"z"}


def conv_hierarchical(case):
    """Two codes, the top one in use, and weights that are shared between places: no layer sees all pixels."""
    hierarchical(case)
    kernels = [w for w in jax.tree.leaves(case.fitted.values["encoder$params"]) if w.ndim == 4]
    assert [w.shape[:3] for w in kernels] == [(3, 3, 1), (3, 3, 8)]


def ladder(case):
    """q(z_l | x, z_>l) is nowhere wider than p(z_l | z_>l); the top is in use."""

    def look(guide, model, _):
        return {name: guide[name]["fn"].variance / model[name]["fn"].variance for name in ("z2", "z1")}

    found = read(case.fitted, case.data.valid, look=look)
    assert set(found.kl) == {"z3", "z2", "z1"}
    assert all((ratio < 1 + 1e-5).all() for ratio in found.extra.values())
    kl = {name: float(values.sum(-1).mean()) for name, values in found.kl.items()}
    assert kl["z3"] > 0.05


def discrete(case):
    """Codes are bits, and the loss has no noise: another key, the same number."""
    found = {fitted: [] for fitted in (case.fitted, case.plain)}
    for fitted, losses in found.items():
        objective, vae = ELBO(), fitted.vae.eval()
        for key in jax.random.split(KEY, 2):
            told = (key, fitted.values, vae.model, vae.guide, case.data.valid[:50])
            losses.append(float(objective.loss(*told)))
    assert set(np.unique(codes(case.fitted, case.data.valid))) == {0.0, 1.0}
    assert found[case.fitted][0] == pytest.approx(found[case.fitted][1], rel=1e-6)
    assert abs(found[case.plain][0] - found[case.plain][1]) > 1e-3


def relaxed(case):
    """What the decoder is given lies in (0, 1), mostly near an end; the plain code does not."""
    prior = case.fitted.vae.prior
    bits = prior.code(codes(case.fitted, case.data.valid))
    assert (bits > 0).all()
    assert (bits < 1).all()
    assert ((bits < 0.1) | (bits > 0.9)).mean() > 0.4  # 0.2 if they were uniform
    plain = codes(case.plain, case.data.valid)
    assert ((plain < 0) | (plain > 1)).mean() > 0.3


def spread(case):
    """Data on a line: the likelihood has a limit, minus the noise's entropy; the normal's has none."""
    x = np.linspace(-1, 1, 300)[:, None] * np.array([1.0, -0.5, 0.3, 2.0])
    one = case.build((4,), latent_dim=2, hidden=(8,), noise=0.3)
    normal = likelihoods.Gaussian(likelihoods.LearnedScale(start=0.3))
    elbo = [
        refit(vae, x, epochs=100).history.train["elbo"][-1]
        for vae in (one, dataclasses.replace(one, likelihood=normal))
    ]
    limit = -4 * 0.5 * np.log(2 * np.pi * np.e * 0.3**2)
    assert limit - 3 < elbo[0] < limit
    assert elbo[1] > limit + 1


def beta_tc(case):
    """The units depend less on each other."""
    found = []
    for fitted in (case.fitted, case.plain):
        vae, objective = fitted.vae.eval(), BetaTC()
        told = (fitted.values, vae.model, vae.guide, case.data.train[:600])
        draws = [objective.read(key, *told) for key in jax.random.split(KEY, 4)]
        found.append(np.mean([objective.parts(d, None)["total_correlation"].mean() for d in draws]))
    assert found[0] < 0.5 * found[1]


def factor_vae(case):
    """Two factors, seen by their sum and difference: the code's units depend less on each other.

    The total correlation is that of the whole data's q(z), a mixture known in closed form, and not
    what the discriminator says; what is reconstructed is nearly the same.
    """
    draw, flip = jax.random.split(KEY)
    u = jax.random.uniform(draw, (1000, 2), minval=-1, maxval=1)
    seen = jnp.stack([u[:, 0] + u[:, 1], u[:, 0] - u[:, 1]], axis=1)[..., None]
    at = jax.nn.sigmoid(12 * (seen - jnp.linspace(-1.4, 1.4, 40))).reshape(1000, 80)
    x = np.asarray(jax.random.bernoulli(flip, at), np.float32)
    sizes = {"latent_dim": 2, "hidden": (32,), "discriminator": (64, 64)}
    made = case.build_whole((80,), **sizes, rate=3e-3, discriminator_rate=3e-3)
    options = {"objective": made.objective, "optimizer": made.optimizer}
    found = [
        refit(made.vae, x, epochs=60, optimizer=optax.adam(3e-3)),
        refit(made.vae, x, epochs=60, **options),
    ]
    plain, ours = (total_correlation(fitted, x) for fitted in found)
    assert plain > 0.05
    assert ours < 0.75 * plain
    assert error(found[1], x) < 1.07 * error(found[0], x)


def total_correlation(fitted, x):
    """E_q(z)[log q(z) - sum_j log q(z_j)], q(z) the mixture of q(z|x) over all of ``x``."""
    q = fitted.encode(x)
    z = np.asarray(q.sample(KEY))
    mean, scale = np.asarray(q.mean), np.sqrt(q.variance)
    log_q = norm.logpdf(z[:, None], mean, scale)  # of datum i, component k, unit j
    joint, units = logsumexp(log_q.sum(-1), axis=1), logsumexp(log_q, axis=1).sum(-1)
    return float((joint - units).mean() + (z.shape[1] - 1) * np.log(len(x)))


def info_vae(case):
    """The code says more about x, and more than a bound on log p(x) would pay for."""
    assert last(case.fitted, "kl") > 1.5 * last(case.plain, "kl")
    assert last(case.fitted, "log_likelihood") > last(case.plain, "log_likelihood")
    assert last(case.fitted, "elbo") < last(case.plain, "elbo")


def committed_rate(case):
    """No datum has a KL below delta = 2.5 nats, whatever the encoder does; of the plain VAE's some do."""
    kl = [read(fitted, case.data.train).total_kl.min() for fitted in (case.fitted, case.plain)]
    assert kl[0] >= 2.5 - 1e-3
    assert kl[1] < 2


def semi_amortized(case):
    """The inner steps raise the ELBO above that of the encoder's first guess."""
    x = case.data.valid[:100]
    guess = dataclasses.replace(case.fitted.vae, posterior=guides.MeanField())
    first = dataclasses.replace(case.fitted, vae=guess)
    found = [f.elbo(x, rng_key=KEY, num_particles=20).value for f in (case.fitted, first)]
    assert found[0].mean() > found[1].mean() + 1
    assert (found[0] > found[1]).mean() > 0.9


def spherical(case):
    """Every code has length 1."""
    lengths = [
        jnp.linalg.norm(codes(fitted, case.data.valid), axis=-1) for fitted in (case.fitted, case.plain)
    ]
    np.testing.assert_allclose(lengths[0], 1, atol=1e-5)
    assert lengths[1].std() > 0.2


def student_t(case):
    """Data far out may have codes far out: their KL is lower than under a normal prior."""
    base = jax.random.normal(KEY, (400, 1))
    far = jnp.where(jnp.arange(400)[:, None] < 8, 12 * jnp.sign(base), base)
    x = far * jnp.array([1.0, -0.5, 0.3, 2.0]) + 0.1 * jax.random.normal(jax.random.key(1), (400, 4))
    heavy = case.build((4,), latent_dim=1, hidden=(16,), nu=2.0)
    found = [
        refit(vae, x, epochs=100)
        for vae in (heavy, dataclasses.replace(heavy, prior=case.plain.vae.prior))
    ]
    kl = [read(fitted, x).total_kl[:8].mean() for fitted in found]
    size = [float(jnp.abs(fitted.encode(x).mean[:8]).mean()) for fitted in found]
    assert kl[0] < 0.7 * kl[1]
    assert size[0] > 1.5 * size[1]


def negative_binomial(case):
    """Counts of known dispersion, r = 2: it is found, and log p(x) is above the Poisson's."""
    rate, count = jax.random.split(KEY)
    x = jax.random.poisson(count, 5 * jax.random.gamma(rate, 2.0, (600, 6)) / 2)
    made = case.build((6,), latent_dim=2, hidden=(16,))
    found = [
        refit(vae, x) for vae in (made, dataclasses.replace(made, likelihood=likelihoods.Poisson()))
    ]
    elbo = [fitted.history.train["elbo"][-1] for fitted in found]
    assert elbo[0] > elbo[1] + 1
    r = np.exp(found[0].params["likelihood$log_concentration"])
    np.testing.assert_allclose(r.mean(), 2, atol=0.4)


def transformer(case):
    """The weights are shared between patches: a larger image needs no more; an MLP does."""
    small = {"hidden": 8, "depth": 1, "heads": 2, "latent_dim": 3}
    ours = [num_weights(case.build(shape, **small)) for shape in ((8, 8), (16, 16))]
    plain = [
        num_weights(dataclasses.replace(case.plain.vae, event_shape=s)) for s in ((8, 8), (16, 16))
    ]
    assert ours[0] == ours[1]
    assert plain[1] > 2 * plain[0]


def transformer_vae(case):
    """The scale is each pixel's: where values vary ten times as much, it says so."""
    spread = np.where(np.arange(8) < 4, 0.2, 0.02)
    x = 0.5 + spread * np.random.default_rng(0).normal(size=(400, 8, 8))
    fitted = refit(case.fitted.vae, x, epochs=120)
    found = np.asarray(fitted.decode(np.zeros((1, 4), np.float32)).variance[0]) ** 0.5
    np.testing.assert_allclose(found.mean(0), spread, rtol=0.3)


def multi_rate(case):
    """One model: the KL falls as beta rises, and at beta = 1 it is nearly as good as the plain VAE."""
    x, found = case.data.valid, {}
    for beta in (0.1, 0.5, 2.0, 10.0):
        context = np.full((len(x), 1), np.log(beta), np.float32)
        q = case.fitted.encode(x, context)
        found[beta] = float((0.5 * (q.mean**2 + q.variance - jnp.log(q.variance) - 1)).sum(-1).mean())
    assert (np.diff(list(found.values())) < -0.3).all(), found
    assert found[10.0] < 0.3 < last(case.plain, "kl") + 1 < found[0.1]
    assert last(case.fitted, "elbo") > last(case.plain, "elbo") - 1.5  # its validation data: beta = 1


def autoencoder(case):
    """What is drawn from a code is nearer the datum than the plain VAE's, and nothing says how likely."""
    x = case.data.valid
    assert error(case.fitted, x) < 0.96 * error(case.plain, x)
    assert last(case.fitted, "log_likelihood") > last(case.plain, "log_likelihood") + 1
    assert last(case.fitted, "kl") > 10  # -log p(z): nothing holds the codes near a prior
    for bound in (case.fitted.log_prob, case.fitted.elbo):
        with pytest.raises(
            ValueError, match="log p.x. needs a density q.z.x., and the guide PointMass has none"
        ):
            bound(x, rng_key=KEY, num_particles=2)


def perceptual(case):
    """Nearer in the features than a normal p(x|z) of a higher rate, and farther in the pixels."""
    x, plain = case.data.valid, gaussian(case, 0.2)
    features = case.fitted.vae.likelihood.features

    def distance(fitted):
        pairs = zip(features(jnp.asarray(x)), features(fitted.reconstruct(x, rng_key=KEY)), strict=True)
        return float(sum(jnp.square(a - b).sum() for a, b in pairs)) / len(x)

    assert distance(case.fitted) < 0.85 * distance(plain)
    assert error(case.fitted, x) > error(plain, x)
    kl = [float(read(fitted, x).total_kl.mean()) for fitted in (case.fitted, plain)]
    assert kl[0] < kl[1]
    with pytest.raises(
        ValueError, match="needs a density p.x.z., and the likelihood PerceptualDistance has none"
    ):
        case.fitted.log_prob(x, rng_key=KEY, num_particles=2)


def vae_gan(case):
    """Reconstructions are about as sharp as data, and vary as much; those of a normal p(x|z) are blurred."""
    x, plain = jnp.asarray(case.data.valid), gaussian(case, 0.3)
    ours, blurred = (fitted.reconstruct(x, rng_key=KEY) for fitted in (case.fitted, plain))
    assert 0.65 < edges(ours) / edges(x) < 1.5
    assert edges(ours) > 1.2 * edges(blurred)
    assert ours.var(0).mean() > 1.15 * blurred.var(0).mean()
    apart = jnp.sqrt(jnp.square(ours - jnp.roll(x, 1, axis=0)).mean())
    assert error(case.fitted, x) < 0.8 * apart  # it is the datum's own that is drawn


def edges(x):
    """Mean square of the steps from each pixel to the next, across and down."""
    return float(jnp.square(jnp.diff(x, axis=1)).mean() + jnp.square(jnp.diff(x, axis=2)).mean())


def num_weights(vae):
    return sum(leaf.size for leaf in jax.tree.leaves(trace_structure(vae).params))


CLAIMS = {
    f.__name__: f
    for f in (
        vae, autoregressive_vae, gaussian_vae, sigma_vae, linear_vae, continuous_bernoulli, laplace, beta_vae, annealed,
        capacity, free_bits, conditional, semi_supervised, iwae, iaf, mixture, hierarchical, conv_hierarchical, ladder, discrete, relaxed, spread,
        beta_tc, info_vae, committed_rate, semi_amortized, spherical, student_t, negative_binomial,
        transformer, transformer_vae, multi_rate, autoencoder, factor_vae, vae_gan, perceptual,
    )
}  # fmt: skip
CLAIMS |= {"vampprior": fits_its_codes, "flow_prior": fits_its_codes}
