"""The runtime's C interface (runtime/attune.h) through ctypes: artifacts in, numpy arrays out.

    session = Session("model.so", threads=1)
    outputs = session.run({"input_ids": ids})       # dict of arrays, by output name
    # Outputs into arrays of the caller, here the front of a cache, which is also an input:
    session.run({"x": x, "past": cache[:, :, :n]}, into={"present": cache[:, :, : n + 1]})

`RuntimeFault` carries the runtime's message. The declarations are those of the Python package.
"""

import ctypes as C
import os
import sys
from pathlib import Path

import ml_dtypes
import numpy as np

BUILD = Path(os.environ.get("ATTUNE_BUILD", Path(__file__).resolve().parents[1] / "build"))
os.environ["ATTUNE_RUNTIME"] = str(BUILD / "lib" / "libattune_runtime.so")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
from attune.c_api import (  # noqa: E402, F401
    Options, Profile, RunArgs, RuntimeFault, Tensor, Value, api, check,
)  # fmt: skip

DTYPES = {
    0x010800: np.int8, 0x011000: np.int16, 0x012000: np.int32, 0x014000: np.int64,
    0x010801: np.uint8, 0x011001: np.uint16, 0x012001: np.uint32, 0x014001: np.uint64,
    0x011002: np.float16, 0x012002: np.float32, 0x014002: np.float64,
    0x011004: ml_dtypes.bfloat16, 0x010806: np.bool_,
    0x01080A: ml_dtypes.float8_e4m3fn, 0x01080B: ml_dtypes.float8_e4m3fnuz,
    0x01080C: ml_dtypes.float8_e5m2, 0x01080D: ml_dtypes.float8_e5m2fnuz,
}  # fmt: skip
CODES = {np.dtype(t): code for code, t in DTYPES.items()}


def _value_of(array):
    """Arrays of numpy, or what has an `attune_value()`: a tensor on a device."""
    if hasattr(array, "attune_value"):
        return array.attune_value()
    value = Value(size=C.sizeof(Value), kind=1)
    numbers, strides = C.c_int64 * max(array.ndim, 1), None
    if not array.flags.c_contiguous:
        strides = numbers(*(s // array.itemsize for s in array.strides))
    value.tensor = Tensor(
        array.ctypes.data, 1, 0, array.ndim, CODES[array.dtype], numbers(*array.shape), strides, 0
    )
    return value


def _array_of(tensor):
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    dtype = np.dtype(DTYPES[tensor.dtype])
    count = int(np.prod(shape, dtype=np.int64))
    if not count:
        return np.zeros(shape, dtype)
    data = C.string_at(tensor.data + tensor.byte_offset, count * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(shape).copy()


class Session:
    handle = None

    def __init__(self, path, threads=0, flush_denormals=False, device_outputs=False):
        options = Options(C.sizeof(Options), threads, flush_denormals, 0, None, device_outputs)
        handle = C.c_void_p()
        check(api().session_open(os.fsencode(path), C.byref(options), C.byref(handle)))
        self.handle = handle
        signature = api().session_signature(handle).contents
        self.inputs = [signature.inputs[i].contents for i in range(signature.input_count)]
        self.outputs = [signature.outputs[i].contents for i in range(signature.output_count)]
        self.output_names = [p.name.decode() for p in self.outputs]
        #: (input, output, axis) of what may be one buffer, by name
        self.aliases = []
        for i in range(signature.alias_count):
            alias = signature.aliases[i].contents
            names = self.inputs[alias.input].name.decode(), self.output_names[alias.output]
            self.aliases.append((*names, alias.axis))

    def run(self, feeds, into=None):
        """Outputs by name; those of `into` are written to its arrays, which may be inputs too."""
        bound = self.bind(feeds, into)
        bound.run()
        return dict(zip(self.output_names, bound.outputs()))

    def bind(self, feeds, into=None):
        return Bound(self, feeds, into or {})

    def close(self):
        if self.handle:
            api().session_close(self.handle)
            self.handle = None

    def __del__(self):
        self.close()


class Bound:
    """A session with inputs attached, so that a benchmark repeats nothing but the call."""

    def __init__(self, session, feeds, into):
        self.session, self.into = session, into
        if unknown := into.keys() - set(session.output_names):
            raise KeyError(f"there is no output {sorted(unknown)}")
        # Strides of a shared buffer are what the runtime wants to see.
        host = [b for b in into.values() if isinstance(b, np.ndarray)]
        kept = lambda a: hasattr(a, "attune_value") or any(np.may_share_memory(a, b) for b in host)  # noqa: E731
        self.arrays = {n: a if kept(a) else np.asarray(a, order="C") for n, a in feeds.items()}
        names = (C.c_char_p * max(len(feeds), 1))(*[n.encode() for n in feeds])
        self.values = (Value * max(len(feeds), 1))(*map(_value_of, self.arrays.values()))
        count = len(session.output_names)
        self.results = (Value * max(count, 1))()
        self.clear()
        self.args = RunArgs(
            C.sizeof(RunArgs), 0, names, self.values, len(feeds), None, self.results, count, None
        )

    def run(self):
        """Results of the run before are given back first."""
        self.clear()
        check(api().session_run(self.session.handle, C.byref(self.args)))

    def arena_bytes(self):
        """Memory for intermediate results, of one more run."""
        profile = Profile(size=C.sizeof(Profile))
        self.args.profile = C.cast(C.byref(profile), C.c_void_p)
        self.run()
        self.args.profile = None
        return profile.arena_bytes

    def outputs(self):
        return [
            self.into[name] if name in self.into else _array_of(self.results[i].tensor)
            for i, name in enumerate(self.session.output_names)
        ]

    def clear(self):
        for i, name in enumerate(self.session.output_names):
            api().value_clear(C.byref(self.results[i]))
            given = name in self.into
            self.results[i] = _value_of(self.into[name]) if given else Value(C.sizeof(Value), 0)

    def __del__(self):
        self.clear()
