"""Numbers: reckoned by a formula, converted, chosen for a picture's size."""

from __future__ import annotations

import ast
import math
import operator
import string
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from graphflow.api import Grows, node

from ._fields import MAX_SIDE, span

Number = int | float | bool
LETTERS = tuple(string.ascii_lowercase)


class Reckoned(NamedTuple):
    FLOAT: float
    INT: int
    BOOL: bool


class Converted(NamedTuple):
    FLOAT: float
    INT: int


class Sides(NamedTuple):
    width: int
    height: int


@node("ComfyMathExpression", title="Math Expression", category="utils/math")
def math_expression(
    expression: Annotated[
        str, span(None, None, description="a, b, c, ... with + - * / // % ** & | ^ ~, comparisons, functions.")
    ] = "a + b",
    **values: Annotated[int | float | bool, Grows(LETTERS)],
) -> Reckoned:
    """What a formula gives for the linked numbers a, b, c, ...: as a number, a whole number and yes or no.

    It may use and, or, not, `x if y else z`, the constants pi and e, and the functions abs, ceil, cos, exp, floor,
    int, float, log, log2, log10, max, min, pow, round, sin, sqrt, tan.
    """
    result = evaluate(expression, values)
    if not math.isfinite(result):
        raise ValueError(
            f"{expression!r} gives {result}, which is no finite number; check it for a division by nearly 0"
        )
    return Reckoned(float(result), int(result), bool(result))


@node("ComfyNumberConvert", title="Convert Number", category="utils/math")
def number_convert(value: int | float | str | bool) -> Converted:
    """A number, a text that holds one, or yes (1) and no (0), as a number and cut down to a whole one."""
    try:
        number = int(value) if isinstance(value, int) else float(value)
    except ValueError as error:
        raise ValueError(f"{value!r} holds no number; write it like 12 or 3.5") from error
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no finite number")
    return Converted(float(number), int(number))


Proportions = Literal[
    "1:1 (Square)", "2:3 (Portrait Photo)", "3:2 (Photo)", "3:4 (Portrait Standard)", "4:3 (Standard)",
    "9:16 (Portrait Widescreen)", "16:9 (Widescreen)", "21:9 (Ultrawide)",
]  # fmt: skip


@node("ResolutionSelector", title="Resolution Selector", category="utils")
def resolution_selector(
    aspect_ratio: Proportions = "1:1 (Square)",
    megapixels: Annotated[float, span(0.1, 16.0, 0.1, "One megapixel is 1024 × 1024.")] = 1.0,
    multiple: Annotated[int, span(1, MAX_SIDE, 1, "Both sides are multiples of this.")] = 8,
) -> Sides:
    """Width and height in given proportions with about so many pixels in all."""
    across, down = (int(part) for part in aspect_ratio.split(" ")[0].split(":"))
    unit = math.sqrt(megapixels * 1024 * 1024 / (across * down))
    return Sides(*(max(multiple, round(part * unit / multiple) * multiple) for part in (across, down)))


# --- formulas --------------------------------------------------------------------------------------------------------

MAX_LENGTH = 1000
"""Characters of a formula: nesting cannot exhaust the stack."""
MAX_BITS = 4096
"""Of whole numbers on the way: a formula cannot fill the memory."""


def _power(a: Number, b: Number) -> Any:
    if isinstance(a, int) and isinstance(b, int) and b > 0 and abs(a).bit_length() * b > MAX_BITS:
        raise ValueError(f"{a} ** {b} is too large")
    return a**b


def _shifted(a: int, b: int) -> int:
    if b > MAX_BITS:
        raise ValueError(f"{a} << {b} is too large")
    return a << b


BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: _shifted,
    ast.RShift: operator.rshift,
}
UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs, "ceil": math.ceil, "cos": math.cos, "exp": math.exp, "float": float, "floor": math.floor, "int": int,
    "log": math.log, "log10": math.log10, "log2": math.log2, "max": max, "min": min, "pow": _power, "round": round,
    "sin": math.sin, "sqrt": math.sqrt, "tan": math.tan,
}  # fmt: skip
CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}


def evaluate(expression: str, values: Mapping[str, Number]) -> Number:
    """The value of a formula in Python's notation; numbers, names and the functions above are all it knows.

    Raises `ValueError` that says what is wrong with it.
    """
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"the formula has {len(expression)} characters; at most {MAX_LENGTH} are read")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        result = _value(tree.body, {**CONSTANTS, **values})
    except SyntaxError as error:
        raise ValueError(f"{expression!r} is no formula: {error.msg}") from error
    except (ArithmeticError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{expression!r} cannot be reckoned: {error}") from error
    if not isinstance(result, int | float):
        raise ValueError(f"{expression!r} gives {result!r}, which is no number")
    return result


def _value(tree: ast.expr, names: Mapping[str, Number]) -> Any:
    match tree:
        case ast.Constant(value=bool() | int() | float() as value):
            return value
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Name(id=name):
            raise ValueError(f"the formula asks for {name}, to which nothing is linked; there are {', '.join(names)}")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            return _bounded(BINARY[type(op)](_value(left, names), _value(right, names)))
        case ast.UnaryOp(op=op, operand=operand):
            return UNARY[type(op)](_value(operand, names))
        case ast.BoolOp(op=op, values=parts):
            return _first(parts, names, isinstance(op, ast.Or))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test, names) else orelse, names)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in COMPARED for op in ops):
            sides = [_value(side, names) for side in (left, *others)]
            return all(COMPARED[type(op)](a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return _bounded(FUNCTIONS[name](*(_value(argument, names) for argument in arguments)))
    raise ValueError(f"a formula cannot hold {ast.unparse(tree)!r}; it knows {', '.join(FUNCTIONS)}")


def _first(parts: list[ast.expr], names: Mapping[str, Number], wanted: bool) -> Any:
    """The first that is as wanted, or else the last: what Python's `or` (True) and `and` (False) give."""
    value: Any = None
    for part in parts:
        value = _value(part, names)
        if bool(value) is wanted:
            break
    return value


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValueError("a number on the way is too large")
    return value
