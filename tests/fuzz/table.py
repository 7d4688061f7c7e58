"""What programs are made of: one line for each kind of step, or chain of steps.

``weight | operand | step ;\
 step``. The operand ``{x}`` is a float (f), an integer (i), either (n), a
bool (b) or anything (a), of a rank: ``f4``, ``f3-5``, ``a1+``. In a step ``{_}`` is the result of
the step before and ``{0}`` that of the first one; ``{p|q}`` is one of them; all other braces are
rows of ``PLACES`` (places.py, layers.py), which draw a text that fits the operand written last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

ANY_MODE = """
# --- elementwise
6 | f | tp.{relu|relu6|sigmoid|silu|gelu|hardswish|mish|tanh|erf|elu|leaky_relu|softplus}({x})
4 | f | tp.{abs|neg|square|exp|sin|cos|atan|floor|ceil|round|trunc|sign|expm1}({x})
2 | f | tp.{asin|acos|sinh|cosh|tan|cos}(tp.clip({x}, -0.9, 0.9))
2 | f | tp.{sqrt|rsqrt|log|log2|log1p|reciprocal}(tp.abs({x}) + {eps})
1 | f | tp.{sqrt|rsqrt|log|log2|log1p|reciprocal}({x})
1 | f | tp.{elu({x}, alpha=0.5)|leaky_relu({x}, negative_slope=0.2)|softplus({x}, beta=2.0)}
1 | f | tp.gelu({x}, approximate={"tanh"|"none"})
8 | n | {x} {+|-|*} {like}
2 | n | {scalar} {+|-|*} {x}
3 | f | {x} / (tp.abs({like}) + {eps})
2 | i | {x} {//|%} {divisor}
1 | f | {x} {//|%} {divisor}
1 | n | tp.{abs|square|neg|sign}({x})
1 | f | {x} ** {2|3|2.0}
1 | f | (tp.abs({x}) + 0.1) ** {0.5|-0.5|1.5|-1.0}
1 | i | {x} ** {2|3}
2 | i | {x} {&|^} {like}
4 | n | tp.{maximum|minimum}({x}, {like})
1 | f | tp.atan2({x}, {like})
3 | n | tp.clip({x}, {low}, {high})
2 | n | {x} {<|<=|>|>=|==|!=} {like}
2 | b | tp.logical_{and|or|xor}({x}, {like})
1 | b | tp.logical_not({x})
1 | b | {x} {&|^} {like}
1 | f | tp.{isnan|isinf|isfinite}({x})
3 | a | tp.where({mask}, {x}, {like})
2 | n | tp.where({x} {<|>|==} {scalar}, {x}, {like})
2 | b | tp.where({x}, {number}, {number})
1 | b | tp.where({x}, {x}, {like})
2 | a | tp.masked_fill({x}, {mask}, {scalar})
3 | a | tp.cast({x}, {dtype})
1 | a | tp.cast(tp.cast({x}, {dtype}), tp.float32)
# --- reductions and scans
6 | n1+ | tp.{sum|mean|max|min|prod|sum|mean}({x}, {dims}, keepdim={flag})
1 | b1+ | tp.{all|any}({x}, {dims}, keepdim={flag})
1 | f1+ | tp.{all|any}({x} > {scalar}, {dims})
2 | n1+ | tp.{argmax|argmin}({x}, {dim}, keepdim={flag})
1 | f1+ | tp.{logsumexp|var|std}({x}, {dims}, keepdim={flag})
1 | f1+ | tp.var({x}, {dims}, correction=0)
1 | f1+ | tp.norm({x}, {1|2|3}, {dims}, keepdim={flag})
2 | n1+ | tp.{cumsum|cumprod|cumsum}({x}, {dim})
3 | f1+ | tp.{softmax|log_softmax}({x}, {dim})
2 | n1+ | tp.sort({x}, {dim}, descending={flag})
1 | n1+ | tp.argsort({x}, {dim}, descending={flag})
2 | n1+ | tp.topk({x}, {k}, {topdim}, largest={flag}){two}
# --- movement
4 | a1+ | {x}{index}
2 | a2+ | tp.transpose({x}, {dim}, {dim})
2 | a2+ | tp.permute({x}, {perm})
4 | a | tp.reshape({x}, {shape})
1 | a1+ | tp.flatten({x}, {span})
2 | a | tp.unsqueeze({x}, {newdim})
1 | a1+ | tp.squeeze(tp.max({x}, {dim}, keepdim=True), {samedim})
1 | a1+ | tp.squeeze({x})
2 | a | tp.expand({x}, {expand})
2 | a1+ | tp.pad({x}, {pads})
1 | a1+ | tp.pad({x}, {onepads}, {"reflect"|"edge"})
3 | a1+ | tp.concatenate([{x}, {beside}], {samedim})
1 | a1+ | tp.concatenate([{x}, {x}], {dim})
1 | a | tp.stack([{x}, {same}], {newdim})
2 | a1+ | tp.split({x}, {parts}, {samedim})
1 | a1+ | tp.repeat({x}, {1|2|3}, {dim})
1 | a1+ | tp.tile({x}, {reps})
1 | a1+ | tp.flip({x}, {dims})
1 | a1+ | tp.roll({x}, {-1|1|2|5}, {dim})
1 | a2+ | tp.{tril|triu}({x}, {-1|0|1})
1 | n1-2 | tp.diag({x}, {-1|0|1})
1 | a4 | tp.pixel_shuffle({x}, {1|2})
1 | a1 | tp.meshgrid({x}, {vector}){two}
1 | a1+ | tp.unsqueeze({x}, {newdim}) ; tp.squeeze({_}, {ones})
# --- indices
2 | a1+ | tp.gather({x}, {dim}, {indices})
2 | a1+ | tp.take_along_dim({x}, {dim}, {places})
1 | n1+ | tp.argsort({x}, {dim}) ; tp.take_along_dim({x}, {dim}, {0})
1 | n1+ | tp.argmax({x}, {dim}, keepdim=True) ; tp.take_along_dim({x}, {dim}, {0})
1 | a1+ | tp.scatter({x}, {dim}, {places}, {updates})
1 | n1+ | tp.scatter({x}, {dim}, {places}, {updates}, {"add"|"max"|"min"|"mul"})
1 | i | tp.one_hot({x} % 5, 5, dtype={dtype})
1 | i | filled({seed}, tp.Embedding(5, {width}))({x} % 5)
1 | a | {x} + tp.{ones_like|zeros_like|iota_like}({x})
1 | n1+ | tp.iota({x}.shape, {dim}, dtype={owndtype}) {+|*} {x}
1 | a1+ | tp.arange({x}.shape[{dim}], dtype={dtype})
1 | a1+ | tp.full({x}.shape, {number}, dtype={dtype})
1 | f2 | {x} @ tp.eye({x}.shape[1], {width}, dtype={owndtype})
1 | n | {x} + tp.{full_like({x}, 2)|zeros({x}.shape, dtype={owndtype})|full_like({x}, 1)}
1 | n1+ | {x} {*|+|-} {x}.shape[{dim}]
1 | f | tp.where(tp.random.uniform({x}.shape, seed={seed}) > 0.5, {x}, {like})
1 | f | {x} + tp.linspace(-1.0, 1.0, 1) ; {_} * {like}
# --- products
4 | f1+ | tp.matmul({x}, {matrix})
2 | f1+ | {x} @ {matrix}
1 | i1+ | {x} @ {matrix}
1 | f2+ | {x} @ tp.transpose({x}, -1, -2)
2 | f2+ | {x} @ {matrix} ; {_} {+|*} {like} ; tp.{relu|gelu|sigmoid|silu}({_})
5 | f1+ | {linear}({x})
3 | f1+ | {linear}({x}) ; tp.{relu|gelu|silu|tanh}({_}) ; {linear}({_})
1 | f1 | tp.outer({x}, {vector})
1 | f2 | tp.einsum("ij,jk->ik", {x}, {matrix})
1 | f3 | tp.einsum("{bij->bji|bij->bi|bij->ij|bij->b}", {x})
1 | f3 | tp.einsum("{bij,bkj->bik|bij,bij->bi|bij,bij->bij|bij,bij->}", {x}, {same})
1 | f3 | tp.einsum("bij,jk->bik", {x}, {matrix})
1 | f4 | tp.einsum("{bhqd,bhkd->bhqk|bhqd,bhqd->bhq}", {x}, {same})
# --- convolutions
6 | f3-5 | tp.conv({x}, {kernel})
5 | f3-5 | {conv}({x})
4 | f3-5 | {conv}({x}) ; tp.{relu|relu6|silu|hardswish|gelu|sigmoid|elu}({_})
3 | f3-5 | {conv}({x}) ; {_} {+|*} {like} ; tp.{relu|tanh}({_})
3 | f3-5 | {sameconv}({x}) ; {_} + {x} ; tp.relu({_})
2 | f3-5 | {sameconv}({x}) ; {batchnorm}({_}) ; tp.{relu|silu}({_}) ; {sameconv}({_}) ; {_} + {x}
2 | f3-5 | {sameconv}({x}) ; {_} * tp.sigmoid({_})
2 | f3-5 | {sameconv}({x}) ; tp.mean({_}, {spatial}, keepdim=True) ; tp.sigmoid({_}) ; {0} * {_}
1 | f3-5 | {sameconv}({x}) ; {sameconv}({x}) ; tp.{relu|tanh}({0} + {1})
3 | f3-5 | {convt}({x})
1 | f3-5 | {convt}({x}) ; tp.relu({_}) ; {conv}({_})
1 | f3-5 | tp.conv_transpose({x}, {kernelt})
4 | f3-5 | tp.{maxpool|avgpool}({x}, {window})
1 | f3-5 | tp.avgpool({x}, {window}, count_include_pad=False)
1 | f3-5 | tp.{maxpool|avgpool}({x}, {window}, ceil_mode=True)
1 | f3-5 | tp.adaptive_avgpool({x}, {outsizes})
1 | f3-5 | {conv}({x}) ; tp.{maxpool|avgpool}({_}, {window})
2 | f3-5 | tp.resize({x}, scales={scales}, mode={"nearest"|"linear"})
1 | f4 | tp.resize({x}, scales={scales}, mode={"linear"|"cubic"}, align_corners={flag})
# --- normalisation
3 | f2+ | {layernorm}({x})
2 | f2+ | {rmsnorm}({x})
2 | f3+ | {groupnorm}({x})
2 | f3+ | {instancenorm}({x})
2 | f2+ | {batchnorm}({x})
2 | f1+ | tp.mean({x}, {-1|-1|0}, keepdim=True) ; {x} - {_} ;\
 tp.mean({_} * {_}, -1, keepdim=True) ;\
 {1} * tp.rsqrt({_} + 1e-5) ; {_} * {like} ; {_} + {like}
2 | f1+ | tp.mean({x} * {x}, -1, keepdim=True) ; {x} {/ tp.sqrt(|* tp.rsqrt(}{_} + {small}) ;\
 {_} * {like}
1 | f1+ | tp.max({x}, -1, keepdim=True) ; tp.exp({x} - {_}) ; {_} / tp.sum({_}, -1, keepdim=True)
3 | f2+ | tp.{sum|mean|max}({x}, {-1|-2}, keepdim={flag}) ; {_} {+|*} {like} ; {_} {+|*} {like}
1 | f2+ | tp.{sum|mean|max|min}({x} * {like}, {dims}) ; {_} {+|*|-} {like}
1 | f1+ | {x} * {small} * (tp.erf({x} * {small}) + {small})
1 | f1+ | tp.minimum(tp.maximum({x}, {small}), {small})
1 | f1+ | tp.maximum({x}, {x} * {small})
# --- attention
3 | f2-4 | tp.scaled_dot_product_attention({x}, {keys}, {keys})
2 | f2-4 | tp.scaled_dot_product_attention({x}, {keys}, {keys}, is_causal={flag})
2 | f2-4 | tp.scaled_dot_product_attention({x}, {keys}, {keys}, attn_mask={attnmask})
1 | f2-4 | tp.scaled_dot_product_attention({x}, {x}, {x}) ; {_} + {x}
1 | f4 | tp.scaled_dot_product_attention({x}, {gqa}, {gqa}, enable_gqa=True)
2 | f2-4 | {x} @ tp.transpose({same}, -1, -2) ; {_} * 0.3 ; tp.softmax({_}, -1) ; {_} @ {values}
1 | f2-4 | {x} @ tp.transpose({keys}, -1, -2) ; tp.softmax({_} + {attnbias}, -1) ; {_} @ {lastkeys}
1 | f2-3 | {attention}({x})
# --- sizes that vanish, slices before what looks at whole dims
1 | f1+ | {x}{cut} ; tp.{sort|cumsum|softmax|cumprod}({_}, {dim})
1 | n1+ | {x}{cut} ; tp.topk({_}, 1, {dim}){two}
1 | f3-5 | {x}{cut} ; tp.{maxpool|avgpool}({_}, {window})
1 | f3-5 | {x}{cut} ; tp.conv({_}, {kernel})
1 | f2+ | {x}{cut} ; tp.{sum|mean|max}({_}, {dims}, keepdim={flag}) ; {_} {+|*} {like}
"""

QUANTIZED = """
5 | f | tp.quantize({x}, {scale}, tp.int8) ; tp.dequantize({_}, {scale}, tp.float32)
2 | f | tp.dequantize(tp.quantize({x}, {scale}, tp.int8), {samescale}, tp.float32)
2 | f2+ | tp.dequantize(tp.quantize({x}, {scales8}, tp.int8, {samedim}), {samescale},\
 tp.float32, {samedim})
8 | f1+ | {qlinear}({x})
3 | f1+ | {qlinear}({x}) ; tp.{relu|gelu|silu|tanh|relu6}({_}) ; {qlinear}({_})
2 | f1+ | {qlinear}({x}) ; {_} {+|*} {like}
2 | f2-4 | {qlinear}({x}) ;\
 tp.{softmax({_}, -1)|max({_}, -1)|sum({_}, {dim})|transpose({_}, -1, -2)}
8 | f3-5 | {qconv}({x})
4 | f3-5 | {qconv}({x}) ; tp.{relu({_})|relu6({_})|silu({_})|sigmoid({_})|clip({_}, 0.0, 3.0)} ;\
 {qconv}({_})
4 | f3-5 | {qsameconv}({x}) ; {_} + {x} ; tp.relu({_})
2 | f3-5 | {qsameconv}({x}) ; {qsameconv}({x}) ; tp.{relu|tanh}({0} + {1})
2 | f3-5 | {qsameconv}({x}) ; tp.relu({_}) ; {0} + {_}
2 | f3-5 | {qconv}({x}) ; tp.{maxpool|avgpool}({_}, {window})
2 | f3-5 | {qconv}({x}) ; tp.mean({_}, {spatial}, keepdim={flag}) ; {qlinear}({_})
2 | f2-4 | tp.dequantize(tp.quantize({x}, 0.05, tp.int8), 0.05, tp.float32) ;\
 tp.dequantize(tp.quantize({same}, 0.05, tp.int8), 0.05, tp.float32) ;\
 {0} @ tp.transpose({0}, -1, -2)
2 | a | tp.cast(tp.quantize(tp.cast({x}, tp.float32), {scale}, tp.int8), {dtype})
"""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    weight: float
    kind: str
    ranks: range
    steps: tuple[str, ...]


def _ranks(text: str) -> range:
    if not text:
        return range(6)
    low = int(text[0])
    return range(low, 6 if text.endswith("+") else int(text[-1]) + 1)


def _row(line: str) -> Row:
    weight, operand, steps = (part.strip() for part in re.split(r" \| ", line, maxsplit=2))
    parts = tuple(step.strip() for step in steps.split(" ; "))
    return Row(float(weight), operand[0], _ranks(operand[1:]), parts)


@cache
def rows(quantized: bool) -> tuple[Row, ...]:
    """The table of a mode; in a quantized one a third of the steps are quantized."""
    made = []
    for text, factor in [(ANY_MODE, 1.0), (QUANTIZED, 2.5 if quantized else 0.05)]:
        lines = text.replace("\\\n", "").strip().splitlines()
        found = [_row(line) for line in lines if not line.startswith("#")]
        made += [Row(row.weight * factor, row.kind, row.ranks, row.steps) for row in found]
    return tuple(made)
