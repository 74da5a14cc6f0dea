"""Tensors on the device of the driver that ATTUNE_CUDA_DRIVER names, for sessions of the tests."""

import copy
import ctypes as C
import os

import numpy as np
from attune_ctypes import CODES, DTYPES, Tensor, Value

CUDA = 2


class Driver:
    def __init__(self):
        self.library = C.CDLL(os.environ.get("ATTUNE_CUDA_DRIVER") or "libcuda.so.1")
        self("cuInit", C.c_uint(0))
        context = C.c_void_p()
        self("cuDevicePrimaryCtxRetain", C.byref(context), C.c_int(0))
        self("cuCtxSetCurrent", context)

    def __call__(self, function, *arguments):
        code = getattr(self.library, function)(*arguments)
        assert code == 0, f"{function}: {code}"


_driver = None


def driver():
    global _driver
    _driver = _driver or Driver()
    return _driver


class DeviceArray:
    """What a session takes like an array; `offset` bytes behind what the driver allocates."""

    def __init__(self, array, offset=0, device=0):
        self.shape, self.dtype, self.nbytes = array.shape, array.dtype, array.nbytes
        self.offset, self.device, self.strides = offset, device, None
        self.whole = None  # that owns the memory
        self.memory = C.c_uint64()
        driver()("cuMemAlloc_v2", C.byref(self.memory), C.c_size_t(offset + max(array.nbytes, 1)))
        self.write(array)

    @property
    def address(self):
        return self.memory.value + self.offset

    def write(self, array):
        data = np.ascontiguousarray(array)
        if self.nbytes:
            driver()("cuMemcpyHtoD_v2", C.c_uint64(self.address), C.c_void_p(data.ctypes.data),
                     C.c_size_t(self.nbytes))  # fmt: skip

    def read(self):
        array = np.empty(self.shape, self.dtype)
        if self.nbytes:
            driver()("cuMemcpyDtoH_v2", C.c_void_p(array.ctypes.data), C.c_uint64(self.address),
                     C.c_size_t(self.nbytes))  # fmt: skip
        return array

    def front(self, axis, extent):
        """The first elements along an axis, in the same memory."""
        part = copy.copy(self)
        part.whole = self
        part.shape = (*self.shape[:axis], extent, *self.shape[axis + 1 :])
        part.strides = [int(np.prod(self.shape[i + 1 :])) for i in range(len(self.shape))]
        return part

    def attune_value(self):
        numbers = C.c_int64 * max(len(self.shape), 1)
        value = Value(size=C.sizeof(Value), kind=1)
        value.tensor = Tensor(
            self.memory.value, CUDA, self.device, len(self.shape), CODES[self.dtype],
            numbers(*self.shape), self.strides and numbers(*self.strides), self.offset,
        )  # fmt: skip
        return value

    def __del__(self):
        if self.whole is None:
            driver()("cuMemFree_v2", self.memory)


def read_tensor(tensor):
    """A result that the runtime has allocated on the device, as an array."""
    assert (tensor.device_type, tensor.device_id) == (CUDA, 0)
    array = np.empty([tensor.shape[i] for i in range(tensor.ndim)], DTYPES[tensor.dtype])
    if array.nbytes:
        driver()("cuMemcpyDtoH_v2", C.c_void_p(array.ctypes.data), C.c_uint64(tensor.data),
                 C.c_size_t(array.nbytes))  # fmt: skip
    return array


class Calls:
    """How often functions of the interpreter were called inside `with`, by name."""

    NAMES = ["cuLaunchKernel", "cuStreamSynchronize", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2",
             "cuMemcpyDtoDAsync_v2", "cuMemAlloc_v2", "cuMemFree_v2", "cuMemHostAlloc",
             "cuMemsetD32Async", "cuCtxSynchronize"]  # fmt: skip

    def __init__(self):
        count = driver().library.attune_ptx_count
        count.restype = C.c_uint64
        self.count = lambda name: count(f"call:{name}".encode())

    def __enter__(self):
        self.before = {name: self.count(name) for name in self.NAMES}
        return self

    def __exit__(self, *_):
        made = {name: self.count(name) - self.before[name] for name in self.NAMES}
        self.made = {name: count for name, count in made.items() if count}
