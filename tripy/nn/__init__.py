"""Modules: layers with parameters, and containers of layers."""

from tripy.nn.attention import MultiHeadAttention as MultiHeadAttention
from tripy.nn.convolution import Conv as Conv
from tripy.nn.convolution import ConvTranspose as ConvTranspose
from tripy.nn.embedding import Embedding as Embedding
from tripy.nn.linear import Linear as Linear
from tripy.nn.module import Module as Module
from tripy.nn.module import Parameter as Parameter
from tripy.nn.normalization import BatchNorm as BatchNorm
from tripy.nn.normalization import GroupNorm as GroupNorm
from tripy.nn.normalization import InstanceNorm as InstanceNorm
from tripy.nn.normalization import LayerNorm as LayerNorm
from tripy.nn.normalization import RMSNorm as RMSNorm
from tripy.nn.pooling import AvgPool as AvgPool
from tripy.nn.pooling import Identity as Identity
from tripy.nn.pooling import MaxPool as MaxPool
from tripy.nn.sequential import Sequential as Sequential
