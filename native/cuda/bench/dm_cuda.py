# SPDX-License-Identifier: Apache-2.0
"""The C table of the device library (include/dm_cuda.h) over torch tensors: ops read and write their memory."""

import ctypes
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_int32, c_uint32, c_uint64, c_void_p

ABI = 2


class Buffer(ctypes.Structure):
    _fields_ = [('data', c_void_p), ('bytes', c_uint64)]


class Device(ctypes.Structure):
    _fields_ = [
        ('struct_size', c_uint32), ('index', c_int32), ('name', c_char * 256), ('major', c_int32), ('minor', c_int32),
        ('multiprocessors', c_int32), ('driver', c_int32), ('runtime', c_int32), ('total_bytes', c_uint64), ('free_bytes', c_uint64),
    ]  # fmt: skip


class Memory(ctypes.Structure):
    _fields_ = [('struct_size', c_uint32), *[(name, c_uint64) for name in ('in_use', 'cached', 'peak', 'workspace', 'staging')]]


def _call(*arguments):
    return ctypes.CFUNCTYPE(c_int32, *arguments)


class Api(ctypes.Structure):
    _fields_ = [
        ('struct_size', c_uint32),
        ('abi', c_uint32),
        ('device_count', _call(POINTER(c_int32))),
        ('create', _call(c_int32, POINTER(c_void_p))),
        ('destroy', ctypes.CFUNCTYPE(None, c_void_p)),
        ('message', ctypes.CFUNCTYPE(c_char_p, c_void_p)),
        ('describe', _call(c_void_p, POINTER(Device))),
        ('allocate', _call(c_void_p, c_uint64, POINTER(Buffer))),
        ('release', _call(c_void_p, Buffer)),
        ('upload', _call(c_void_p, Buffer, c_void_p, c_uint64)),
        ('download', _call(c_void_p, c_void_p, Buffer, c_uint64)),
        ('synchronize', _call(c_void_p)),
        ('stream', ctypes.CFUNCTYPE(c_void_p, c_void_p)),
        ('find', _call(c_char_p)),
        ('op_count', _call()),
        ('op_name', ctypes.CFUNCTYPE(c_char_p, c_int32)),
        ('run', _call(c_void_p, c_int32, POINTER(Buffer), c_uint64, POINTER(c_double), c_uint64)),
        ('memory', _call(c_void_p, POINTER(Memory))),
        ('trim', _call(c_void_p)),
        ('stage', _call(c_void_p, c_uint64, POINTER(c_void_p))),
        ('unstage', _call(c_void_p, c_void_p)),
        ('upload_staged', _call(c_void_p, Buffer, c_void_p, c_uint64)),
        ('fetch', _call(c_void_p, Buffer, c_uint64, POINTER(c_void_p))),
        ('fetch_wait', _call(c_void_p, c_void_p)),
        ('fetch_end', ctypes.CFUNCTYPE(None, c_void_p, c_void_p)),
        ('time_begin', _call(c_void_p)),
        ('time_end', _call(c_void_p, POINTER(c_double))),
        ('range_push', _call(c_void_p, c_char_p)),
        ('range_pop', _call(c_void_p)),
        ('capture_begin', _call(c_void_p)),
        ('capture_end', _call(c_void_p, POINTER(c_void_p))),
        ('replay', _call(c_void_p, c_void_p)),
        ('graph_destroy', ctypes.CFUNCTYPE(None, c_void_p, c_void_p)),
    ]


class Library:
    """One context on device 0."""

    def __init__(self, path):
        library = ctypes.CDLL(str(path))
        library.dm_cuda_get_api.restype = POINTER(Api)
        library.dm_cuda_get_api.argtypes = [c_uint32]
        api = library.dm_cuda_get_api(ABI)
        if not api or api.contents.struct_size != ctypes.sizeof(Api):
            raise RuntimeError(f'{path}: expected the C table of ABI {ABI}, got another')
        self.api = api.contents
        self.context = c_void_p()
        self._check(self.api.create(0, byref(self.context)), None)

    def _check(self, status, context):
        if status != 0:
            raise RuntimeError(self.api.message(context).decode())

    def describe(self):
        device = Device(struct_size=ctypes.sizeof(Device))
        self._check(self.api.describe(self.context, byref(device)), self.context)
        names = [name for name, _ in Device._fields_ if name not in ('struct_size', 'name')]
        return {'name': device.name.decode(), **{name: getattr(device, name) for name in names}}

    def has(self, op):
        return self.api.find(op.encode()) >= 0

    def stream(self):
        return self.api.stream(self.context)

    def synchronize(self):
        self._check(self.api.synchronize(self.context), self.context)

    def trim(self):
        self._check(self.api.trim(self.context), self.context)

    def prepare(self, op, tensors, numbers):
        """A call that may be repeated. The tensors are contiguous and kept alive; None is a buffer of no bytes."""
        number = self.api.find(op.encode())
        if number < 0:
            raise KeyError(op)
        for tensor in tensors:
            assert tensor is None or tensor.is_contiguous(), op
        buffers = (Buffer * len(tensors))(
            *[Buffer(None, 0) if t is None else Buffer(t.data_ptr(), t.numel() * t.element_size()) for t in tensors]
        )
        values = (c_double * len(numbers))(*numbers)

        def call(kept=tuple(tensors)):
            self._check(self.api.run(self.context, number, buffers, len(tensors), values, len(numbers)), self.context)
            return kept

        return call
