"""The known data sets in their formats on disk, with a few rows."""

import gzip
import struct

import numpy as np

CODES = {"uint8": 8, "int8": 9, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def grey(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def idx_bytes(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, CODES[str(array.dtype)], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_npz(path, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def mnist(root, *, rows=7, test=4):
    train, held_out = grey(rows, 28, 28, seed=1), grey(test, 28, 28, seed=2)
    labels = np.arange(rows, dtype=np.uint8), np.arange(test, dtype=np.uint8)
    write_idx(root / "mnist/train-images-idx3-ubyte.gz", train)
    write_idx(root / "mnist/train-labels-idx1-ubyte.gz", labels[0])
    write_idx(root / "mnist/t10k-images-idx3-ubyte.gz", held_out)
    write_idx(root / "mnist/t10k-labels-idx1-ubyte.gz", labels[1])
    return train, held_out


def binarized_mnist(root):
    images = {s: grey(3, 28, 28, seed=i) > 127 for i, s in enumerate(("train", "valid", "test"))}
    packed = {split: np.packbits(array.reshape(3, -1), axis=1) for split, array in images.items()}
    write_npz(root / "binarized-mnist/binarized_mnist.npz", **packed)
    return images


def omniglot(root, *, rows=6, test=3):
    arrays = {
        "train": grey(rows, 28, 28, seed=3),
        "test": grey(test, 28, 28, seed=4),
        "train_character": np.arange(rows, dtype=np.int16),
        "test_character": np.arange(test, dtype=np.int16),
        "unused_index": np.arange(2, dtype=np.int32),
    }
    write_npz(root / "omniglot/omniglot_28.npz", **arrays)
    return arrays


def freyfaces(root, *, rows=9):
    images = grey(rows, 28, 20, seed=5)
    permutation = np.random.default_rng(6).permutation(rows).astype(np.int16)
    write_npz(root / "freyfaces/freyfaces.npz", images=images, permutation=permutation)
    return images, permutation


def lfw64(root):
    splits = ("train", "valid", "test")
    arrays = {split: grey(2, 64, 64, 3, seed=7 + i) for i, split in enumerate(splits)}
    people = {f"{split}_person": np.arange(2, dtype=np.int16) for split in splits}
    write_npz(root / "lfw64/lfw64.npz", **arrays, **people)
    return arrays


def pbmc3k(root, *, cells=8, genes=11):
    """Write a CSR matrix of counts, and return its dense twin and the arrays."""
    random = np.random.default_rng(8)
    dense = random.poisson(0.7, (cells, genes)).astype(np.uint16)
    dense[:, 4] += 1
    rows, columns = np.nonzero(dense)
    arrays = {
        "data": dense[rows, columns],
        "indices": columns.astype(np.uint16),
        "indptr": np.concatenate([[0], np.cumsum((dense > 0).sum(1))]).astype(np.int32),
        "shape": np.array(dense.shape, np.int32),
        "genes": np.array([f"g{gene}" for gene in range(genes)]).astype("S4"),
        "variable_genes": np.array([1, 4, 9], np.uint16),
        "permutation": random.permutation(cells).astype(np.int16),
    }
    write_npz(root / "pbmc3k/pbmc3k_counts.npz", **arrays)
    return dense, arrays
