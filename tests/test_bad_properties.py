"""Whatever comes in: it is taken, or refused by an error of ours, in one paragraph."""

import contextlib
import io
import json
import traceback

import jaxtyping
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from test_bad_kinds import is_own

from probvae import VAE, Batch, inputs, likelihoods, load, nets
from probvae.checks import check_key, check_positive_integer
from probvae.cli.parser import parse_arguments
from probvae.data import load as load_data
from probvae.data_checks import check_data
from probvae.fitted.fitted import check_fitted
from probvae.runs.run import read_config
from probvae.training.checkpointing.file_format import CorruptCheckpointError, read

FEW = settings(
    derandomize=True,
    deadline=None,
    max_examples=40,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PLAIN = VAE(
    event_shape=(3,),
    latent_dim=2,
    likelihood=likelihoods.Gaussian(),
    encoder=nets.MLP((4,)),
    decoder=nets.MLP((4,)),
)
TOLD = VAE(event_shape=(3,), latent_dim=2, context_shape=(2,), encoder=nets.MLP((4,)))
DTYPES = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(),
    arrays.floating_dtypes(),
    arrays.complex_number_dtypes(),
    arrays.unicode_string_dtypes(max_len=2),
    arrays.datetime64_dtypes(),
)
SHAPES = st.one_of(
    st.just((4, 3)),
    st.just((4, 2)),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
ARRAYS = arrays.arrays(DTYPES, SHAPES)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
LISTS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(autouse=True)
def _as_a_user():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def taken_or_refused(call):
    try:
        call()
    except Exception as error:  # noqa: BLE001  whatever it is, it must be ours
        assert is_own(error), "".join(traceback.format_exception(error))  # noqa: PT017


@FEW
@given(x=ARRAYS | LISTS, context=st.none() | ARRAYS | LISTS, mask=st.none() | ARRAYS | LISTS)
def test_data(x, context, mask):
    with np.errstate(all="ignore"):
        for vae in (PLAIN, TOLD):
            batch = Batch(x, context, mask)
            taken_or_refused(lambda v=vae, b=batch: check_data(v, b))
            taken_or_refused(lambda v=vae: inputs.check_inputs(v, x, context, mask))


@FEW
@given(value=LEAVES | LISTS | ARRAYS)
def test_numbers_keys_and_names(value):
    for check in (check_key, check_fitted):
        taken_or_refused(lambda c=check: c(value))
    taken_or_refused(lambda: check_positive_integer("n", value))
    taken_or_refused(lambda: VAE(event_shape=value, latent_dim=value))
    taken_or_refused(lambda: likelihoods.FixedScale(value))
    taken_or_refused(lambda: nets.MLP(value))
    taken_or_refused(lambda: load_data("nowhere.npy", binarize=value))


WORDS = st.sampled_from(
    ["train", "evaluate", "sample", "reconstruct", "interpolate", "compare", "diagnose", "data", "run",
     "--epochs", "--batch-size", "--learning-rate", "--seed", "--num", "--start", "--budget", "--resume",
     "--out", "--data", "--debug", "--binarize", "--particles", "--", "-", "-x", "--=", "1", "-1", "nan"]
)  # fmt: skip


@FEW
@given(argv=st.lists(WORDS | st.text(max_size=4), max_size=6))
def test_words_at_the_command_line(argv):
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
        try:
            parse_arguments(argv)
        except SystemExit as stop:
            assert stop.code in (0, 2)  # noqa: PT017
        except (OSError, ValueError) as error:
            assert str(error).strip()  # noqa: PT017
    assert "Traceback" not in told.getvalue()


def whole_files(folder):
    """A whole file of each kind, to be damaged."""
    from PIL import Image
    from safetensors.numpy import save

    folder.mkdir()
    x = np.arange(40, dtype=np.uint8).reshape(10, 4)
    np.save(folder / "x.npy", x)
    np.savez_compressed(folder / "x.npz", train=x, test=x)
    Image.fromarray(x).save(folder / "x.png")
    return {
        "x.npy": (folder / "x.npy").read_bytes(),
        "x.npz": (folder / "x.npz").read_bytes(),
        "x.idx": b"\0\0\x08\x02\0\0\0\x0a\0\0\0\x04" + x.tobytes(),
        "x.idx.gz": __import__("gzip").compress(b"\0\0\x08\x02\0\0\0\x0a\0\0\0\x04" + x.tobytes()),
        "x.csv": b"a,b\n1,2\n3,4\n5,6\n",
        "x.png": (folder / "x.png").read_bytes(),
        "x.safetensors": save({"a": x}, {"format": "probvae-1"}),
    }


CHANGES = st.tuples(
    st.sampled_from(["cut", "flip", "noise"]), st.floats(0, 1), st.binary(min_size=1, max_size=60)
)


def changed(content, change):
    how, where, noise = change
    at = int(where * (len(content) - 1))
    if how == "noise":
        return noise
    return content[:at] if how == "cut" else content[:at] + noise[:2] + content[at + len(noise[:2]) :]


@FEW
@given(change=CHANGES)
def test_files(tmp_path_factory, change):
    folder = tmp_path_factory.mktemp("files")
    for name, content in whole_files(folder / "whole").items():
        path = folder / name
        if name == "x.png":
            (folder / "images").mkdir()
            path = folder / "images" / name
        path.write_bytes(changed(content, change))
        if name == "x.safetensors":
            taken_or_refused(lambda p=path: load(p, PLAIN))
            with pytest.raises(CorruptCheckpointError):
                read(path)
        else:
            what = path.parent if name == "x.png" else path
            taken_or_refused(lambda p=what: load_data(p))


CONFIG = {
    "data": {"event_shape": [3], "source": "x", "sha256": "", "data_dir": None, "binarize": None, "range": [0, 1],
             "name": "x", "description": "", "sizes": {"test": 1}},
    "model": {"arguments": {}, "statement": ""},
    "training": {"seed": 0},
    "evaluation": {},
}  # fmt: skip


@FEW
@given(
    part=st.sampled_from(["", *CONFIG]), field=st.integers(0, 5), value=JSON, raw=st.binary(max_size=30)
)
def test_a_runs_record(tmp_path_factory, part, field, value, raw):
    folder = tmp_path_factory.mktemp("record")
    config = json.loads(json.dumps(CONFIG))
    if part:
        name = [*config[part], ""][min(field, len(config[part]))]
        config[part] = {**config[part], name: value} if name else value
    for content in (json.dumps(config if part else value).encode(), raw):
        (folder / "config.json").write_bytes(content)
        taken_or_refused(lambda: read_config(folder, needs=("config.json",)))


def test_the_whole_ones_are_taken(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert read_config(tmp_path, needs=("config.json",)) == CONFIG
    for name, content in whole_files(tmp_path / "whole").items():
        if not name.endswith(("png", "safetensors")):
            (tmp_path / name).write_bytes(content)
            assert load_data(tmp_path / name).event_shape in ((4,), (2,))
