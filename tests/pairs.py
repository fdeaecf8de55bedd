"""What any two parts must do together, as one compiled program: train, generate, stay below log p(x)."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import registry
from jax.scipy.special import logsumexp
from numpyro.infer import SVI, Predictive

from probvae import VAE, nets
from probvae.objectives import ELBO, AbstractObjective, AdversarialELBO, terms
from probvae.objectives.compatibility import check_objective, check_terms
from probvae.tracing import trace_structure

SHAPE = (3, 2)
STEPS, PROBES = 150, 20
FALLS = 15  # of the probes: chance alone has as many in one case of fifty; no wild draw decides
PARTICLES = 500  # 100 for the ELBO, the others for the bound above it


def tiny(**parts) -> VAE:
    """The smallest VAE that has something to learn."""
    net = nets.MLP((8,))
    return VAE(event_shape=SHAPE, latent_dim=2, **{"encoder": net, "decoder": net, **parts})


def joined(prior, guide, **parts):
    """A tiny VAE of named prior and guide; with a context where the prior asks for one."""
    context = (
        {"context_shape": (2,)} if prior.startswith(("ConditionalNormal", "ClassAndStyle")) else {}
    )
    return tiny(prior=registry.PRIORS[prior](), posterior=guide, **{**context, **parts})


@lru_cache(maxsize=64)
def rows(likelihood, n=12):
    """Data in the likelihood's support, with structure to learn: the first kind that lies in it."""
    x = jax.random.uniform(jax.random.key(9), (n, 1, 1)) + 0.1 * jax.random.normal(
        jax.random.key(8), (n, *SHAPE)
    )
    grey = np.clip(x, 0.02, 0.98)
    kinds = (x, grey, np.round(255 * grey) / 255, np.floor(4 * grey), x > 0.5, 1 + np.floor(4 * grey))
    kinds = [np.asarray(kind, np.float32) for kind in kinds]
    return next(kind for kind in kinds if np.all(likelihood.support(kind)))


def check_pair(vae, objective=None):
    """SVI lowers the loss at most draws; the ELBO is below log p(x); generation has all sites."""
    sites = [name for name, site in trace_structure(vae).guide.items() if not site.shared]
    objective = objective or default_objective(vae)
    refuse(vae, objective)
    x = rows(vae.likelihood)
    context = context_of(vae, x)
    found = jax.device_get(jax.jit(_pair, static_argnums=(0, 1))(vae, objective, x, context))
    losses, elbo, log_w, drawn = found
    assert np.isfinite(losses).all()
    gain = losses[:PROBES] - losses[-PROBES:]  # at the same draws
    if not isinstance(
        objective, AdversarialELBO
    ):  # a game: the sum of its players' losses need not fall
        assert (gain > 0).sum() >= FALLS, "the loss does not fall"
    if vae.likelihood.is_density and vae.posterior.is_density:
        _check_below(elbo, log_w)
    assert set(drawn) == {*sites, "x"}
    assert drawn["x"].shape == (4, 1, *SHAPE)
    assert all(drawn[site].shape == (4, 1, 2) for site in sites)
    assert bool(np.all(vae.likelihood.support(drawn["x"])))


def context_of(vae, x):
    """What is known beside x: a part of it, or the label of every third datum."""
    if not vae.context_shape:
        return None
    if vae.prior.observes_context:
        label = jax.nn.one_hot(jnp.arange(len(x)) // 3 % 2, *vae.context_shape)
        return np.asarray(label * (jnp.arange(len(x)) % 3 == 0)[:, None])
    return x[:, 0, : vae.context_shape[0]]


def guide_of(prior):
    """The first guide that fits a prior, by the prior's name."""
    return registry.GUIDES[registry.first_guide(prior)]()


def default_objective(vae):
    """The ELBO: with a discrete code summed over, else with draws enough to see the loss fall."""
    fixed = all(site.reparametrised for site in trace_structure(vae).guide.values())
    return ELBO(num_particles=4) if fixed else ELBO()


def refuse(vae, objective):
    """Raise where `fit` would: an objective that is silently wrong for a VAE."""
    found, name = trace_structure(vae), type(vae.posterior).__name__
    check_objective(objective, found.model, found.guide, found.state, name)
    check_terms(objective, vae, 12)


def _pair(vae, objective, x, context):
    told = () if context is None else (context,)
    ours = isinstance(objective, AbstractObjective)
    programs = objective.programs(vae.model, vae.guide) if ours else (vae.model, vae.guide)
    svi = SVI(*programs, optax.adam(3e-2), objective)
    state = svi.init(jax.random.key(0), x, *told)

    def step(state, key):
        """A step; or, where a key is given, only the loss that it would have at that key's draws."""
        probe = key[0]
        before = state._replace(rng_key=jnp.where(probe, key[1], state.rng_key))
        after, loss = svi.update(before, x, *told)
        return jax.tree.map(lambda old, new: jnp.where(probe, old, new), state, after), loss

    keys = jax.random.split(jax.random.key(4), PROBES)
    keys = jnp.concatenate([keys, jax.random.split(keys[0], STEPS), keys])
    probes = jnp.abs(jnp.arange(len(keys)) - (len(keys) - 1) / 2) > STEPS / 2
    state, losses = jax.lax.scan(step, state, (probes, keys))
    held = {k: v for k, v in (state.mutable_state or {}).items() if not k.startswith("objective")}
    params = {k: v for k, v in svi.get_params(state).items() if not k.startswith("objective")}
    values, fixed = {**params, **held}, vae.eval()

    def read(key):
        found = terms(key, values, fixed.model, fixed.guide, x, *told)
        return found.log_likelihood - found.total_kl, found.log_weight

    elbo, log_w = jax.vmap(read)(jax.random.split(jax.random.key(1), PARTICLES))
    given = {} if context is None or vae.prior.observes_context else {"context": context[:1]}
    drawn = Predictive(fixed.model, params=values, num_samples=4)(jax.random.key(3), **given)
    return losses, elbo[:100], log_w[100:], {k: v for k, v in drawn.items() if not k.endswith("$state")}


def _check_below(elbo, log_w):
    """The mean ELBO is at most the bound of other, many draws (exact where they cover all codes)."""
    bound = np.asarray(logsumexp(jnp.asarray(log_w, float), axis=0) - np.log(len(log_w)))
    w = np.exp(log_w - log_w.max(0))
    noise = np.sqrt(elbo.var(0) / len(elbo) + w.var(0) / w.mean(0) ** 2 / len(w))
    gap = (elbo.mean(0) - bound).mean()
    assert gap < 4 * np.sqrt((noise**2).sum()) / len(noise) + 5e-3, f"the ELBO is {gap} above log p(x)"
