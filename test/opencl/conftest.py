"""Kernels run on whatever OpenCL device there is; `make test` installs PoCL, which is one."""

import ctypes

import pytest


def missing():
    """Why no device can be used, or nothing."""
    try:
        cl = ctypes.CDLL("libOpenCL.so.1")
    except OSError as error:
        return str(error)
    count = ctypes.c_uint()
    if cl.clGetPlatformIDs(0, None, ctypes.byref(count)) or not count.value:
        return "OpenCL has no platform"
    return None


def pytest_collection_modifyitems(items):
    if why := missing():
        for item in items:
            if "without_device" not in item.name:
                item.add_marker(pytest.mark.skip(reason=f"no OpenCL device: {why}"))
