"""Inputs and outputs that lie on the device: no copies, the same results, clear refusals."""

import attune_cli as cli
import numpy as np
import onnx
import pytest
from attune_ctypes import RuntimeFault, Session
from device import Calls, DeviceArray, read_tensor
from faults import INTERPRETED
from models import language, small
from models.half import half
from models.spelling import SPELLINGS


def compiled(folder, model, name, *flags):
    onnx.save(model, folder / f"{name}.onnx")
    return Session(cli.compile(folder / f"{name}.onnx", folder / f"{name}.so", *flags))


@pytest.fixture
def layer(tmp_path):
    session = compiled(tmp_path, small.layer()[0], "m", "--target=cuda")
    yield session
    session.close()


def numbers(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_in_place(layer):
    """Kernels read and write the caller's memory."""
    x = numbers(2, 5, 13)
    want = layer.run({"x": x})["y"]
    source, target = DeviceArray(x), DeviceArray(np.zeros_like(want))
    layer.run({"x": source}, into={"y": target})
    assert target.read().tobytes() == want.tobytes()
    if INTERPRETED:
        with Calls() as calls:
            layer.run({"x": source}, into={"y": target})
        assert set(calls.made) == {"cuLaunchKernel", "cuStreamSynchronize"}


def test_odd_addresses(layer):
    """Where kernels need a larger alignment than the caller has, tensors are copied there."""
    x = numbers(2, 5, 13)
    want = layer.run({"x": x})["y"]
    source, target = DeviceArray(x, offset=4), DeviceArray(np.zeros_like(want), offset=20)
    layer.run({"x": source}, into={"y": target})
    assert target.read().tobytes() == want.tobytes()


def test_mixed(layer):
    """One on the host, the other on the device; nothing in it."""
    for shape in [(2, 5, 13), (0, 5, 13)]:
        x = numbers(*shape)
        want = layer.run({"x": x})["y"]
        assert layer.run({"x": DeviceArray(x)})["y"].tobytes() == want.tobytes()
        target = DeviceArray(np.zeros_like(want))
        layer.run({"x": x}, into={"y": target})
        assert target.read().tobytes() == want.tobytes()


def test_output_in_place_of_an_input(tmp_path):
    """Sums along an axis read what is written, so that the input is set aside."""
    model = small.running_sums()[0]
    session = compiled(tmp_path, model, "m", "--target=cuda")
    x = numbers(2, 9, 4)
    want = session.run({"x": x})["y"]
    both = DeviceArray(x)
    session.run({"x": both}, into={"y": both})
    assert both.read().tobytes() == want.tobytes()
    session.close()


def test_allocated_on_the_device(tmp_path):
    host = compiled(tmp_path, small.layer()[0], "m", "--target=cuda")
    session = Session(tmp_path / "m.so", device_outputs=True)
    x = numbers(3, 5, 13)
    bound = session.bind({"x": DeviceArray(x)}, {})
    bound.run()
    got = read_tensor(bound.results[0].tensor)
    assert got.shape == (3, 5, 37)
    assert got.tobytes() == host.run({"x": x})["y"].tobytes()
    # Results outlive the session.
    session.close()
    assert read_tensor(bound.results[0].tensor).tobytes() == got.tobytes()
    bound.clear()
    host.close()


def test_refusals(layer, tmp_path):
    x = DeviceArray(numbers(2, 5, 13))
    x.strides = (65, 1, 5)
    with pytest.raises(RuntimeFault, match="strides .* on a device, accepted is dense row-major"):
        layer.run({"x": x})
    with pytest.raises(RuntimeFault, match="found device 3, the session runs on 0"):
        layer.run({"x": DeviceArray(numbers(2, 5, 13), device=3)})
    cpu = compiled(tmp_path, small.layer()[0], "cpu")
    with pytest.raises(RuntimeFault, match=r"found device type 2, accepted is the CPU \(1\)"):
        cpu.run({"x": DeviceArray(numbers(2, 5, 13))})
    cpu.close()


@pytest.fixture(params=["f32", "f16"], scope="module")
def decoder(request, tmp_path_factory):
    """A session, its case, and the type of its caches."""
    config = language.Config(depth=1, norm_first=True)
    case = language.cached_decoder(SPELLINGS["native"], config)
    model = half(case.model) if request.param == "f16" else case.model
    session = compiled(tmp_path_factory.mktemp("decoder"), model, "m", "--target=cuda")
    yield session, case, np.float16 if request.param == "f16" else np.float32
    session.close()


def steps_of(decoder, batch=2):
    """Feeds of some calls and what they give from dense memory; caches by (past, present)."""
    session, case, dtype = decoder
    pairs = [(past, present) for past, present, axis in session.aliases if axis == 2]
    assert len(pairs) == 2
    feeds = case.inputs(dict(batch=batch, seq=3, past=0))
    feeds = {n: x.astype(dtype) if x.dtype == np.float32 else x for n, x in feeds.items()}
    for seq in (3, 1, 1):
        feeds["input_ids"] = np.arange(batch * seq).reshape(batch, seq) + seq
        want = session.run(feeds)
        yield dict(feeds), want, pairs
        feeds |= {past: want[present] for past, present in pairs}


CAPACITY = 8


def test_caches_in_place(decoder):
    """On the device only the new rows are written; what lies behind them stays as it is."""
    session, caches = decoder[0], {}
    for feeds, want, pairs in steps_of(decoder):
        into = {}
        for past, present in pairs:
            shape = want[present].shape
            if past not in caches:
                room = np.full((*shape[:2], CAPACITY, shape[3]), 77, decoder[2])
                caches[past] = DeviceArray(room)
            feeds[past] = caches[past].front(2, feeds[past].shape[2])
            into[present] = caches[past].front(2, shape[2])
        got = session.run(feeds, into)
        assert got["hidden"].tobytes() == want["hidden"].tobytes()
        for past, present in pairs:
            n, cache = want[present].shape[2], caches[past].read()
            assert cache[:, :, :n].tobytes() == want[present].tobytes()
            assert (cache[:, :, n:] == 77).all()
        if INTERPRETED:
            with Calls() as calls:
                session.run(feeds, into)
            assert "cuMemcpyDtoDAsync_v2" not in calls.made


def test_host_caches(decoder):
    """A cache on the host travels; its room does not."""
    session, caches = decoder[0], {}
    for feeds, want, pairs in steps_of(decoder):
        into = {}
        for past, present in pairs:
            shape = want[present].shape
            room = np.full((*shape[:2], CAPACITY, shape[3]), 77, decoder[2])
            cache = caches.setdefault(past, room)
            feeds[past] = cache[:, :, : feeds[past].shape[2]]
            into[present] = cache[:, :, : shape[2]]
        got = session.run(feeds, into)
        assert got["hidden"].tobytes() == want["hidden"].tobytes()
        for past, present in pairs:
            assert into[present].tobytes() == want[present].tobytes()
            assert (caches[past][:, :, want[present].shape[2] :] == 77).all()


def test_front_at_an_odd_address(decoder):
    session = decoder[0]
    feeds, want, pairs = list(steps_of(decoder))[1]
    past, present = pairs[0]
    shape = want[present].shape
    cache = DeviceArray(np.zeros((*shape[:2], CAPACITY, shape[3]), decoder[2]), offset=16)
    feeds[past] = cache.front(2, feeds[past].shape[2])
    with pytest.raises(RuntimeFault, match="begins at no multiple of 256"):
        session.run(feeds)
