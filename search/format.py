"""Numbers as people read them: the one place that turns measurements, ranges and parameters into text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from search.full_length import Interval

NAMES = {"pixel_diff": "PixelDiff", "rmse": "RMSE", "log_loss": "log loss", "ap_error": "1 - AP"}
"""What people call an error whose identifier does not say it."""

HOVER = ".4g"
"""The same digits as those of `digits`, as plotly's texts are told to have them."""


def digits(value: float | None) -> str:
    """A number with four significant digits: 12.88, 6.153, 0.002170; of larger ones two decimals, then none.

    From 1,000 on there are no decimals; below 0.0001, and from ten millions on, there is a power of ten. Empty text for
    None.
    """
    if value is None:
        return ""
    if not math.isfinite(value):
        return f"{value}"
    size = abs(float(f"{value:.3e}"))  # rounded before its digits are counted: 9.9996 is 10.00
    if size and not 1e-4 <= size < 1e7:
        mantissa, power = f"{value:.3e}".split("e")
        return f"{mantissa}e{int(power)}"
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:.{2 if size >= 10 else 3}f}"
    return f"{value:.{3 - math.floor(math.log10(size))}f}" if size else "0"


def compact(value: float) -> str:
    """The same digits without zeros at the end: 12.88, 6.1, 0.004, 28,104, 2.5e9."""
    mantissa, power, exponent = digits(value).partition("e")
    return (mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa) + power + exponent


def measured(value: float, unit: str = "") -> str:
    """A number with its unit, if it has one: '0.002170 m'."""
    return f"{digits(value)} {unit}" if unit else digits(value)


def between(full: Interval | None) -> str:
    """A predicted error with its interval: '12.10 (10.02 to 14.61)'; empty text for None."""
    return "" if full is None else f"{digits(full.error)} ({digits(full.low)} to {digits(full.high)})"


def named(metric: str) -> str:
    """What people call an error: 'PixelDiff' for 'pixel_diff', and 'mean distance' for 'mean_distance'."""
    return NAMES.get(metric, metric.replace("_", " "))


def titled(name: str, unit: str) -> str:
    """A name with its unit in brackets, if it has one, as axes and columns have it: 'RMSE [m]'."""
    return f"{name} [{unit}]" if unit else name


def range_text(distribution: BaseDistribution) -> str:
    """What a parameter was sampled from: 'the choices 32, 48' or '0.1 to 0.5 in steps of 0.1'."""
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return f"the choices {', '.join(map(str, choices))}"
    low, high, step = (getattr(distribution, name, None) for name in ("low", "high", "step"))
    if low is None:
        return str(distribution)
    return f"{low} to {high}" + (f" in steps of {step}" if step not in (None, 1) else "")


def line(text: object, most: int = 72) -> str:
    """Any text on one line of at most `most` letters, without control characters."""
    words = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return words if len(words) <= most else f"{words[: most - 1]}\u2026"


def params_text(params: Mapping[str, Any]) -> str:
    """Parameters in a few words: 'width=0.113 size=32'."""
    return " ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items()
    )


def value_text(value: Any) -> str:
    """A parameter's value, a float with six significant digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def shape_text(sizes: Iterable[int]) -> str:
    """A shape: '3 \u00d7 64 \u00d7 64'."""
    return " \u00d7 ".join(map(str, sizes))


def percent(share: float, signed: bool = False) -> str:
    """A share of 1 in whole per cent: '12 %'."""
    return f"{100 * share:{'+' if signed else ''}.0f}\N{NO-BREAK SPACE}%".replace("-", "\N{MINUS SIGN}")


def of_log(log: float) -> str:
    """A number by its natural logarithm, however large it is: '285.6', '9,817', '3.200 · 10¹²'."""
    tens = log / math.log(10)
    if -4 <= tens < 9:
        return f"{math.exp(log):#.4g}".rstrip(".") if tens < 3 else f"{math.exp(log):,.0f}"
    power = math.floor(tens)
    return f"{10 ** (tens - power):.3f} · {powers(f'10^{power}')}"


def powers(text: str) -> str:
    """Text with its powers raised: '10⁹' for '10^9'."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return re.sub(r"\^(-?\d+)", lambda match: match[1].translate(raised), text)


def times(ratio: float) -> str:
    """A ratio of at least 1: '3.2 times' or '690 times'."""
    return f"{ratio:,.0f} times" if ratio >= 20 else f"{ratio:.2g} times"


def duration(seconds: float) -> str:
    """A duration as people say it: '45 s', '3 min 20 s', '5 h 12 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole / 86400:.1f} days"
