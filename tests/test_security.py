"""What a stranger's file could do: no code of the package runs or trusts what was not written as code."""

import ast
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from probvae import VAE, load, nets
from probvae.data import load as load_data
from probvae.fitted import serialization
from probvae.tracing import trace_structure
from probvae.training.checkpointing import file_format

SOURCE = sorted((Path(__file__).parent.parent / "probvae").rglob("*.py"))
PICKLES = {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "__import__"}
LOADERS = {"torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen"}
LOADERS |= {"np.fromregex", "pd.read_pickle", "orbax.checkpoint", "ctypes.CDLL"}
UNPACKERS = {"extractall", "extract", "unpack_archive"}
ALLOWED = {  # by file: what it may call, and why
    "probvae/runs/model_file.py": {"exec", "compile"},  # a model file is code, and is run as such
}
TINY = VAE(event_shape=(4,), latent_dim=2, encoder=nets.MLP((4,)), decoder=nets.MLP((4,)))


def told(node):
    """What a node of the syntax tree does that a stranger's file could use; nothing for most."""
    if isinstance(node, ast.Import):
        yield from (f"import {a.name}" for a in node.names if a.name.split(".")[0] in PICKLES)
    elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in PICKLES:
        yield f"import {node.module}"
    elif isinstance(node, ast.Call):
        yield from _of_call(
            ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        )


def _of_call(name, options):
    if name in CALLS | LOADERS:
        yield name
    if name.split(".")[-1] in UNPACKERS and "filter" not in options:
        yield name
    if options.get("allow_pickle", "False") != "False":
        yield f"{name}(allow_pickle={options['allow_pickle']})"
    if options.get("shell", "False") != "False":
        yield f"{name}(shell={options['shell']})"


def found_in(source):
    return {what for node in ast.walk(ast.parse(source)) for what in told(node)}


@pytest.mark.parametrize("path", SOURCE, ids=lambda p: p.relative_to(p.parents[2]).as_posix())
def test_the_source_runs_nothing_that_it_reads(path):
    name = path.relative_to(SOURCE[0].parent.parent).as_posix()
    assert found_in(path.read_text()) == ALLOWED.get(name, set())


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from joblib import load", "import dill as d", "np.load(p, allow_pickle=True)",
        "np.load(p, allow_pickle=yes)", "eval(text)", "exec(text)", "torch.load(p)", "yaml.load(text)",
        "subprocess.run(words, shell=True)", "archive.extractall(folder)", "shutil.unpack_archive(p)",
        "__import__(name)", "os.system(words)",
    ],
)  # fmt: skip
def test_the_walk_sees(line):
    assert found_in(line)


class Trap:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def sealed(path, arrays, metadata):
    save_file(arrays, path, {**metadata, "sha256": serialization.compute_checksum(arrays, metadata)})
    return path


def values_of(vae):
    found = trace_structure(vae)
    leaves = serialization.list_leaves({**found.params, **found.state})
    return {f"values/{name}": np.zeros(leaf.shape, leaf.dtype) for name, leaf in leaves}


def of_model(path, change=None, **metadata):
    arrays = values_of(TINY)
    arrays |= change or {}
    return sealed(path, arrays, {"format": serialization.FORMAT, "vae": "x", **metadata})


def header(length, text=b"{}"):
    return struct.pack("<Q", length) + text


def tensor(end, shape):
    text = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
    return header(len(text), text + bytes(8))


FILES = {
    "a pickle": __import__("pickle").dumps(Trap()),
    "a header of 1 TB": header(2**40),
    "a header of 2^63": header(2**63),
    "an array of 1 TB": tensor(2**40, [2**38]),
    "a shape that overflows": tensor(8, [2**62, 2**62]),
    "a negative shape": tensor(8, [-1]),
    "a header that is no text": header(4, b"\xff\xfe\x00\x01"),
    "a deep header": header(40_000, b"[" * 40_000),
    "nothing": b"",
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_file_that_is_no_model_is_named(tmp_path, content):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="m.safetensors is corrupt, or `fitted.save` did not write it"):
        load(path, TINY)
    with pytest.raises(file_format.CorruptCheckpointError, match="m.safetensors is corrupt"):
        file_format.read(path)


TEXTS = {
    "no JSON": "{",
    "a list of numbers": "[1]",
    "a call": '[{"__reduce__": "os.system"}]',
    "no rows": '[{"epoch": 0, "step": 0, "term": "", "action": ""}]',
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_strangers_text_with_a_right_checksum_is_plain_or_refused(tmp_path, text):
    path = of_model(tmp_path / "m.safetensors", incidents=text)
    with pytest.raises(ValueError, match="history is corrupt"):
        load(path, TINY)


def test_a_strangers_arrays_are_those_of_the_model_or_refused(tmp_path):
    assert load(of_model(tmp_path / "fine"), TINY).values
    name, array = next(iter(values_of(TINY).items()))
    for odd in (array.astype(np.int32), array.astype(bool), array[..., None]):
        with pytest.raises(ValueError, match="saved from another VAE: 1 arrays differ"):
            load(of_model(tmp_path / f"{odd.dtype}{odd.ndim}", {name: odd}), TINY)
    with pytest.raises(ValueError, match="history is corrupt"):
        load(of_model(tmp_path / "best", {"history/best_epoch": np.zeros(3)}), TINY)


def png(width, height):
    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("side", "message"), [(100_000, "a.png"), (2**31 - 1, "a.png"), (0, "a.png")])
def test_an_image_that_claims_to_be_huge_is_not_unpacked(tmp_path, side, message):
    pytest.importorskip("PIL.Image", reason="a folder of images needs Pillow")
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a.png").write_bytes(png(side, side))
    with pytest.raises(ValueError, match=message):
        load_data(tmp_path / "f")


def bomb(path, name="train.npy"):
    """An archive of a few kB whose one member unpacks to 4 MB and claims 100 bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        head = {"descr": "|u1", "fortran_order": False, "shape": (100,)}
        with archive.open(name, "w") as stream:
            np.lib.format.write_array_header_1_0(stream, head)
            stream.write(bytes(4 * 2**20))
    return path


def test_an_archive_that_unpacks_to_more_than_it_says_is_named(tmp_path):
    with pytest.raises(ValueError, match="expected 100 bytes for shape"):
        load_data(bomb(tmp_path / "x.npz"))


@pytest.mark.parametrize("name", ["../../evil.npy", "/evil.npy", "a/../../evil.npy"])
def test_an_archives_names_are_never_paths(tmp_path, name):
    before = set(tmp_path.parent.parent.rglob("*evil*"))
    with pytest.raises(ValueError, match="x.npz"):
        load_data(bomb(tmp_path / "x.npz", name))
    assert set(tmp_path.parent.parent.rglob("*evil*")) == before


def test_a_gzip_bomb_behind_an_idx_header_is_read_no_further_than_it_claims(tmp_path):
    import gzip

    content = struct.pack(">HBB1I", 0, 8, 1, 10) + bytes(64 * 2**20)
    (tmp_path / "x.idx.gz").write_bytes(gzip.compress(content, 1))
    with pytest.raises(ValueError, match=r"expected 10 bytes for shape \(10,\) of uint8; got more"):
        load_data(tmp_path / "x.idx.gz")


@pytest.mark.parametrize("dims", [(2**31, 2**31), (2**20, 2**20), (0xFFFFFFFF,) * 3])
def test_an_idx_header_that_claims_more_than_memory_is_named(tmp_path, dims):
    (tmp_path / "x.idx").write_bytes(struct.pack(f">HBB{len(dims)}I", 0, 8, len(dims), *dims))
    with pytest.raises(ValueError, match="x.idx declares .* bytes unpacked; expected at most"):
        load_data(tmp_path / "x.idx")
