"""The runtime's C interface (runtime/attune.h) as ctypes sees it: structs, the table of functions,
statuses as exceptions. `attune.session` stands on it.

The library is what the variable ATTUNE_RUNTIME names, or `libattune_runtime.so.0` where the loader
finds it.
"""

import ctypes as C
import os

CPU, CUDA = 1, 2  # device types


class RuntimeFault(Exception):
    """A call that the runtime refused; `code` is its attune_code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Tensor(C.Structure):
    _fields_ = [
        ("data", C.c_void_p),
        ("device_type", C.c_int32),
        ("device_id", C.c_int32),
        ("ndim", C.c_int32),
        ("dtype", C.c_uint32),
        ("shape", C.POINTER(C.c_int64)),
        ("strides", C.POINTER(C.c_int64)),
        ("byte_offset", C.c_uint64),
    ]


class _Body(C.Union):
    _fields_ = [("tensor", Tensor), ("reserved", C.c_uint64 * 8)]


class Value(C.Structure):
    _anonymous_ = ["body"]
    _fields_ = [("size", C.c_uint32), ("kind", C.c_uint32), ("body", _Body), ("owner", C.c_void_p)]


class Port(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("kind", C.c_uint32),
        ("name", C.c_char_p),
        ("dtype", C.c_uint32),
        ("rank", C.c_int32),
        ("shape", C.POINTER(C.c_int64)),
        ("symbols", C.POINTER(C.c_char_p)),
    ]


class Alias(C.Structure):
    _fields_ = [(n, C.c_uint32) for n in ("size", "input", "output", "axis")]


class Signature(C.Structure):
    _fields_ = [("size", C.c_uint32), ("threads", C.c_uint32)]
    _fields_ += [(n, C.c_char_p) for n in ("model", "compiler", "cpu")]
    _fields_ += [(f"{n}_count", C.c_uint32) for n in ("input", "output", "alias", "kernel", "step")]
    _fields_ += [("reserved", C.c_uint32)]
    _fields_ += [("inputs", C.POINTER(C.POINTER(Port))), ("outputs", C.POINTER(C.POINTER(Port)))]
    _fields_ += [("aliases", C.POINTER(C.POINTER(Alias))), ("kernels", C.c_void_p)]
    _fields_ += [("weights_bytes", C.c_uint64)]


class Options(C.Structure):
    _fields_ = [(n, C.c_uint32) for n in ("size", "threads", "flush_denormals", "copy_strided")]
    _fields_ += [("executor", C.c_void_p), ("device_outputs", C.c_uint32)]
    _fields_ += [("reserved", C.c_uint32)]


class Profile(C.Structure):
    _fields_ = [("size", C.c_uint32), ("step_size", C.c_uint32), ("step_capacity", C.c_uint64)]
    _fields_ += [("steps", C.c_void_p)]
    _fields_ += [(n, C.c_uint64) for n in ("step_count", "total_ns", "arena_bytes")]


class RunArgs(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("reserved", C.c_uint32),
        ("input_names", C.POINTER(C.c_char_p)),
        ("inputs", C.POINTER(Value)),
        ("input_count", C.c_uint64),
        ("output_names", C.POINTER(C.c_char_p)),
        ("outputs", C.POINTER(Value)),
        ("output_count", C.c_uint64),
        ("profile", C.c_void_p),
    ]


_P, _S = C.c_void_p, C.c_char_p


class Api(C.Structure):
    _fields_ = [
        ("size", C.c_uint32),
        ("version", C.c_uint32),
        ("version_text", C.CFUNCTYPE(_S)),
        ("status_code", C.CFUNCTYPE(C.c_int, _P)),
        ("status_message", C.CFUNCTYPE(_S, _P)),
        ("status_free", C.CFUNCTYPE(None, _P)),
        ("session_open", C.CFUNCTYPE(_P, _S, C.POINTER(Options), C.POINTER(_P))),
        ("session_close", C.CFUNCTYPE(None, _P)),
        ("session_signature", C.CFUNCTYPE(C.POINTER(Signature), _P)),
        ("session_run", C.CFUNCTYPE(_P, _P, C.POINTER(RunArgs))),
        ("value_clear", C.CFUNCTYPE(None, C.POINTER(Value))),
    ]


def _load():
    library = C.CDLL(os.environ.get("ATTUNE_RUNTIME") or "libattune_runtime.so.0")
    library.attune_get_api.restype = C.POINTER(Api)
    library.attune_get_api.argtypes = [C.c_uint32]
    return library.attune_get_api(1).contents


_api = None


def api():
    global _api
    _api = _api or _load()
    return _api


def check(status):
    if status:
        code, message = api().status_code(status), api().status_message(status).decode()
        api().status_free(status)
        raise RuntimeFault(code, message)
