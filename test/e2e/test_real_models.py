"""Both MiniLM exports: one artifact each, every size, against ONNX Runtime."""

import numpy as np
import pytest

import attune_cli as cli
import onnx_oracle as oracle
from attune_ctypes import Session

SIZES = [(1, 1), (1, 8), (1, 128), (4, 37), (8, 256)]
TOLERANCE = 1e-4


def feeds_of(session, batch, seq, seed=0):
    """Token ids and a mask with padding; the first row is full."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, seq + 1, batch)
    lengths[0] = seq
    values = {
        "input_ids": rng.integers(0, 30522, (batch, seq)),
        "attention_mask": (np.arange(seq) < lengths[:, None]).astype(np.int64),
        "token_type_ids": np.zeros((batch, seq), np.int64),
    }
    return {i.name: values[i.name] for i in session.get_inputs()}


@pytest.fixture(scope="module")
def peer(real):
    return oracle.session(real[0])


@pytest.mark.parametrize("threads", [1, 2])
def test_agrees_with_onnx_runtime(real, peer, threads):
    """The sizes in turn on one session, so that a stale plan of an earlier size would show."""
    session = Session(real[1], threads=threads)
    for batch, seq in SIZES + SIZES[:2]:
        feeds = feeds_of(peer, batch, seq)
        got = session.run(feeds)
        for info, want in zip(peer.get_outputs(), peer.run(None, feeds)):
            error = cli.worst(got[info.name], want)
            assert error <= TOLERANCE, f"{info.name} at {batch}x{seq}: {error}"


def test_thread_count_does_not_change_bits(real, peer):
    feeds = feeds_of(peer, 4, 37)
    one, two = (Session(real[1], threads=n).run(feeds) for n in (1, 2))
    assert all(one[n].tobytes() == two[n].tobytes() for n in one)


def test_jobs_do_not_change_the_artifact(real, tmp_path):
    counts = (1, 2, 2**32 - 1)
    made = [tmp_path / f"{jobs}.so" for jobs in counts]
    for jobs, path in zip(counts, made, strict=True):
        assert cli.attune("compile", real[0], "-o", path, f"--jobs={jobs}").returncode == 0
    assert made[0].read_bytes() == made[1].read_bytes() == made[2].read_bytes()


def test_command_line_run(real, peer, tmp_path):
    feeds = feeds_of(peer, 2, 9)
    folder = cli.write_inputs(tmp_path / "in", feeds)
    cli.attune("run", real[1], "--inputs", folder, "--outputs", tmp_path / "out")
    outputs = cli.read_outputs(tmp_path / "out")
    expected = peer.run(None, feeds)
    assert len(outputs) == len(expected)
    assert max(map(cli.worst, outputs, expected)) <= TOLERANCE
