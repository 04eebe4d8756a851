"""A checkpoint is read back as it was saved, or refused in one sentence."""

import errno
import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from minissm import Model, load, save, tree

NETS = [
    Model("ssm", vocab=5, width=3),
    Model("ssm(modes=3, variant='inv', dt=(0.01, 0.2)) + fnn2(width=7, act='relu')", vocab=5, width=4, norm="rms"),
    Model("attn(heads=3, positions='none') + fnn0", vocab=5, outputs=2, width=6, norm="layer", dtype="float64"),
    Model("attn(max_len=9) + ssm + ssm", inputs=3, outputs=2, width=4, residual=False, memory="reversed"),
    Model("ssm(variant='real', expand=1)", inputs=3, outputs=2, width=4, norm="rms", dtype="float64"),
]
NET = Model("ssm(modes=3) + fnn1", vocab=5, width=3, norm="layer")


@pytest.fixture
def saved(tmp_path, rng):
    """The path of a whole checkpoint of NET."""
    save(tmp_path / "net.npz", NET, NET.init(rng))
    return tmp_path / "net.npz"


def entries(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def refused(path, *words):
    """load says no in one short line that names the file."""
    with pytest.raises(ValueError, match="npz") as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(f"load: {path}")
    assert "\n" not in text
    assert len(text) < len(str(path)) + 400
    for word in words:
        assert word in text
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("net", NETS, ids=repr)
def test_what_was_saved_is_read_back_to_the_bit(net, tmp_path, rng):
    params = net.init(rng)
    save(tmp_path / "net.npz", net, params)
    again, read = load(str(tmp_path / "net.npz"))
    assert again == net
    assert repr(again) == repr(net)
    named, found = dict(tree.named(params)), dict(tree.named(read))
    assert list(found) == list(named)
    for name, leaf in named.items():
        assert found[name].dtype == leaf.dtype == net.dtype
        np.testing.assert_array_equal(found[name], leaf)
    x = rng.integers(0, 5, (2, 7)) if net.vocab else rng.normal(size=(2, 7, 3)).astype(net.dtype)
    np.testing.assert_array_equal(again(read, x)[0], net(params, x)[0])
    assert os.listdir(tmp_path) == ["net.npz"]


def test_the_file_is_plain_arrays_named_after_their_leaves(saved, rng):
    found = entries(saved)
    assert str(found.pop("model")) == repr(NET)
    assert list(found) == [f"params.{name}" for name, _ in tree.named(NET.init(rng))]
    assert "params.blocks.0.filter.log_dt" in found


def test_savez_is_given_arrays_and_no_options(tmp_path, rng, monkeypatch):
    """NumPy 2.0 has no allow_pickle there: it would write an array of that name, which load refuses."""
    names = []
    monkeypatch.setattr(np, "savez", lambda file, **arrays: names.extend(arrays))
    save(tmp_path / "net.npz", NET, NET.init(rng))
    assert names == ["model", *(f"params.{name}" for name, _ in tree.named(NET.init(rng)))]


def test_a_file_that_is_cut_anywhere_is_refused(saved):
    whole = saved.read_bytes()
    for length in [0, 1, 3, 4, 30, 100, *range(150, len(whole), 400), len(whole) - 30, len(whole) - 1]:
        saved.write_bytes(whole[:length])
        refused(saved, "is not a whole checkpoint", "save it again")


def test_a_changed_byte_is_either_refused_or_changes_nothing(saved, rng):
    whole, params = saved.read_bytes(), load(saved)[1]
    refusals = accepted = 0
    for place in range(0, len(whole), 41):
        saved.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            net, read = load(saved)
        except ValueError as error:
            refusals += "\n" not in str(error)
        else:
            accepted += 1
            assert net == NET
            assert all(np.array_equal(a, b) for a, b in zip(tree.leaves(read), tree.leaves(params), strict=True))
    assert refusals + accepted == len(range(0, len(whole), 41))
    assert refusals > accepted > 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model", b"not an array"),
        ("model", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4',"),
        ("params.embed.w", b"not an array"),
        ("params.embed.w", b"\x93NUMPY\x01\x00\x10\x00{'descr': (((((("),
        ("params.embed.w", b"\x93NUMPY\x09\x00"),
    ],
)
def test_entries_that_are_no_arrays_are_refused(saved, name, content):
    with zipfile.ZipFile(saved) as file:
        parts = {n: file.read(n) for n in file.namelist()}
    with zipfile.ZipFile(saved, "w") as file:
        for n, part in parts.items():
            file.writestr(n, content if n == f"{name}.npy" else part)
    refused(saved)


def test_an_array_that_claims_to_be_huge_is_refused(saved):
    found = entries(saved)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)})
    with zipfile.ZipFile(saved, "w") as file:
        for name in found:
            file.writestr(f"{name}.npy", header.getvalue())
    refused(saved, "is not a whole checkpoint")


class Pickled:
    """Leaves a trace if it is ever unpickled."""

    trace: list = []  # noqa: RUF012

    def __reduce__(self):
        return Pickled.trace.append, ("unpickled",)


@pytest.mark.parametrize("name", ["model", "params.embed.w", "params.extra"])
def test_pickles_are_refused_and_never_run(saved, name):
    np.savez(saved, **entries(saved) | {name: np.array([Pickled()], dtype=object)})
    refused(saved, "is not a whole checkpoint")
    saved.write_bytes(pickle.dumps(Pickled()))
    refused(saved, "is not a whole checkpoint")
    assert Pickled.trace == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"params.embed.w": None}, ["the array params.embed.w is missing for Model("]),
        ({"params.extra": np.ones(2)}, ["the array params.extra is one too many for Model("]),
        ({"params.embed.w": np.ones((3, 5), "float32")}, ["params.embed.w is float32 (3, 5)", "needs float32 (5, 3)"]),
        ({"params.embed.w": np.ones((5, 3))}, ["params.embed.w is float64 (5, 3)", "needs float32 (5, 3)"]),
        ({"params.embed.w": np.ones((5, 3), "complex64")}, ["is complex64"]),
        ({"params.embed.w": np.full((5, 3), "0")}, ["is <U1"]),
        ({"model": None}, ["holds no minissm model"]),
        ({"model": np.array(3.0)}, ["holds no minissm model"]),
        ({"model": np.array([repr(NET)])}, ["holds no minissm model"]),
        ({"model": np.array(repr(NET).encode())}, ["holds no minissm model"]),
        ({"model": np.array('Model("ssm(modes=3) + fnn1", vocab=5, width=3)')}, ["one too many for Model("]),
        ({"model": np.array('Model("ssm(modes=3) + fnn1", vocab=6, width=3, norm="layer")')}, ["params.embed.w is"]),
        ({"model": np.array('Model("ssm(modes=3)", vocab=5, width=3, norm="layer")')}, ["one too many"]),
        ({"model": np.array('Model("ssm", vocab=5, width=1000000000000000)')}, []),
        ({"model": np.array('Model("fnn9(width=100000)", vocab=5, width=3)')}, [" parameters, ", " given"]),
        ({"model": np.array('Model("gru", vocab=5)')}, ["holds no model", "unknown block 'gru'"]),
        ({"model": np.array('Model("ssm", vocab=5, colour=3)')}, ["holds no model", "can't read"]),
        ({"model": np.array('Model("ssm", vocab=1e999)')}, ["holds no model", "vocab=inf"]),
        ({"model": np.array('Model("ssm", vocab=5, norm=[])')}, ["holds no model", "norm=[]"]),
        ({"model": np.array(f'Model("ssm", vocab=1{"0" * 400})')}, ["holds no model"]),
        ({"model": np.array("Model(" * 100_000)}, ["holds no model"]),
        ({"model": np.array("")}, ["holds no model"]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_does_not_belong_together_is_refused(saved, changes, words):
    found = entries(saved) | changes
    np.savez(saved, **{name: array for name, array in found.items() if array is not None})
    refused(saved, *words)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').mkdir('evil')",
        "Model(__import__('os').mkdir('evil'), vocab=5)",
        "Model('ssm', vocab=__import__('os').mkdir('evil') or 5)",
        "[__import__('os').mkdir('evil') for _ in 'a']",
        "Model(\"ssm(modes=__import__('os').mkdir('evil'))\", vocab=5)",
    ],
)
def test_the_model_is_parsed_and_never_evaluated(saved, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(saved, **entries(saved) | {"model": np.array(text)})
    refused(saved, "holds no model")
    assert os.listdir(tmp_path) == ["net.npz"]


def test_foreign_files_are_refused(tmp_path):
    for name, content in {"text": b"hello\nthere", "png": b"\x89PNG\r\n\x1a\n" + bytes(99)}.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        refused(path, "is not a whole checkpoint")
    path = tmp_path / "array.npz"
    with open(path, "wb") as file:
        np.save(file, np.ones(3))
    refused(path, "is not a whole checkpoint")
    np.savez(path)
    refused(path, "holds no minissm model")
    np.savez_compressed(path, weights=np.ones(3))
    refused(path, "holds no minissm model")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")
    refused(path, "holds no minissm model")


def test_a_damaged_compressed_file_is_refused(tmp_path):
    path = tmp_path / "net.npz"
    np.savez_compressed(path, model=np.arange(1000))
    whole = path.read_bytes()
    for place in range(40, 300, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        refused(path)


def test_a_missing_file_and_a_folder_are_told_apart_from_damage(tmp_path):
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no such file; give the \.npz that minissm.save wrote"):
            load(path)


def test_a_failed_save_leaves_the_old_file(saved, tmp_path, rng, monkeypatch):
    before = saved.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        save(saved, NET, NET.init(rng))
    with pytest.raises(OSError, match="No space"):
        save(tmp_path / "new.npz", NET, NET.init(rng))
    assert saved.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.npz"]


@pytest.mark.parametrize(
    "other", [NETS[0], Model("ssm(modes=3) + fnn1", vocab=5, width=3, norm="layer", dtype="float64")]
)
def test_parameters_of_another_model_are_not_saved(tmp_path, rng, other):
    """load would refuse them, when it is too late."""
    with pytest.raises(ValueError, match=r"^save: .*net.npz: the array params") as caught:
        save(tmp_path / "net.npz", NET, other.init(rng))
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_block_without_a_word_is_not_saved(tmp_path, rng):
    class Mine(type(NET.blocks[0])):
        pass

    net = Model((Mine(),), vocab=5, width=3)
    with pytest.raises(ValueError, match="no word spells the block"):
        save(tmp_path / "net.npz", net, net.init(rng))
    assert os.listdir(tmp_path) == []
