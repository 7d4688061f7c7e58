"""Places of the table for convolutions, layers, attention and quantization."""

from __future__ import annotations

from .draw import CHANNELS, FLOATS, SIZES, Draw, Var
from .places import PLACES, dim, needs, place

__all__ = ["PLACES"]

# --- convolutions and windows ----------------------------------------------------------------


def _kernel_dims(draw: Draw, v: Var) -> tuple[int, ...]:
    sizes = []
    for n, fixed in zip(v.shape[2:], v.fixed[2:]):
        wanted = n if fixed and draw.chance(0.2) else draw.pick((1, 1, 2, 3, 3, 3, 5))
        sizes.append(max(1, min(wanted, n if fixed else 3, 7 if v.rank < 5 else 3)))
    return tuple(sizes)


def _groups(draw: Draw, channels: int) -> int:
    if draw.chance(0.6):
        return 1
    return int(draw.pick([g for g in (2, 3, 4, channels, channels) if channels % g == 0] or [1]))


def _each(draw: Draw, v: Var, values: tuple[int, ...]) -> str:
    numbers = tuple(draw.pick(values) for _ in v.shape[2:])
    return str(numbers[0] if draw.chance(0.5) else numbers)


def _padding(draw: Draw, v: Var, kernel: tuple[int, ...]) -> str:
    way = draw.rng.random()
    if way < 0.3:
        return str(tuple(n // 2 for n in kernel))
    if way < 0.5:
        return str(tuple((draw.pick((0, 1)), draw.pick((0, 1, 2))) for _ in kernel))
    return "0"


def _window_options(draw: Draw, v: Var, kernel: tuple[int, ...], spread: bool = True) -> str:
    text = f", padding={_padding(draw, v, kernel)}" if draw.chance(0.6) else ""
    text += f", stride={_each(draw, v, (1, 2, 2, 3, 4))}" if draw.chance(0.4) else ""
    return text + (f", dilation={_each(draw, v, (1, 2))}" if spread and draw.chance(0.15) else "")


@place
def kernel(draw: Draw) -> str:
    v = draw.current
    needs(v.rank > 2 and v.fixed[1] and v.shape[1])
    groups, dims = _groups(draw, v.shape[1]), _kernel_dims(draw, v)
    out = groups * draw.pick((1, 1, 2, 4, 8))
    weight = draw.constant((out, v.shape[1] // groups, *dims), v.dtype, "weight")
    text = weight + (f", {draw.constant((out,), v.dtype)}" if draw.chance(0.5) else "")
    return text + (f", groups={groups}" if groups > 1 else "") + _window_options(draw, v, dims)


@place
def kernelt(draw: Draw) -> str:
    v = _checked(draw)
    groups, dims = _groups(draw, v.shape[1]), _kernel_dims(draw, v)
    weight = draw.constant((v.shape[1], draw.pick((1, 2, 4)), *dims), v.dtype, "weight")
    text = f"{weight}, groups={groups}" if groups > 1 else weight
    return text + _window_options(draw, v, dims)


def _conv(draw: Draw, layer: str, out: int, options: str, dims: tuple[int, ...]) -> str:
    v = draw.current
    bias = "" if draw.chance(0.7) else ", bias=False"
    kind = "" if v.dtype == "float32" else f", dtype=tp.{v.dtype}"
    return f"tp.{layer}({v.shape[1]}, {out}, {dims}{options}{bias}{kind}"


def _checked(draw: Draw) -> Var:
    v = draw.current
    needs(v.rank > 2 and v.fixed[1] and v.shape[1] and v.dtype in FLOATS)
    return v


def _conv_text(draw: Draw, keeps: bool = False) -> str:
    v = _checked(draw)
    groups, dims = _groups(draw, v.shape[1]), _kernel_dims(draw, v)
    out = groups * draw.pick((1, 1, 2, 4, 8))
    options = f", groups={groups}" if groups > 1 else ""
    if keeps:
        dims = tuple(n - (n % 2 == 0) for n in dims)
        out, options = v.shape[1], options + f", padding={tuple(n // 2 for n in dims)}"
    else:
        options += _window_options(draw, v, dims)
    return _conv(draw, "Conv", out, options, dims)


@place
def conv(draw: Draw) -> str:
    return draw.module(f"filled({draw.seed()}, {_conv_text(draw)}))")


@place
def sameconv(draw: Draw) -> str:
    return draw.module(f"filled({draw.seed()}, {_conv_text(draw, keeps=True)}))")


@place
def convt(draw: Draw) -> str:
    v = _checked(draw)
    groups, dims = _groups(draw, v.shape[1]), _kernel_dims(draw, v)
    options = f", groups={groups}" if groups > 1 else ""
    options += _window_options(draw, v, dims)
    code = _conv(draw, "ConvTranspose", groups * draw.pick((1, 2, 4)), options, dims)
    return draw.module(f"filled({draw.seed()}, {code}))")


@place
def window(draw: Draw) -> str:
    v = draw.current
    needs(v.rank > 2)
    dims = _kernel_dims(draw, v)
    return f"{dims}{_window_options(draw, v, dims, spread=False)}"


@place
def outsizes(draw: Draw) -> str:
    return str(tuple(draw.pick((1, 1, 2, 3)) for _ in draw.current.shape[2:]))


@place
def scales(draw: Draw) -> str:
    needs(draw.current.rank > 2)
    factors = [draw.pick((1, 2, 2, 0.5, 1.5)) for _ in draw.current.shape[2:]]
    return str((1, 1, *factors))


# --- layers ----------------------------------------------------------------------------------


def _kind(v: Var) -> str:
    return "" if v.dtype == "float32" else f", dtype=tp.{v.dtype}"


def _layer(draw: Draw, code: str) -> str:
    v = draw.current
    needs(v.dtype in FLOATS)
    return draw.module(f"filled({draw.seed()}, tp.{code}{_kind(v)}))")


@place
def linear(draw: Draw) -> str:
    v = draw.current
    needs(v.rank and v.fixed[-1] and v.shape[-1])
    bias = "" if draw.chance(0.7) else ", bias=False"
    return _layer(draw, f"Linear({v.shape[-1]}, {draw.pick(SIZES)}{bias}")


@place
def layernorm(draw: Draw) -> str:
    v, count = draw.current, draw.pick((1, 1, 1, 2))
    needs(v.rank >= count and all(v.fixed[-count:]) and all(v.shape[-count:]))
    return _layer(draw, f"LayerNorm({v.shape[-count:]}")


@place
def rmsnorm(draw: Draw) -> str:
    v = draw.current
    needs(v.rank and v.fixed[-1] and v.shape[-1])
    return _layer(draw, f"RMSNorm({v.shape[-1]}")


def _channels(draw: Draw) -> int:
    v = draw.current
    needs(v.rank > 1 and v.fixed[1] and v.shape[1])
    return v.shape[1]


@place
def groupnorm(draw: Draw) -> str:
    count = _channels(draw)
    groups = draw.pick([g for g in (1, 2, 3, 4, count) if count % g == 0])
    return _layer(draw, f"GroupNorm({groups}, {count}")


@place
def instancenorm(draw: Draw) -> str:
    return _layer(draw, f"InstanceNorm({_channels(draw)}")


@place
def batchnorm(draw: Draw) -> str:
    return _layer(draw, f"BatchNorm({_channels(draw)}")


# --- attention -------------------------------------------------------------------------------


@place
def keys(draw: Draw) -> str:
    """Keys or values for queries: other results, or constants of another length."""
    v = draw.current
    needs(v.rank > 1)
    found = [
        o for o in draw.vars if o.dtype == v.dtype and o.rank > 1 and o.shape[-1] == v.shape[-1]
    ]
    if (found and draw.chance(0.6)) or not v.fixed[-1]:
        name = str(draw.pick(found).name)
    elif "keys" in draw.notes:
        return draw.notes["keys"]
    else:
        lead = v.static[:-2] if draw.chance(0.7) else ()
        name = draw.constant((*lead, draw.pick(SIZES), v.shape[-1]), v.dtype)
    draw.notes["keys"] = name
    return name


@place
def lastkeys(draw: Draw) -> str:
    return draw.notes["keys"]


@place
def values(draw: Draw) -> str:
    """A second operand of a product whose rows are as many as the columns before."""
    v = draw.current
    found = [
        o for o in draw.vars if o.rank > 1 and o.shape[-2] == v.shape[-1] and o.dtype == v.dtype
    ]
    if (found and draw.chance(0.6)) or not v.fixed[-1]:
        return str(draw.pick(found or [v]).name)
    return draw.constant((v.shape[-1], draw.pick(SIZES)), v.dtype)


def _length(draw: Draw) -> tuple[int, int]:
    found = [v for v in draw.vars if v.name == draw.notes["keys"]]
    assert draw.main is not None
    needs(found and found[0].fixed[-2] and draw.main.fixed[-2])
    return draw.main.shape[-2], found[0].shape[-2]


@place
def attnmask(draw: Draw) -> str:
    queries, length = _length(draw)
    kind = draw.pick(("bool", draw.current.dtype))
    sizes = draw.pick(((queries, length), (length,), (1, length)))
    return draw.constant(sizes, kind, "bits" if kind == "bool" else "normal")


@place
def attnbias(draw: Draw) -> str:
    v = draw.current
    return draw.constant(draw.pick((v.static[-2:], v.static[-1:], (1, *v.static[-1:]))), v.dtype)


@place
def gqa(draw: Draw) -> str:
    v = draw.current
    if "gqa" not in draw.notes:
        needs(all(v.fixed) and all(v.shape))
        heads = draw.pick([h for h in (1, 2, v.shape[1]) if v.shape[1] % h == 0])
        sizes = (v.shape[0], heads, draw.pick(SIZES), v.shape[3])
        draw.notes["gqa"] = draw.constant(sizes, v.dtype)
    return draw.notes["gqa"]


@place
def attention(draw: Draw) -> str:
    v = draw.current
    needs(v.rank > 1 and v.fixed[-1] and v.shape[-1])
    heads = draw.pick([h for h in (1, 2, 4) if v.shape[-1] % h == 0])
    return _layer(draw, f"MultiHeadAttention({v.shape[-1]}, {heads}")


# --- quantization ----------------------------------------------------------------------------


@place
def scale(draw: Draw) -> str:
    draw.notes["scale"] = str(draw.pick((0.05, 0.02, 0.03125, 0.1, 0.5)))
    return draw.notes["scale"]


@place
def samescale(draw: Draw) -> str:
    return draw.notes["scale"]


@place
def scales8(draw: Draw) -> str:
    """A scale per element of a dim."""
    v = draw.current
    at = int(dim(draw)) % v.rank
    needs(v.fixed[at] and v.shape[at])
    draw.notes["scale"] = draw.constant((v.shape[at],), "float32", "positive") + " / 40.0"
    return draw.notes["scale"]


def _quantized(draw: Draw, code: str) -> str:
    needs(draw.current.dtype == "float32")
    dim = draw.pick(("", ", weight_quant_dim=0", ", weight_quant_dim=0"))
    kind = draw.pick(("int8",) * 9 + ("int4",))
    limit = draw.pick(("0.05", "0.02", "0.03125", "0.1"))
    scale = f", {limit}" if kind == "int8" and draw.chance(0.9) else ""
    options = f"quant_dtype=tp.{kind}{dim}){scale}"
    return draw.module(f"filled({draw.seed()}, {code}, {options})")


@place
def qlinear(draw: Draw) -> str:
    v = draw.current
    needs(v.rank and v.fixed[-1] and v.shape[-1])
    bias = draw.pick(("", ", bias=False"))
    return _quantized(draw, f"tp.Linear({v.shape[-1]}, {draw.pick(CHANNELS)}{bias}")


@place
def qconv(draw: Draw) -> str:
    return _quantized(draw, _conv_text(draw))


@place
def qsameconv(draw: Draw) -> str:
    return _quantized(draw, _conv_text(draw, keeps=True))
