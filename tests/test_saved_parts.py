"""A saved fit is loaded into the parts that it came from, or the error names the part that differs."""

from dataclasses import dataclass, field, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry
from flax import nnx
from safetensors import safe_open
from safetensors.numpy import save_file
from test_threads import X, fitted_to, small

from probvae import fit, flows, guides, likelihoods, load, nets, priors, transfer_params
from probvae.fitted.vae_description import describe_vae, find_differences

NET = nets.MLP((4,), norm=nnx.LayerNorm)
SCALE = likelihoods.FixedScale(0.4)


def scaled(factor):
    return lambda x: jnp.tanh(factor * x)


def ours(**parts):
    usual = {"encoder": NET, "likelihood": likelihoods.Gaussian(SCALE)}
    return small(**{**usual, **parts})


CHANGES = {
    "likelihood.scale.value is 0.4 in the file and 0.04": {
        "likelihood": likelihoods.Gaussian(likelihoods.FixedScale(0.04))
    },
    "likelihood is Gaussian in the file and Laplace": {"likelihood": likelihoods.Laplace(SCALE)},
    "encoder.activation is relu in the file and tanh": {"encoder": replace(NET, activation=jnp.tanh)},
    "encoder.norm is LayerNorm in the file and RMSNorm": {"encoder": replace(NET, norm=nnx.RMSNorm)},
    "prior is StandardNormal in the file and StudentT": {"prior": priors.StudentT()},
    "posterior.log_bound is 10.0 in the file and 5.0": {"posterior": guides.MeanField(5.0)},
    "encoder.activation.factor is 2.0 in the file and 3.0": {
        "encoder": replace(NET, activation=scaled(3.0))
    },
    "encoder.activation.negative_slope is 0.1 in the file and 0.2": {
        "encoder": replace(NET, activation=partial(jax.nn.leaky_relu, negative_slope=0.2))
    },
    "encoder.activation is <lambda>.*tanh.* in the file and <lambda>.*sin": {
        "encoder": replace(NET, activation=lambda x: jnp.sin(x))
    },
}
FROM = {
    "<lambda>": lambda x: jnp.tanh(x),
    "factor": scaled(2.0),
    "slope": partial(jax.nn.leaky_relu, negative_slope=0.1),
}


@pytest.fixture(scope="module")
def fitted():
    return fitted_to(ours())


def vae_of(difference):
    """The VAE that is saved, of which the other differs in one field."""
    own = next((activation for word, activation in FROM.items() if word in difference), None)
    return ours() if own is None else ours(encoder=replace(NET, activation=own))


@pytest.mark.parametrize("difference", CHANGES)
def test_the_field_that_differs_is_named(fitted, tmp_path, difference):
    replace(fitted, vae=vae_of(difference)).save(tmp_path / "fit")
    with pytest.raises(ValueError, match=difference):
        load(tmp_path / "fit", replace(ours(), **CHANGES[difference]))
    assert load(tmp_path / "fit", vae_of(difference)).history.num_epochs == 1, "made anew, it loads"


def test_the_numbers_go_into_other_parts_on_purpose(fitted, tmp_path):
    """The advice of the error."""
    fitted.save(tmp_path / "fit")
    other = ours(likelihood=likelihoods.Gaussian(likelihoods.FixedScale(0.04)))
    moved = replace(load(tmp_path / "fit", fitted.vae), vae=other)
    np.testing.assert_array_equal(moved.reconstruct(X), fitted.reconstruct(X))


def test_the_error_of_load_gives_advice_that_works(fitted, tmp_path):
    fitted.save(tmp_path / "fit")
    other = ours(encoder=replace(NET, hidden=(7,)))
    with pytest.raises(ValueError, match=r"init_params=transfer_params\(fitted, vae\)"):
        load(tmp_path / "fit", other)
    init_params = transfer_params(load(tmp_path / "fit", fitted.vae), other)
    options = {"rng_key": jax.random.key(0), "epochs": 1, "batch_size": 6, "progress": False}
    assert fit(other, X, init_params=init_params, **options).history.num_epochs == 1


WIDER = replace(NET, hidden=(7,))


@pytest.mark.parametrize("changes", [{"encoder": WIDER}, {"decoder": WIDER}, {"latent_dim": 3}])
def test_a_vae_of_other_sizes_does_not_take_the_values(fitted, changes):
    part = next(iter(changes)) if "latent_dim" not in changes else "(en|de)coder"
    with pytest.raises(ValueError, match=f"do not fit the {part} of this VAE.*the VAE expects"):
        replace(fitted, vae=replace(fitted.vae, **changes))


def test_values_of_other_shapes_or_without_a_site_are_refused(fitted):
    values = dict(fitted.values)
    values["encoder$params"] = jax.tree.map(lambda leaf: leaf[:1], values["encoder$params"])
    with pytest.raises(ValueError, match="do not fit the encoder"):
        fitted.with_values(values)
    del values["encoder$params"]
    with pytest.raises(ValueError, match="has shape none"):
        replace(fitted, values=values)


def test_evaluation_mode_and_frozen_parts_leave_the_values_in_place(fitted):
    replace(fitted, vae=replace(fitted.vae, frozen=("decoder",)).eval())


def test_how_a_vae_is_trained_is_not_compared(fitted, tmp_path):
    fitted.save(tmp_path / "fit")
    load(tmp_path / "fit", replace(fitted.vae, frozen=("decoder",), training=False))


def test_a_file_without_a_description_loads_and_names_other_classes(fitted, tmp_path):
    fitted.save(tmp_path / "fit")
    with safe_open(tmp_path / "fit", framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        told = {name: file.metadata()[name] for name in ("format", "vae", "incidents", "versions")}
    save_file(arrays, tmp_path / "old", told)
    assert load(tmp_path / "old", fitted.vae).history.num_epochs == 1
    with pytest.raises(ValueError, match="prior is StandardNormal in the file and StudentT"):
        load(tmp_path / "old", ours(prior=priors.StudentT()))


@pytest.mark.parametrize("role", ["PRIORS", "GUIDES", "LIKELIHOODS", "NETS"])
def test_equal_parts_have_equal_descriptions_without_addresses(role):
    """Each public part, made twice."""
    for name, make in getattr(registry, role).items():
        one, two = (describe_vae(Holder(make())) for _ in range(2))
        assert one == two, name
        assert not [text for text in one.values() if " at 0x" in text], name


@dataclass(frozen=True)
class Holder:
    part: object


@dataclass(frozen=True)
class Later:
    """A part as a later version has it: with a field that files do not know."""

    scale: float = 1.0
    added: tuple = ()
    layer: object = field(default_factory=flows.Coupling)


@pytest.mark.parametrize(
    ("part", "different"), [(Later(), 0), (Later(added=(1,)), 1), (Later(layer=flows.Coupling()), 0)]
)
def test_a_field_that_a_later_version_added_may_have_its_default(part, different):
    saved = {"part": "Later", "part.scale": "1.0"}
    assert len(find_differences(saved, Holder(part))) == different
