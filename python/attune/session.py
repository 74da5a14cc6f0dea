"""A compiled model in Python: tensors of any library that speaks DLPack, on the host or the device.

    session = attune.session.Session("model.so")
    outputs = session.run({"x": torch.ones(2, 3, device="cuda")})
    y = torch.from_dlpack(outputs["y"])                 # or numpy.from_dlpack, jax.dlpack.from_dlpack
    session.run({"x": x}, into={"y": mine})             # into a tensor of the caller

Nothing is copied that lies where the kernels run: models compiled with `--target=cuda` read and write
tensors on their device, behind what the device's default stream has been told, and results are there
when `run` returns. Results of such a session stay on the device unless `device_outputs=False`. What
the runtime refuses is a `RuntimeFault` with its message.
"""

import ctypes as C
import os

from .c_api import (
    CUDA, Options, RunArgs, RuntimeFault, Tensor, Value, api, check,
)  # fmt: skip

__all__ = ["Result", "RuntimeFault", "Session"]

_NAME, _USED = b"dltensor", b"used_dltensor"
_DEFAULT_STREAM = 1  # CUDA's, as DLPack's Python protocol numbers it


class _Managed(C.Structure):
    """A DLManagedTensor."""


_Deleter = C.CFUNCTYPE(None, C.POINTER(_Managed))
_Managed._fields_ = [("tensor", Tensor), ("context", C.c_void_p), ("deleter", _Deleter)]

_python = C.pythonapi
_python.PyCapsule_GetPointer.restype = C.c_void_p
_python.PyCapsule_GetPointer.argtypes = [C.py_object, C.c_char_p]
_Destructor = C.CFUNCTYPE(None, C.c_void_p)
_python.PyCapsule_New.restype = C.py_object
_python.PyCapsule_New.argtypes = [C.c_void_p, C.c_char_p, _Destructor]
_is_valid = C.PYFUNCTYPE(C.c_int, C.c_void_p, C.c_char_p)(("PyCapsule_IsValid", _python))
_pointer_of = C.PYFUNCTYPE(C.c_void_p, C.c_void_p, C.c_char_p)(("PyCapsule_GetPointer", _python))

# What consumers still hold, by the address of its _Managed: each with the memory behind it.
_lent = {}


@_Deleter
def _delete(managed):
    _lent.pop(C.addressof(managed.contents), None)


@_Destructor
def _destroy(capsule):
    """Of a capsule that nobody has taken the tensor from."""
    if _is_valid(capsule, _NAME):
        _lent.pop(_pointer_of(capsule, _NAME), None)


class _Memory:
    """Frees what the runtime allocated."""

    def __init__(self, value):
        self._clear, self._place = api().value_clear, C.byref(value)

    def __del__(self):
        self._clear(self._place)


class Result:
    """An output: an exporter of DLPack. It, and tensors made of it, share the memory."""

    def __init__(self, value):
        self._memory, self._tensor = _Memory(value), value.tensor
        self.shape = tuple(value.tensor.shape[i] for i in range(value.tensor.ndim))

    def __dlpack_device__(self):
        return self._tensor.device_type, self._tensor.device_id

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """`stream` needs nothing: the result is there."""
        if dl_device not in (None, self.__dlpack_device__()) or copy:
            raise BufferError("results are not copied, nor moved to another device")
        managed = _Managed(self._tensor, None, _delete)
        address = C.addressof(managed)
        _lent[address] = managed, self._memory
        return _python.PyCapsule_New(address, _NAME, _destroy)


def _exported(tensor):
    """A value of the runtime for a tensor of any library, and what keeps it alive."""
    device, _ = tensor.__dlpack_device__()
    capsule = tensor.__dlpack__(stream=_DEFAULT_STREAM) if device == CUDA else tensor.__dlpack__()
    address = _python.PyCapsule_GetPointer(capsule, _NAME)
    value = Value(size=C.sizeof(Value), kind=1)
    value.tensor = C.cast(address, C.POINTER(_Managed)).contents.tensor
    return value, capsule


class Session:
    """A loaded artifact; several threads may run it at once."""

    _handle = None

    def __init__(self, path, threads=0, flush_denormals=False, device_outputs=True):
        options = Options(C.sizeof(Options), threads, flush_denormals, 1, None, device_outputs)
        handle = C.c_void_p()
        check(api().session_open(os.fsencode(path), C.byref(options), C.byref(handle)))
        self._handle = handle
        signature = api().session_signature(handle).contents
        names = lambda ports, count: [ports[i].contents.name.decode() for i in range(count)]  # noqa: E731
        self.inputs = names(signature.inputs, signature.input_count)
        self.outputs = names(signature.outputs, signature.output_count)

    def run(self, inputs, into=None):
        """Outputs by name: a `Result`, or the tensor of `into` that it was written to."""
        into = into or {}
        if unknown := into.keys() - set(self.outputs):
            raise KeyError(f"there is no output {sorted(unknown)}")
        taken = [_exported(tensor) for tensor in inputs.values()]
        given = {name: _exported(tensor) for name, tensor in into.items()}
        names = (C.c_char_p * max(len(inputs), 1))(*[n.encode() for n in inputs])
        values = (Value * max(len(taken), 1))(*[value for value, _ in taken])
        results = (Value * max(len(self.outputs), 1))(
            *[given[n][0] if n in given else Value(C.sizeof(Value), 0) for n in self.outputs]
        )
        args = RunArgs(
            C.sizeof(RunArgs), 0, names, values, len(taken), None, results, len(self.outputs), None
        )
        check(api().session_run(self._handle, C.byref(args)))
        return {
            name: into[name] if name in into else Result(_copied(results[i]))
            for i, name in enumerate(self.outputs)
        }

    def close(self):
        if self._handle:
            api().session_close(self._handle)
            self._handle = None

    def __del__(self):
        self.close()


def _copied(value):
    """A struct of its own, not a view of an array of them."""
    return Value.from_buffer_copy(value)
