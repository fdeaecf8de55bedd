"""It stays plain NumPyro: nothing of ours between the programs and SVI, Predictive, NUTS."""

import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import oracle
import pytest
from numpyro import handlers
from numpyro.infer import MCMC, NUTS

from probvae import Fitted, History

SNIPPET = """
import jax, numpy as np, optax
from pathlib import Path
from numpyro import handlers
from numpyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
import probvae
from probvae import VAE, likelihoods, nets

assert Path(probvae.__file__).is_relative_to(Path(SITE)), probvae.__file__
key = jax.random.key(0)
x = jax.random.normal(key, (50, 4)) @ jax.random.normal(jax.random.key(1), (4, 4))
vae = VAE(event_shape=(4,), latent_dim=2, encoder=nets.Linear(), decoder=nets.Linear(),
          likelihood=likelihoods.Gaussian())

result = SVI(vae.model, vae.guide, optax.adam(1e-2), Trace_ELBO()).run(key, 1000, x, progress_bar=False)
drawn = Predictive(vae.model, params=result.params, num_samples=16)(key)
mcmc = MCMC(NUTS(handlers.substitute(vae.model, data=result.params)), num_warmup=100, num_samples=100,
            progress_bar=False)
mcmc.run(key, x[:1])

assert float(result.losses[-1]) < float(result.losses[0])
assert drawn["x"].shape == (16, 1, 4)
assert mcmc.get_samples()["z"].shape == (100, 1, 2)
print("plain")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    root = Path(__file__).parent.parent
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w"]
    subprocess.run([*build, str(folder), str(root)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_library_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"probvae"}
    assert "probvae/py.typed" in names


def test_the_designs_snippets_run_on_the_wheel_in_an_empty_folder(wheel, tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = f"import sys; sys.path.insert(0, {str(site)!r}); SITE = {str(site)!r}\n{SNIPPET}"
    run = subprocess.run([sys.executable, "-c", code], cwd=empty, capture_output=True, text=True)
    assert run.stdout.strip() == "plain", run.stderr
    assert not list(empty.iterdir())


def sampled(vae, values, x):
    model = handlers.substitute(vae.model, data=values)
    mcmc = MCMC(NUTS(model), num_warmup=500, num_samples=4000, progress_bar=False)
    mcmc.run(jax.random.key(0), x)
    return np.asarray(mcmc.get_samples()["z"])[:, 0]


@pytest.mark.slow
def test_nuts_agrees_with_the_exact_guide_and_not_with_untrained_weights():
    x, vae = oracle.dataset().astype(np.float32)[:1], oracle.vae()
    values = oracle.params(*oracle.optimum(oracle.dataset()))
    values = jax.tree.map(lambda a: jax.numpy.asarray(a, float), values)
    q = Fitted(vae, values, History({}, {}, {})).encode(x)
    mean, deviation = np.asarray(q.mean[0]), np.asarray(q.variance[0]) ** 0.5
    z = sampled(vae, values, x)
    np.testing.assert_allclose(z.mean(0), mean, atol=0.15 * deviation.max())
    assert (np.abs(z.mean(0) - mean) < 0.15 * deviation).all()
    np.testing.assert_allclose(z.std(0), deviation, rtol=0.1)
    model = handlers.trace(handlers.seed(vae.model, 5)).get_trace(x)
    untrained = {name: site["value"] for name, site in model.items() if site["type"] == "param"}
    other = sampled(vae, untrained, x)
    assert (np.abs(other.mean(0) - mean) > 3 * deviation).any()
