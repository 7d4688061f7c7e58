"""Mistakes with attention, normalisations and embeddings."""

from __future__ import annotations

from typing import Any

import tripy as tp
from mistakes import mistake

query = tp.ones((2, 4, 5, 8)).eval()
memory = tp.ones((2, 4, 7, 8)).eval()
attend = tp.scaled_dot_product_attention


@mistake(tp.TripyShapeError, "tp.ones((2, 4, 7, 6))")
def keys_of_another_size() -> Any:
    return attend(query, tp.ones((2, 4, 7, 6)), memory)


@mistake(tp.TripyShapeError, "query")
def values_of_another_length() -> Any:
    return attend(memory, memory, query)


@mistake(tp.TripyShapeError, "tp.ones((8,))")
def one_query() -> Any:
    return attend(tp.ones((8,)), memory, memory)


@mistake(tp.TripyShapeError, "shared")
def shared_heads_without_saying_so() -> Any:
    shared = tp.ones((2, 2, 7, 8))
    return attend(query, shared, shared)


@mistake(tp.TripyShapeError, "shared")
def shared_heads_that_do_not_divide() -> Any:
    shared = tp.ones((2, 3, 7, 8))
    return attend(query, shared, shared, enable_gqa=True)


@mistake(tp.TripyShapeError, "tp.ones((7, 8))")
def shared_heads_without_a_head_dim() -> Any:
    return attend(query, tp.ones((7, 8)), memory, enable_gqa=True)


@mistake(tp.TripyTypeError, "tp.cast(memory, tp.float16)")
def keys_of_another_dtype() -> Any:
    return attend(query, tp.cast(memory, tp.float16), memory)


@mistake(tp.TripyTypeError, "tp.ones((5, 7), tp.int32)")
def attention_mask_of_integers() -> Any:
    return attend(query, memory, memory, tp.ones((5, 7), tp.int32))


@mistake(tp.TripyTypeError, "tp.ones((5, 7), tp.float16)")
def mask_of_another_float() -> Any:
    return attend(query, memory, memory, attn_mask=tp.ones((5, 7), tp.float16))


@mistake(tp.TripyShapeError, "padding")
def mask_of_keys_without_dims_for_heads() -> Any:
    padding = tp.cast(tp.ones((2, 7)), tp.bool)
    return attend(query, memory, memory, padding)


@mistake(tp.TripyShapeError, "tp.ones((1, 2, 4, 5, 7))")
def mask_of_more_dims() -> Any:
    return attend(query, memory, memory, tp.ones((1, 2, 4, 5, 7)))


@mistake(tp.TripyTypeError, '"auto"')
def scale_by_name() -> Any:
    return attend(query, memory, memory, scale="auto")


@mistake(tp.TripyValueError, "5")
def heads_that_do_not_divide() -> Any:
    return tp.MultiHeadAttention(384, num_heads=5)


@mistake(tp.TripyValueError, "4")
def shared_heads_that_do_not_divide_heads() -> Any:
    return tp.MultiHeadAttention(384, 6, num_kv_heads=4)


@mistake(tp.TripyShapeError, "tp.ones((5, 8))")
def sequence_without_a_batch() -> Any:
    return tp.MultiHeadAttention(8, 2)(tp.ones((5, 8)))


@mistake(tp.TripyShapeError, "tp.ones((2, 7, 6))")
def memory_of_another_size() -> Any:
    return tp.MultiHeadAttention(8, 2)(tp.ones((2, 5, 8)), key=tp.ones((2, 7, 6)))


@mistake(tp.TripyTypeError, "tp.ones((2, 7, 8), tp.float16)")
def memory_of_another_dtype() -> Any:
    return tp.MultiHeadAttention(8, 2)(tp.ones((2, 5, 8)), tp.ones((2, 7, 8), tp.float16))


@mistake(tp.TripyShapeError, "tp.ones((3, 7, 8))")
def memory_of_another_batch() -> Any:
    return tp.MultiHeadAttention(8, 2)(tp.ones((2, 5, 8)), tp.ones((3, 7, 8)))


@mistake(tp.TripyShapeError, "tp.ones((2, 6, 8))")
def memory_of_two_lengths() -> Any:
    return tp.MultiHeadAttention(8, 2)(tp.ones((2, 5, 8)), tp.ones((2, 7, 8)), tp.ones((2, 6, 8)))


@mistake(tp.TripyShapeError, "seen")
def mask_of_a_layer_without_dims_for_heads() -> Any:
    seen = tp.cast(tp.ones((2, 5)), tp.bool)
    return tp.MultiHeadAttention(8, 2)(tp.ones((2, 5, 8)), attn_mask=seen)


@mistake(tp.TripyShapeError, "query")
def last_size_that_is_not_normalised() -> Any:
    return tp.LayerNorm(4)(query)


@mistake(tp.TripyShapeError, "tp.ones((8,))")
def fewer_dims_than_are_normalised() -> Any:
    return tp.RMSNorm((5, 8))(tp.ones((8,)))


@mistake(tp.TripyShapeError, "()")
def no_dims_to_normalise() -> Any:
    return tp.LayerNorm(())


@mistake(tp.TripyValueError, "(4, 0)")
def empty_dims_to_normalise() -> Any:
    return tp.LayerNorm((4, 0))


@mistake(tp.TripyTypeError, "8.0")
def float_to_normalise() -> Any:
    return tp.RMSNorm(8.0)


@mistake(tp.TripyValueError, "4")
def groups_that_do_not_divide_channels() -> Any:
    return tp.GroupNorm(4, 6)


@mistake(tp.TripyShapeError, "query")
def other_channels_than_those_of_the_norm() -> Any:
    return tp.GroupNorm(2, 6)(query)


@mistake(tp.TripyShapeError, "tp.ones((2, 4))")
def instances_without_spatial_dims() -> Any:
    return tp.InstanceNorm(4)(tp.ones((2, 4)))


@mistake(tp.TripyTypeError, "tp.ones((2, 4, 3), tp.float16)")
def norm_of_another_dtype() -> Any:
    return tp.InstanceNorm(4)(tp.ones((2, 4, 3), tp.float16))
