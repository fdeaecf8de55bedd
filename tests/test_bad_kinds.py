"""What is of the wrong kind, through the Python door: one paragraph of ours, never JAX's or Python's.

As a user has it: without the type checker that the other tests run under.
"""

import ast
import dataclasses
import inspect
import traceback
from functools import lru_cache
from pathlib import Path

import jax
import jaxtyping
import numpy as np
import pytest

import probvae
from probvae import (
    VAE,
    Batch,
    Checkpoints,
    DataParallel,
    EarlyStopping,
    Fitted,
    HalveRate,
    MovingAverage,
    SkipBatch,
    criticism,
    data,
    fit,
    flows,
    guides,
    latent_paths,
    likelihoods,
    nets,
    objectives,
    point_weights,
    priors,
    refit,
    sweep,
    transfer_params,
)
from probvae.data_checks import check_data
from probvae.fitted.history import History
from probvae.tracing import trace_structure

OWN = str(Path(probvae.__file__).parent)
KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
RAGGED = [[1.0, 2.0], [1.0]]
TEXT = np.full(X.shape, "a")
NAN = np.where(np.arange(80).reshape(20, 4) == 9, np.nan, X)
ODD = {  # wrong for every field of every part
    "an object": object(),
    "an array": np.ones(3),
    "a dictionary": {"a": 1},
    "NaN": float("nan"),
    "ragged": RAGGED,
    "a class": nets.MLP,
}
ANY = {  # fields that take what cannot be told wrong before it is used
    ("Equinox", "make"): {"an object", "NaN", "a class"},
    ("Linen", "module"): {"an object", "NaN", "a class"},
    ("PretrainedNet", "module"): set(ODD),
    ("BFloat16", "net"): {"a class"},
    ("BayesianNet", "net"): {"a class"},
    ("InputTransform", "function"): {"a class"},
}
REQUIRED = {
    "net": nets.MLP((4,)), "layer": flows.Coupling(nets.MLP((4,))), "base": likelihoods.Gaussian(),
    "noise": data.GaussianNoise(0.2), "scale": 0.2, "folder": "runs", "components": 3, "classes": 2,
    "df": 4.0, "levels": 3,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _as_a_user():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@lru_cache
def raises_in(path):
    nodes = ast.walk(ast.parse(Path(path).read_text()))
    return [(node.lineno, node.end_lineno) for node in nodes if isinstance(node, ast.Raise)]


def is_own(error):
    """Whether an error was raised by a line of the package that raises, and says a paragraph."""
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    path = last.tb_frame.f_code.co_filename
    if not path.startswith(OWN):
        return False
    here = any(first <= last.tb_lineno <= end for first, end in raises_in(path))
    return here and isinstance(error, ValueError | TypeError | OSError) and len(str(error)) > 20


def refused(call):
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011  which it is, is the question
        call()
    assert is_own(caught.value), "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def parts():
    families = (priors, guides, likelihoods, nets, objectives, flows, data)
    found = [getattr(family, name) for family in families for name in family.__all__]
    found += [Checkpoints, EarlyStopping, HalveRate, SkipBatch, MovingAverage]
    return [
        part
        for part in found
        if inspect.isclass(part)
        and dataclasses.is_dataclass(part)
        and not part.__name__.startswith("Abstract")
        and part is not data.Data
    ]


@pytest.mark.parametrize("part", parts(), ids=lambda part: f"{part.__module__}.{part.__name__}")
def test_a_part_refuses_what_no_field_of_it_takes(part):
    fields = [field for field in dataclasses.fields(part) if field.init]
    missing = (dataclasses.MISSING, dataclasses.MISSING)
    needed = [f.name for f in fields if (f.default, f.default_factory) == missing]
    usual = {name: REQUIRED.get(name, 2) for name in needed}
    for field in fields:
        for kind, value in ODD.items():
            if kind not in ANY.get((part.__name__, field.name), ()):
                refused(lambda f=field, v=value: part(**{**usual, f.name: v}))


def tiny(**changes):
    usual = {"event_shape": (4,), "latent_dim": 2, "likelihood": likelihoods.Gaussian()}
    return VAE(**{**usual, "encoder": nets.MLP((4,)), "decoder": nets.MLP((4,)), **changes})


V, TOLD = tiny(), tiny(context_shape=(3,))


def fitting(x=X, vae=V, **options):
    usual = {"rng_key": KEY, "epochs": 1, "batch_size": 10, "progress": False}
    return lambda: fit(vae, x, **{**usual, **options})


@pytest.fixture(scope="module")
def fitted():
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), trace_structure(V).params)
    return Fitted(V, params, History({}, {}, {}))


JOINS = {
    "a net's class": (lambda: tiny(encoder=nets.MLP), r"recipe.*MLP.*Call it: MLP\(...\)"),
    "a function that is no net": (lambda: tiny(decoder=lambda x: x), "recipe.*which is not one"),
    "a switch that is none": (lambda: tiny(encode_mask="yes"), "encode_mask expects True or False"),
    "training": (lambda: tiny(training=1), "training expects True or False; got 1"),
    "a shape of booleans": (lambda: tiny(event_shape=(True,)), "tuple of positive integers"),
    "a kernel of 0": (
        lambda: nets.Conv((4,), kernel=0),
        r"Conv\(kernel=...\).*positive integer; got 0",
    ),
    "no finite bound": (
        lambda: guides.MeanField(log_bound=np.inf),
        "log_bound.*finite number > 0; got inf",
    ),
    "no features": (lambda: objectives.Discriminator(num_features=0), "num_features.*got 0"),
    "no bins": (lambda: flows.SplineCoupling(bins=0), "bins.*positive integer; got 0"),
    "a bound of 0": (lambda: flows.SplineCoupling(bound=0.0), "bound.*number > 0; got 0.0"),
    "one class": (lambda: guides.ClassAndStyle(1), "classes.*integer >= 2; got 1"),
    "blocks without names": (lambda: likelihoods.Joint([1]), r"blocks by name.*got \[1\]"),
    "half a level": (lambda: likelihoods.Categorical(2.5), "levels"),
}
FITS = {
    "ragged": (fitting(RAGGED), "train expects an array.*np.stack"),
    "ragged context": (fitting(Batch(X, RAGGED), TOLD), "train context expects an array.*np.stack"),
    "text as context": (fitting(Batch(X, TEXT[:, :3]), TOLD), "context expects numbers; got dtype <U1"),
    "complex context": (fitting(Batch(X, X[:, :3] + 1j), TOLD), "got dtype complex64"),
    "a number as context": (fitting(Batch(X, 3), TOLD), r"context has shape \(\)"),
    "text as mask": (fitting(Batch(X, mask=TEXT)), "mask expects numbers; got dtype <U1"),
    "NaN as mask": (fitting(Batch(X, mask=NAN)), "mask expects True where x is observed"),
    "weights as mask": (fitting(Batch(X, mask=np.abs(X))), "mask > 0"),
    "a batch of a batch": (fitting(Batch(Batch(X))), "train expects an array"),
    "no observation": (fitting(observation="flip"), "observation expects a function"),
    "an observation's class": (fitting(observation=data.Flip), "observation expects a function"),
    "of one argument": (fitting(observation=lambda x: x), "raises on two data: .*takes 1 positional"),
    "that changes shapes": (fitting(observation=lambda key, x: x[:, :2]), r"returns \(2, 2\) for \(2, 4\)"),
    "starts that are none": (fitting(init_params=3), "init_params expects values by site"),
    "a folder's name": (fitting(checkpoints="runs"), r"checkpoints expects Checkpoints\(.*got 'runs'"),
    "no folder": (lambda: Checkpoints(None), r"Checkpoints\(folder=...\) expects a path"),
    "no objective": (fitting(objective="elbo"), r"objective expects a numpyro.infer ELBO .*got 'elbo'"),
    "a callback alone": (fitting(callbacks=print), "callbacks expects a tuple of functions of an epoch"),
    "a number as average": (fitting(average=0.9), r"average expects MovingAverage\(0.999\); got 0.9"),
    "seeds as keys": (lambda: sweep(V, X, rng_keys=[0], validation=X), "rng_key expects one typed key"),
    "an odd device": (lambda: DataParallel([0]), "devices expects JAX's devices"),
    "a kind of device": (lambda: DataParallel("gpu"), "devices expects JAX's devices"),
    "a number of devices": (fitting(devices=2), r"devices expects DataParallel\(\)"),
    "progress": (fitting(progress="no"), "progress expects True or False; got 'no'"),
    "too many": (fitting(batch_size=10**30), "batch_size expects a positive integer below 2"),
    "no VAE": (lambda: fit(VAE, X, rng_key=KEY), "fit expects a probvae.VAE"),
    "sweep: no numbers": (
        lambda: sweep(V, X, validation=X, rng_keys=[KEY], over={"beta": "ab"}), "beta.* expects one or more finite numbers"),
    "sweep: no names": (lambda: sweep(V, X, validation=X, rng_keys=[KEY], over=[1]), "over expects a Mapping"),
    "sweep: no keys": (lambda: sweep(V, X, validation=X, rng_keys=3), "rng_keys expects typed keys"),
    "load: no VAE": (lambda: probvae.load("x", 3), "load expects a probvae.VAE; got 3"),
    "load: no path": (lambda: probvae.load(None, V), "path expects a path.*got None"),
    "data: no folder": (lambda: data.load("mnist", data_dir=3), "data_dir expects a path"),
    "prepare: no path": (lambda: data.prepare_images(None, "o.npy"), "source expects a path"),
}  # fmt: skip
ASKED = {
    "encode text": (lambda f: f.encode(TEXT), "x expects numbers; got dtype <U1"),
    "encode ragged": (lambda f: f.encode(RAGGED), "np.stack"),
    "encode nothing": (lambda f: f.encode(X[:0]), "x expects at least one row"),
    "encode NaN": (lambda f: f.encode(NAN), "x holds 1 values that are NaN"),
    "encode NaN as mask": (lambda f: f.encode(X, mask=NAN), "mask expects True"),
    "decode None": (lambda f: f.decode(None), "z expects an array of numbers; got None"),
    "decode NaN": (lambda f: f.decode(NAN[:, :2]), "z expects finite numbers; 1 values are NaN"),
    "decode a key": (lambda f: f.decode(jax.random.split(KEY, 3)), "z expects numbers; got dtype key"),
    "reconstruct by 0": (lambda f: f.reconstruct(X, rng_key=0), "rng_key expects one typed key"),
    "reconstruct infinity": (lambda f: f.reconstruct(X / 0, rng_key=KEY), "NaN or infinite"),
    "interpolate batches": (lambda f: f.interpolate(X, X), r"start expects shape .*got \(20, 4\).*x\[0\]"),
    "no path": (lambda f: f.interpolate(X[0], X[1], path="straight"), "path expects a function.*it is not a function"),
    "a path of one": (lambda f: f.interpolate(X[0], X[1], path=lambda t: t), "too many positional"),
    "noise draws": (lambda f: f.elbo(X, rng_key=KEY, num_noise_draws="a"), "num_noise_draws expects an integer >= 0"),
    "a mask of fewer": (lambda f: f.impute(X, np.ones((3, 4)), rng_key=KEY), "mask expects a row for each of the 20 rows of x; got 3"),
    "values of other sites": (lambda f: f.with_values({}), "values expects a value for each site"),
    "starts as text": (
        lambda f: fitting(init_params=jax.tree.map(lambda a: np.full(a.shape, "a"), f.params))(), "got dtype <U1"),
    "save nowhere": (lambda f: f.save(None), "path expects a path.*got None"),
    "point_weights": (lambda f: point_weights(3), "fitted expects the result of fit"),
    "transfer_params": (lambda f: transfer_params(f, 3), "transfer_params expects a probvae.VAE"),
    "refit": (lambda f: refit(V, priors.LearnedNormal(), X, rng_key=KEY), "fitted expects the result of fit"),
    "compare": (lambda f: criticism.compare({"a": 3, "b": f}, X, rng_key=KEY), "fitted expects the result of fit"),
    "a budget": (lambda f: criticism.diagnose(f, X, rng_key=KEY, budget=3), "budget expects a Budget; got 3"),
    "a schedule": (
        lambda f: criticism.annealed_log_prob(f, X, rng_key=KEY, schedule=3), "schedule expects a function"),
    "a rate": (lambda f: criticism.inference_gap(f, X, rng_key=KEY, rate="a"), "rate expects a finite number > 0; got 'a'"),
    "a ratio": (lambda f: criticism.prior_holes(f, X, rng_key=KEY, ratio="a"), r"ratio expects a number in \(0, 1\); got 'a'"),
    "levels": (lambda f: criticism.sbc(f, rng_key=KEY, levels=0.5), "levels expects a tuple"),
    "a context of one": (lambda f: criticism.sbc(f, rng_key=KEY, context=3), "context expects one row"),
    "chains": (lambda f: criticism.reference_chains(f, X, rng_key=KEY, num_chains=[3]), "num_chains expects"),
    "half a draw": (lambda f: criticism.active_units(f, X, rng_key=KEY, num_samples=2.5), "num_samples expects"),
    "features": (lambda f: criticism.sample_quality(f, X, rng_key=KEY, features=3), "features expects a function"),
    "text as features": (lambda f: criticism.frechet_distance(TEXT, X), "a expects numbers; got dtype <U1"),
    "complex codes": (lambda f: criticism.mutual_information_gap(X + 1j, X), "codes expects numbers"),
    "bits of no shape": (lambda f: criticism.bits_per_dimension(X[:, 0], 4, levels=256), "event_shape expects"),
}  # fmt: skip
FITTED_FIRST = [
    name
    for name in criticism.__all__
    if inspect.isfunction(getattr(criticism, name))
    and [*inspect.signature(getattr(criticism, name)).parameters][0] == "fitted"
    and name != "compare"
]


@pytest.mark.parametrize(("call", "message"), {**JOINS, **FITS}.values(), ids={**JOINS, **FITS})
def test_the_wrong_kind_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"):
        call()
    refused(call)


@pytest.mark.parametrize(("call", "message"), ASKED.values(), ids=ASKED)
def test_what_is_asked_of_a_fit_is_refused(fitted, call, message):
    with pytest.raises((ValueError, TypeError), match=f"(?s){message}"), np.errstate(all="ignore"):
        call(fitted)
    with np.errstate(all="ignore"):
        refused(lambda: call(fitted))


@pytest.mark.parametrize("name", FITTED_FIRST)
def test_criticism_wants_a_fit(name):
    for odd in (None, V, 3, Fitted):
        function = getattr(criticism, name)
        wanted = inspect.signature(function).parameters
        told = {k: v for k, v in {"x": X, "rng_key": KEY}.items() if k in wanted}
        assert "fitted expects" in refused(lambda o=odd, t=told, f=function: f(o, **t))


def test_what_is_right_is_taken(fitted):
    assert fitted.encode(X[:2].tolist()).mean.shape == (2, 2)
    assert check_data(V, X.astype(">f4")).x.shape == X.shape
    assert likelihoods.FixedScale(np.float32(0.5)).value == 0.5
    assert tiny(event_shape=[np.int64(4)]).event_shape == (4,)


@pytest.mark.slow
def test_what_is_right_is_decoded_and_differentiated(fitted):
    assert fitted.decode(np.zeros((2, 2), np.float64)).mean.shape == (2, 4)
    assert fitted.interpolate(X[0], X[1], num_points=3, path=latent_paths.spherical).shape == (3, 4)
    assert jax.grad(lambda z: fitted.decode(z).mean.sum())(np.zeros((2, 2), np.float32)).shape == (2, 2)
