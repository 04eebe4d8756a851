"""A checkpoint is read back as it was saved, or refused in one sentence."""

import errno
import io
import json
import os
import pickle
import re
import zipfile
from dataclasses import dataclass, replace

import numpy as np
import pytest

import minissm as ms
from minissm import Mean, Model, S4d, Ssm, fit, load, load_state, save, save_state, spec, tasks, tree
from minissm.checkpoint import load_tree, save_tree, sealed

NETS = [
    Model("ssm", vocab=5, width=3),
    Model("ssm(poles=3, variant='inv', dt=(0.01, 0.2)) + fnn2(width=7, act='relu')", vocab=5, width=4, norm="rms"),
    Model("attn(heads=3, positions='none') + fnn0", vocab=5, outputs=2, width=6, norm="layer", dtype="float64"),
    Model("attn(max_len=9) + ssm + ssm", inputs=3, outputs=2, width=4, residual=False, timescales="reversed"),
    Model("ssm(variant='real', expand=1)", inputs=3, outputs=2, width=4, norm="rms", dtype="float64"),
]
NET = Model("ssm(poles=3) + fnn1", vocab=5, width=3, norm="layer")


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
    layout = json.loads(found.pop("layout").item())
    assert layout["model"] == repr(NET)
    assert layout["params"]["embed"] == {"w": {"": "params.embed.w"}}
    assert len(found.pop("digest").item()) == 64
    assert list(found) == [f"params.{name}" for name, _ in tree.named(NET.init(rng))]
    assert "params.blocks.0.filter.log_dt" in found


# ---- damage

STATE = {
    "n": 3,
    "blocks": [{"h": np.arange(6000, dtype="complex64").reshape(2, 3, 1000) * 1j}, None, {"t": 7, "keys": [np.eye(2)]}],
}


@pytest.fixture(params=["model", "training", "state"])
def kept(request, tmp_path):
    """The path of a file of each kind, as large as they come, and what reads it."""
    path, task = tmp_path / "kept.npz", tasks.Recall(2, 3, 3)
    net = Model("ssm + fnn1", vocab=task.vocab, width=16)
    params = net.init(np.random.default_rng(0))
    if request.param == "model":
        save(path, net, params)
        return path, load
    if request.param == "training":
        fit(net, params, task, 3, np.random.default_rng(0), batch=2, progress=False, checkpoint=path)
        return path, load_tree
    save_state(path, STATE)
    return path, load_state


def spelled(value):
    """Equal exactly where value is, to the bit."""
    if isinstance(value, dict):
        return {key: spelled(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [spelled(v) for v in value]
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else repr(value)


def same_or_refused(path, read, content, before):
    """Whether it was refused, in one sentence; if it wasn't, it reads as before."""
    path.write_bytes(content)
    try:
        found = read(path)
    except ValueError as error:
        refusal = str(error)
    else:
        assert spelled(found) == before
        return False
    assert refusal.startswith(f"load: {path} ")
    assert "\n" not in refusal
    return True


def test_a_file_that_is_cut_anywhere_is_refused(kept):
    path, read = kept
    whole, before = path.read_bytes(), spelled(read(path))
    places = [*range(100), *range(100, len(whole), 1000), *range(len(whole) - 100, len(whole))]
    assert len(whole) > 20_000
    assert all(same_or_refused(path, read, whole[:place], before) for place in places)


@pytest.mark.parametrize("flips", [200, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_bit_that_is_flipped_anywhere_never_gives_other_numbers(kept, flips):
    path, read = kept
    whole, before = path.read_bytes(), spelled(read(path))
    rng = np.random.default_rng(0)
    refusals = 0
    for place, bit in zip(rng.choice(len(whole), flips, replace=False), rng.integers(0, 8, flips), strict=True):
        flipped = bytes([whole[place] ^ (1 << bit)])
        refusals += same_or_refused(path, read, whole[:place] + flipped + whole[place + 1 :], before)
    assert refusals > 0.9 * flips  # some bits of the format say nothing, like the time of day


def test_a_file_without_its_digest_is_refused(saved):
    found = entries(saved)
    np.savez(saved, **{name: array for name, array in found.items() if name != "digest"})
    refused(saved, "without a digest; save it again")


def test_arrays_that_were_exchanged_are_refused(saved):
    """Each is whole, and so is the archive."""
    found = entries(saved)
    found["params.embed.w"] = found["params.embed.w"] + 1
    np.savez(saved, **found)
    refused(saved, "its digest doesn't match")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("layout", b"not an array"),
        ("digest", b"not an array"),
        ("layout", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4',"),
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


@pytest.mark.parametrize("name", ["layout", "digest", "params.embed.w", "params.extra"])
def test_pickles_are_refused_and_never_run(saved, name):
    np.savez(saved, **entries(saved) | {name: np.array([Pickled()], dtype=object)})
    refused(saved, "is not a whole checkpoint")
    saved.write_bytes(pickle.dumps(Pickled()))
    refused(saved, "is not a whole checkpoint")
    assert Pickled.trace == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"params.embed.w": None}, ["parameters with no embed.w; expected one; draw"]),
        ({"params.extra": np.ones(2)}, ["parameters with extra; expected no such entry; draw"]),
        ({"params.embed.w": np.ones((3, 5), "float32")}, ["embed.w of shape (3, 5); expected shape (5, 3)"]),
        ({"model": repr(replace(NET, dtype="float64"))}, ["the arrays are float32", "needs float64"]),
        ({"params.embed.w": np.ones((5, 3), "complex64")}, ["is complex64"]),
        ({"params.embed.w": "0"}, ["embed.w of shape str; expected shape (5, 3)"]),
        ({"model": None}, ["holds no minissm model"]),
        ({"model": 3.0}, ["holds no minissm model"]),
        ({"model": [repr(NET)]}, ["holds no minissm model"]),
        ({"model": np.ones(3)}, ["holds no minissm model"]),
        ({"params": None}, ["holds no minissm model"]),
        ({"model": 'Model("ssm(poles=3) + fnn1", vocab=5, width=3)'}, ["expected no such entry"]),
        (
            {"model": 'Model("ssm(poles=3) + fnn1", vocab=6, width=3, norm="layer")'},
            ["embed.w of shape (5, 3); expected shape (6, 3)"],
        ),
        ({"model": 'Model("ssm(poles=3)", vocab=5, width=3, norm="layer")'}, ["blocks.1; expected no such entry"]),
        ({"model": 'Model("ssm", vocab=5, width=1000000000000000)'}, []),
        ({"model": 'Model("fnn9(width=100000)", vocab=5, width=3)'}, [" parameters, ", " given"]),
        ({"model": 'Model("gru", vocab=5)'}, ["uses the block gru; call ms.register('gru', ...) first"]),
        ({"model": 'Model("ssm", vocab=5, colour=3)'}, ["holds no model", "can't read"]),
        ({"model": 'Model("ssm", vocab=1e999)'}, ["holds no model", "vocab=inf"]),
        ({"model": 'Model("ssm", vocab=5, norm=[])'}, ["holds no model", "norm=[]"]),
        ({"model": f'Model("ssm", vocab=1{"0" * 400})'}, ["holds no model"]),
        ({"model": "Model(" * 100_000}, ["holds no model"]),
        ({"model": ""}, ["holds no model"]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_does_not_belong_together_is_refused(saved, changes, words):
    """Sealed anew, so that only what is inside can be wrong."""
    found = load_tree(saved)
    for name, value in changes.items():
        *path, last = name.split(".")
        place = found
        for key in path:
            place = place[key]
        if value is None:
            del place[last]
        else:
            place[last] = value
    save_tree(saved, found)
    refused(saved, *words)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').mkdir('evil')",
        "Model(__import__('os').mkdir('evil'), vocab=5)",
        "Model('ssm', vocab=__import__('os').mkdir('evil') or 5)",
        "[__import__('os').mkdir('evil') for _ in 'a']",
        "Model(\"ssm(poles=__import__('os').mkdir('evil'))\", vocab=5)",
    ],
)
def test_the_model_is_parsed_and_never_evaluated(saved, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_tree(saved, load_tree(saved) | {"model": text})
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


@pytest.mark.parametrize("read", [load, load_state, load_tree])
def test_a_small_file_that_unpacks_to_a_large_one_is_refused_before_it_is_unpacked(tmp_path, read, monkeypatch):
    """The sizes that its entries declare are enough to see it."""
    arrays = {"layout": np.array(b"{}"), "w": np.zeros(100_000)}
    np.savez_compressed(tmp_path / "net.npz", **sealed(arrays))
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(ValueError, match=r"^load: .*net.npz .*compressed, 80\d,\d{3} bytes in \d,\d{3}\); ") as caught:
        read(tmp_path / "net.npz")
    assert "\n" not in str(caught.value)


def test_a_file_without_a_digest_is_refused_before_its_arrays_are_read(tmp_path, monkeypatch):
    np.savez(tmp_path / "net.npz", layout=np.array(b"{}"), w=np.zeros(3))
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda *_: pytest.fail("read"))
    refused(tmp_path / "net.npz", "without a digest")


def test_a_small_file_that_asks_for_a_large_model_is_refused_in_a_short_sentence(tmp_path):
    many = " + ".join(["fnn9(width=999999999999)"] * 90)
    save_tree(tmp_path / "net.npz", {"format": 5, "model": f'Model("{many}", vocab=3)', "params": {"w": np.ones(3)}})
    refused(tmp_path / "net.npz", "parameters, 3 given; save a model with its own")


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
    "other", [NETS[0], Model("ssm(poles=3) + fnn1", vocab=5, width=3, norm="layer", dtype="float64")]
)
def test_parameters_of_another_model_are_not_saved(tmp_path, rng, other):
    """load would refuse them, when it is too late."""
    with pytest.raises(ValueError, match=r"^save: .*net.npz: (the arrays|Model: parameters with)") as caught:
        save(tmp_path / "net.npz", NET, other.init(rng))
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_block_without_a_name_is_not_saved(tmp_path, rng):
    class Mine(type(NET.blocks[0])):
        pass

    net = Model((Mine(),), vocab=5, width=3)
    with pytest.raises(ValueError, match="no name spells the block"):
        save(tmp_path / "net.npz", net, net.init(rng))
    assert os.listdir(tmp_path) == []


# ---- trees


def test_a_state_is_read_back_as_it_was(tmp_path):
    save_state(tmp_path / "state.npz", STATE)
    assert spelled(load_state(tmp_path / "state.npz")) == spelled(STATE)
    assert load_state(tmp_path / "state.npz")["blocks"][2]["t"] == 7


@pytest.mark.parametrize(
    "value",
    [
        None,
        1 << 127,
        [0.1, float("inf"), True, "a text", "\u2211"],
        {"rng": np.random.default_rng(0).bit_generator.state},
        {"rng": np.random.Generator(np.random.MT19937(0)).bit_generator.state},
        [np.float32(0.1), np.array(2j), np.zeros((0, 3)), np.arange(3, dtype=">i2"), np.asfortranarray(np.eye(3))],
        (),
        {},
        [[], {}],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_any_tree_of_numbers_is_read_back(tmp_path, value):
    save_tree(tmp_path / "tree.npz", {"value": value})
    expected = tree.map(lambda leaf: np.asarray(leaf) if isinstance(leaf, np.generic) else leaf, value)
    assert spelled(load_tree(tmp_path / "tree.npz")) == spelled({"value": expected})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1: np.ones(2)}, "the key 1; expected a string without a dot"),
        ({"a.b": 1}, "the key 'a.b'"),
        ({"": 1}, "the key ''"),
        ({"a": {1, 2}}, "a is of type set; expected numbers"),
        ({"a": [np.array(["x"])]}, "a.0 is of type ndarray; expected numbers"),
        ({"a": np.array([None])}, "a is of type ndarray; expected numbers"),
        ({"layout": np.ones(2)}, "not named layout or digest"),
    ],
)
def test_what_is_no_tree_of_numbers_is_refused(tmp_path, value, words):
    with pytest.raises(ValueError, match=rf"^save: .*tree.npz: .*{re.escape(words)}") as caught:
        save_tree(tmp_path / "tree.npz", value)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_file_of_one_kind_is_not_read_as_another(saved, tmp_path):
    with pytest.raises(ValueError, match=r"^load: .*net.npz holds no state; expected a file that minissm.save_state"):
        load_state(saved)
    save_state(tmp_path / "state.npz", STATE)
    refused(tmp_path / "state.npz", "holds no minissm model; expected a file that minissm.save wrote")


@pytest.mark.parametrize("layout", ['{"": "none"}', '{"": []}', "{", "[" * 100_000, "\xff"])
def test_a_layout_that_cannot_be_read_is_refused(tmp_path, layout):
    np.savez(tmp_path / "net.npz", **sealed({"layout": np.array(layout.encode("latin-1"))}))
    refused(tmp_path / "net.npz", "has no layout that can be read")


def test_a_model_of_an_older_format_is_refused(tmp_path, rng):
    """`trig` without a window meant another model then, of the same size."""
    save_tree(tmp_path / "net.npz", {"model": repr(NET), "params": NET.init(rng)})
    refused(tmp_path / "net.npz", "was written by another version, in which specs mean other models; save it again")


def test_a_model_that_would_not_read_back_is_not_saved(tmp_path, rng):
    for dt in ((0.1, np.float64(0.5)), (0.1, 1)):
        net = Model((Ssm(S4d(poles=np.int64(2), dt=dt)),), vocab=3, width=2)
        save(tmp_path / "net.npz", net, net.init(rng))
        assert load(tmp_path / "net.npz")[0] == net

    @dataclass(frozen=True)
    class Free(Mean):
        k: object = 1.0

    ms.register("free", Free)
    try:
        for k in (np.float64(2.5), np.int64(3), "text's", (1, 2)):
            net = Model((Free(k),), vocab=3, width=2)
            save(tmp_path / "net.npz", net, net.init(rng))
            assert load(tmp_path / "net.npz")[0] == net
        for k in (float("inf"), frozenset(), len):
            net = Model((Free(k),), vocab=3, width=2)
            with pytest.raises(ValueError, match=r"Free|free|plain"):
                save(tmp_path / "other.npz", net, net.init(rng))
        assert os.listdir(tmp_path) == ["net.npz"]
    finally:
        del spec.BLOCKS["free"], spec._names[Free]
