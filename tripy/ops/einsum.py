"""Sums of products that an equation of index letters describes."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tripy import dtypes, errors, shapes
from tripy.ops.create import arange
from tripy.ops.elementwise import cast
from tripy.ops.linear import check_matrix_dtype
from tripy.ops.registry import apply, describe, float_group, same_dtypes
from tripy.shapes import Shape
from tripy.signature import public
from tripy.tensor import Tensor, make_size

_DOTS = "..."
# Stand-ins for the dims of "...", the last one first; no letters of an equation.
_DOT_LETTERS = tuple(map(chr, range(0xE000, 0xE000 + shapes.MAX_RANK)))


class _Term(NamedTuple):
    """A tensor and the letter of each of its dims."""

    tensor: Tensor
    letters: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, shapes.Size]:
        return dict(zip(self.letters, self.tensor._value.shape))


# --- the equation ----------------------------------------------------------------------------


def _malformed(problem: str, equation: str, fix: str) -> errors.TripyValueError:
    return errors.error(
        errors.TripyValueError,
        problem,
        received=errors.brief(equation),
        expected='letters for dims, such as "ij,jk->ik", and ... for broadcast dims',
        fix=fix,
        argument="equation",
    )


def _letters(part: str, equation: str) -> tuple[str, ...]:
    """Split one operand or the output into letters and at most one ``...``."""
    before, dots, after = part.partition(_DOTS)
    found = (*before, *((_DOTS,) if dots else ()), *after)
    for letter in found:
        if not (letter.isascii() and letter.isalpha()) and letter != _DOTS:
            raise _malformed(
                f"{letter!r} cannot stand in {part!r}.",
                equation,
                "write ... once" if letter == "." else "use the letters a … z and A … Z",
            )
    return found


@functools.lru_cache(maxsize=256)
def _parse(equation: str) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Return the letters of every operand and those of the output."""
    sides = equation.replace(" ", "").split("->")
    if len(sides) > 2:
        raise _malformed("-> stands more than once.", equation, "write one -> before the output")
    operands = tuple(_letters(part, equation) for part in sides[0].split(","))
    counts = Counter(letter for letters in operands for letter in letters)
    dots = (_DOTS,) if counts.pop(_DOTS, 0) else ()
    if len(sides) == 1:
        return operands, (*dots, *sorted(letter for letter in counts if counts[letter] == 1))
    output = _letters(sides[1], equation)
    for letter in output:
        if letter not in (*counts, _DOTS):
            raise _malformed(
                f"the output letter {letter!r} is in no operand.",
                equation,
                f"leave {letter!r} out, or name a dim so",
            )
        if output.count(letter) > 1:
            raise _malformed(
                f"the output letter {letter!r} stands twice.", equation, f"write {letter!r} once"
            )
    return operands, output


# --- operands --------------------------------------------------------------------------------


def _misfit(
    problem: str, operands: Sequence[Tensor], expected: str, fix: str, place: int | None
) -> errors.TripyShapeError:
    return errors.error(
        errors.TripyShapeError,
        problem,
        received=" and ".join(describe(operand._value) for operand in operands) or "no operands",
        expected=expected,
        fix=fix,
        argument="equation" if place is None else (1 + place,),
    )


def _with_dots(operand: Tensor, letters: tuple[str, ...], place: int) -> _Term:
    """Give every dim of an operand a letter."""
    named = len(letters) - letters.count(_DOTS)
    unnamed = operand.rank - named
    if unnamed < 0 or (unnamed and _DOTS not in letters):
        more = " or more" if _DOTS in letters else ""
        raise _misfit(
            f"operand {place} has rank {operand.rank}, but {''.join(letters)} names {named} dims.",
            [operand],
            f"rank {named}{more}",
            "name every dim, or write ... for the others" if unnamed > 0 else "leave out letters",
            place,
        )
    at = letters.index(_DOTS) if _DOTS in letters else 0
    dots = _DOT_LETTERS[:unnamed][::-1]
    return _Term(operand, (*letters[:at], *dots, *(c for c in letters[at:] if c != _DOTS)))


def _check_sizes(terms: Sequence[_Term]) -> None:
    """Equal letters are equal sizes; the dims of ``...`` broadcast."""
    first: dict[str, tuple[shapes.Size, int]] = {}
    for place, term in enumerate(terms):
        for letter, size in zip(term.letters, term.tensor._value.shape):
            known, owner = first.setdefault(letter, (size, place))
            if letter in _DOT_LETTERS:
                continue
            if not shapes.holds(known, "==", size, f"the sizes of {letter!r} must be equal"):
                raise _misfit(
                    f"the dim {letter!r} has size {known} and size {size}.",
                    [terms[p].tensor for p in dict.fromkeys((owner, place))],
                    "equal sizes wherever one letter stands",
                    "use another letter, or slice a dim",
                    place,
                )
    dots = [_dotted(term) for term in terms]
    if shapes.broadcast(*dots) is None:
        raise _misfit(
            "the dims of ... do not broadcast.",
            [term.tensor for term in terms],
            "aligned from the last one, sizes that are equal or 1",
            "add dims of size 1 with tp.unsqueeze",
            None,
        )


def _dotted(term: _Term) -> Shape:
    return tuple(size for letter, size in term.sizes.items() if letter in _DOT_LETTERS)


def _check_operands(operands: Sequence[Tensor], equation: str, wanted: int) -> None:
    if len(operands) != wanted:
        raise _misfit(
            f"the equation {equation!r} names {wanted} operands, not {len(operands)}.",
            operands,
            f"{wanted} operands",
            "separate the operands of the equation by commas",
            None,
        )
    for place, operand in enumerate(operands):
        check_matrix_dtype(operand, (1 + place,))
    same_dtypes([t._value for t in operands], [(1 + i,) for i in range(len(operands))])


# --- steps -----------------------------------------------------------------------------------


def _reordered(term: _Term, letters: Sequence[str]) -> Tensor:
    """Permute the dims of a term; it has just these letters."""
    perm = tuple(term.letters.index(letter) for letter in letters)
    if perm == tuple(range(len(perm))):
        return term.tensor
    return apply("permute", term.tensor, perm=perm)


def _shaped(tensor: Tensor, shape: Sequence[shapes.Size]) -> Tensor:
    return tensor if tensor._value.shape == (*shape,) else apply("reshape", tensor, shape=(*shape,))


def _diagonal(term: _Term) -> _Term:
    """Keep one dim of every letter: the elements where its indices are equal."""
    for letter in dict.fromkeys(term.letters):
        while term.letters.count(letter) > 1:
            first = term.letters.index(letter)
            second = term.letters.index(letter, first + 1)
            rest = [dim for dim in range(len(term.letters)) if dim not in (first, second)]
            moved = apply("permute", term.tensor, perm=(first, second, *rest))
            size, _, *others = moved._value.shape
            flat = apply("reshape", moved, shape=(size * size, *others))
            places = arange(make_size(size), dtype=dtypes.int32) * (make_size(size) + 1)
            kept = (letter, *(term.letters[dim] for dim in rest))
            term = _Term(apply("gather", flat, places, dim=0), kept)
    return term


def _summed(term: _Term, needed: set[str]) -> _Term:
    """Sum over the letters that nothing else needs."""
    dims = tuple(dim for dim, letter in enumerate(term.letters) if letter not in needed)
    if not dims:
        return term
    kept = tuple(letter for letter in term.letters if letter in needed)
    return _Term(apply("sum", term.tensor, dims=dims, keepdim=False), kept)


def _multiplied(left: _Term, right: _Term, order: Sequence[str]) -> _Term:
    """Products of elements, with dims in a wanted order where that is known."""
    union = dict.fromkeys((*left.letters, *right.letters))
    letters = tuple(letter for letter in order if letter in union) if order else tuple(union)
    factors = []
    for term in (left, right):
        own = [letter for letter in letters if letter in term.letters]
        shape = [term.sizes.get(letter, 1) for letter in letters]
        factors.append(_shaped(_reordered(term, own), shape))
    return _Term(factors[0] * factors[1], letters)


def _contracted(left: _Term, right: _Term, needed: set[str]) -> _Term:
    """One matrix product: common letters that stay are batch dims, the others are summed."""
    common = [letter for letter in left.letters if letter in right.letters]
    batch = [letter for letter in common if letter in needed]
    summed = [letter for letter in common if letter not in needed]
    rows = [letter for letter in left.letters if letter not in common]
    columns = [letter for letter in right.letters if letter not in common]
    heights, width = (
        [term.sizes[letter] for letter in own] for term, own in ((left, rows), (right, columns))
    )
    depth = [left.sizes[letter] for letter in summed]
    # Without batch dims, rows need not be merged: leading dims of the left operand are free.
    height = [shapes.product(heights)] if batch or not rows else heights
    first = _shaped(
        _reordered(left, (*batch, *rows, *summed)),
        (*(left.sizes[letter] for letter in batch), *height, shapes.product(depth)),
    )
    second = _shaped(
        _reordered(right, (*batch, *summed, *columns)),
        (*(right.sizes[letter] for letter in batch), shapes.product(depth), shapes.product(width)),
    )
    result = apply("matmul", first, second)
    leading = result._value.shape[: len(batch)]
    return _Term(_shaped(result, (*leading, *heights, *width)), (*batch, *rows, *columns))


def _combined(left: _Term, right: _Term, needed: set[str], order: Sequence[str]) -> _Term:
    common = set(left.letters) & set(right.letters)
    return _contracted(left, right, needed) if common - needed else _multiplied(left, right, order)


def _widened(terms: list[_Term], shared: set[str]) -> list[_Term]:
    """Halves in float32 where more than one step would round."""
    sums = sum(not shared.issuperset(term.letters) for term in terms)
    if sums + len(terms) <= 2 or not float_group(terms[0].tensor.dtype):
        return terms
    return [_Term(cast(term.tensor, dtypes.float32), term.letters) for term in terms]


def _evaluated(terms: list[_Term], output: tuple[str, ...]) -> Tensor:
    """Sum what one operand alone has, then combine the operands from left to right."""
    counts = Counter(letter for term in terms for letter in term.letters)
    shared = {letter for letter in counts if counts[letter] > 1} | set(output)
    first, *others = [_summed(term, shared) for term in _widened(terms, shared)]
    for place, term in enumerate(others, 1):
        later = {letter for other in others[place:] for letter in other.letters}
        order = output if place == len(others) else ()
        first = _combined(first, term, later | set(output), order)
    return _reordered(first, output)


@public()
def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Return sums of products, as an equation of index letters describes them.

    Every dim of an operand has a letter. Equal letters run together; letters that are not in the
    output are summed; a letter that one operand has twice takes the diagonal.

    Args:
        equation: letters of the operands, separated by commas, and after ``->`` those of the
            result. Without ``->`` the result has the letters used once, in alphabetical order.
            ``...`` stands for further dims, which broadcast.
        operands: one tensor per group of letters; a float dtype, int32 or int64.

    Returns:
        A tensor of the same dtype.

    Raises:
        TripyShapeError: for a wrong number of operands, ranks, or sizes that do not fit.
        TripyTypeError: for other dtypes, or dtypes that differ.
        TripyValueError: for a malformed equation.

    Example:
        >>> matrix = tp.Tensor([[1, 2], [3, 4]])
        >>> tp.einsum("ij,jk->ik", matrix, matrix).tolist()
        [[7, 10], [15, 22]]
        >>> tp.einsum("ii", matrix).item()
        5
    """
    letters, output = _parse(equation)
    _check_operands(operands, equation, len(letters))
    named = [_with_dots(t, own, i) for i, (t, own) in enumerate(zip(operands, letters))]
    _check_sizes(named)
    dots = max((len(_dotted(term)) for term in named), default=0)
    if dots and _DOTS not in output:
        raise _malformed(
            "the output lacks ... of the operands.",
            equation,
            "write ... in the output, and tp.sum it",
        )
    at = output.index(_DOTS) if _DOTS in output else 0
    rest = tuple(letter for letter in output[at:] if letter != _DOTS)
    wanted = (*output[:at], *_DOT_LETTERS[:dots][::-1], *rest)
    result = _evaluated([_diagonal(term) for term in named], wanted)
    return cast(result, operands[0].dtype)
