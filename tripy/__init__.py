"""Tensor programs that run eagerly while they are debugged and compiled when they are deployed."""

from tripy import onnx as onnx
from tripy import random as random
from tripy import types as types
from tripy.compile import compile as compile
from tripy.config import config as config
from tripy.config import logger as logger
from tripy.devices import device as device
from tripy.devices import devices as devices
from tripy.dtypes import bfloat16 as bfloat16
from tripy.dtypes import bool_ as bool
from tripy.dtypes import dtype as dtype
from tripy.dtypes import float16 as float16
from tripy.dtypes import float32 as float32
from tripy.dtypes import float64 as float64
from tripy.dtypes import float8 as float8
from tripy.dtypes import floating as floating
from tripy.dtypes import int16 as int16
from tripy.dtypes import int32 as int32
from tripy.dtypes import int4 as int4
from tripy.dtypes import int64 as int64
from tripy.dtypes import int8 as int8
from tripy.dtypes import integer as integer
from tripy.dtypes import uint8 as uint8
from tripy.errors import TripyAttributeError as TripyAttributeError
from tripy.errors import TripyCompileError as TripyCompileError
from tripy.errors import TripyDeviceError as TripyDeviceError
from tripy.errors import TripyException as TripyException
from tripy.errors import TripyFileError as TripyFileError
from tripy.errors import TripyFileNotFoundError as TripyFileNotFoundError
from tripy.errors import TripyImportError as TripyImportError
from tripy.errors import TripyIndexError as TripyIndexError
from tripy.errors import TripyKeyError as TripyKeyError
from tripy.errors import TripyMemoryError as TripyMemoryError
from tripy.errors import TripyRuntimeError as TripyRuntimeError
from tripy.errors import TripyShapeError as TripyShapeError
from tripy.errors import TripyStateDictError as TripyStateDictError
from tripy.errors import TripyTypeError as TripyTypeError
from tripy.errors import TripyUnsupportedError as TripyUnsupportedError
from tripy.errors import TripyValueError as TripyValueError
from tripy.evaluate import evaluate as _evaluate
from tripy.executable import Executable as Executable
from tripy.inputs import Bounds as Bounds
from tripy.inputs import DimensionInputInfo as DimensionInputInfo
from tripy.inputs import InputInfo as InputInfo
from tripy.inputs import NamedDimension as NamedDimension
from tripy.interop.safetensors import load_safetensors as load_safetensors
from tripy.interop.safetensors import save_safetensors as save_safetensors
from tripy.interop.state_dict import read_state_dict as _read_state_dict
from tripy.nn import AvgPool as AvgPool
from tripy.nn import BatchNorm as BatchNorm
from tripy.nn import Conv as Conv
from tripy.nn import ConvTranspose as ConvTranspose
from tripy.nn import Embedding as Embedding
from tripy.nn import GroupNorm as GroupNorm
from tripy.nn import Identity as Identity
from tripy.nn import InstanceNorm as InstanceNorm
from tripy.nn import LayerNorm as LayerNorm
from tripy.nn import Linear as Linear
from tripy.nn import MaxPool as MaxPool
from tripy.nn import Module as Module
from tripy.nn import MultiHeadAttention as MultiHeadAttention
from tripy.nn import Parameter as Parameter
from tripy.nn import RMSNorm as RMSNorm
from tripy.nn import Sequential as Sequential
from tripy.ops.activation import elu as elu
from tripy.ops.activation import gelu as gelu
from tripy.ops.activation import hardswish as hardswish
from tripy.ops.activation import leaky_relu as leaky_relu
from tripy.ops.activation import mish as mish
from tripy.ops.activation import relu as relu
from tripy.ops.activation import relu6 as relu6
from tripy.ops.activation import sigmoid as sigmoid
from tripy.ops.activation import silu as silu
from tripy.ops.activation import softplus as softplus
from tripy.ops.attention import scaled_dot_product_attention as scaled_dot_product_attention
from tripy.ops.convolution import conv as conv
from tripy.ops.convolution import conv_transpose as conv_transpose
from tripy.ops.create import arange as arange
from tripy.ops.create import full as full
from tripy.ops.create import full_like as full_like
from tripy.ops.create import iota as iota
from tripy.ops.create import iota_like as iota_like
from tripy.ops.create import ones as ones
from tripy.ops.create import ones_like as ones_like
from tripy.ops.create import zeros as zeros
from tripy.ops.create import zeros_like as zeros_like
from tripy.ops.einsum import einsum as einsum
from tripy.ops.elementwise import cast as cast
from tripy.ops.elementwise import copy as copy
from tripy.ops.elementwise import maximum as maximum
from tripy.ops.elementwise import minimum as minimum
from tripy.ops.elementwise import where as where
from tripy.ops.index import gather as gather
from tripy.ops.index import take_along_dim as take_along_dim
from tripy.ops.joining import concatenate as concatenate
from tripy.ops.joining import pad as pad
from tripy.ops.joining import split as split
from tripy.ops.joining import stack as stack
from tripy.ops.linear import matmul as matmul
from tripy.ops.linear import outer as outer
from tripy.ops.movement import expand as expand
from tripy.ops.movement import flatten as flatten
from tripy.ops.movement import permute as permute
from tripy.ops.movement import reshape as reshape
from tripy.ops.movement import squeeze as squeeze
from tripy.ops.movement import transpose as transpose
from tripy.ops.movement import unsqueeze as unsqueeze
from tripy.ops.order import argsort as argsort
from tripy.ops.order import cumprod as cumprod
from tripy.ops.order import cumsum as cumsum
from tripy.ops.order import nonzero as nonzero
from tripy.ops.order import sort as sort
from tripy.ops.order import topk as topk
from tripy.ops.order import unique as unique
from tripy.ops.patterns import diag as diag
from tripy.ops.patterns import eye as eye
from tripy.ops.patterns import linspace as linspace
from tripy.ops.patterns import meshgrid as meshgrid
from tripy.ops.patterns import one_hot as one_hot
from tripy.ops.patterns import tril as tril
from tripy.ops.patterns import triu as triu
from tripy.ops.plugin import plugin as plugin
from tripy.ops.plugin import register_plugin as register_plugin
from tripy.ops.pooling import adaptive_avgpool as adaptive_avgpool
from tripy.ops.pooling import avgpool as avgpool
from tripy.ops.pooling import maxpool as maxpool
from tripy.ops.quantize import dequantize as dequantize
from tripy.ops.quantize import quantize as quantize
from tripy.ops.rearrange import flip as flip
from tripy.ops.rearrange import pixel_shuffle as pixel_shuffle
from tripy.ops.rearrange import repeat as repeat
from tripy.ops.rearrange import roll as roll
from tripy.ops.rearrange import tile as tile
from tripy.ops.reduce import all as all
from tripy.ops.reduce import allclose as allclose
from tripy.ops.reduce import any as any
from tripy.ops.reduce import argmax as argmax
from tripy.ops.reduce import argmin as argmin
from tripy.ops.reduce import equal as equal
from tripy.ops.reduce import log_softmax as log_softmax
from tripy.ops.reduce import max as max
from tripy.ops.reduce import mean as mean
from tripy.ops.reduce import min as min
from tripy.ops.reduce import prod as prod
from tripy.ops.reduce import softmax as softmax
from tripy.ops.reduce import sum as sum
from tripy.ops.resize import resize as resize
from tripy.ops.rounding import ceil as ceil
from tripy.ops.rounding import floor as floor
from tripy.ops.rounding import isfinite as isfinite
from tripy.ops.rounding import isinf as isinf
from tripy.ops.rounding import isnan as isnan
from tripy.ops.rounding import logical_not as logical_not
from tripy.ops.rounding import round as round
from tripy.ops.rounding import sign as sign
from tripy.ops.rounding import trunc as trunc
from tripy.ops.scatter import scatter as scatter
from tripy.ops.selection import atan2 as atan2
from tripy.ops.selection import clip as clip
from tripy.ops.selection import logical_and as logical_and
from tripy.ops.selection import logical_or as logical_or
from tripy.ops.selection import logical_xor as logical_xor
from tripy.ops.selection import masked_fill as masked_fill
from tripy.ops.statistics import logsumexp as logsumexp
from tripy.ops.statistics import norm as norm
from tripy.ops.statistics import std as std
from tripy.ops.statistics import var as var
from tripy.ops.unary import abs as abs
from tripy.ops.unary import acos as acos
from tripy.ops.unary import asin as asin
from tripy.ops.unary import atan as atan
from tripy.ops.unary import cos as cos
from tripy.ops.unary import cosh as cosh
from tripy.ops.unary import erf as erf
from tripy.ops.unary import exp as exp
from tripy.ops.unary import expm1 as expm1
from tripy.ops.unary import log as log
from tripy.ops.unary import log1p as log1p
from tripy.ops.unary import log2 as log2
from tripy.ops.unary import neg as neg
from tripy.ops.unary import reciprocal as reciprocal
from tripy.ops.unary import rsqrt as rsqrt
from tripy.ops.unary import sin as sin
from tripy.ops.unary import sinh as sinh
from tripy.ops.unary import sqrt as sqrt
from tripy.ops.unary import square as square
from tripy.ops.unary import tan as tan
from tripy.ops.unary import tanh as tanh
from tripy.streams import Stream as Stream
from tripy.streams import default_stream as default_stream
from tripy.tensor import DimensionSize as DimensionSize
from tripy.tensor import Tensor as Tensor

__version__ = "0.1.0"
_SUBMODULES = ("onnx", "random", "types")
__all__ = sorted(
    name
    for name, item in globals().items()
    if not name.startswith("_") and (name in _SUBMODULES or type(item).__name__ != "module")
)
__all__ += ["__version__"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    from tripy.errors import unknown_attribute

    raise unknown_attribute("tripy", name, __all__)
