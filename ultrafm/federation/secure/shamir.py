"""Shamir's secret sharing over a prime field: `threshold` shares give the secret, fewer give nothing (CACM 1979)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ultrafm.errors import UltraFMError

Random = Callable[[int], bytes]  # so many random bytes: os.urandom, or a test's own
PRIME = 2**256 + 297  # the smallest prime above 2^256, so that every secret of 32 bytes is a number of the field
SECRET_BYTES = 32
SHARE_BYTES = 33
SPARE_BYTES = 16  # more than the field needs: remainders then differ from uniform by less than 2^-120


def split(secret: bytes, threshold: int, numbers: Sequence[int], random: Random) -> dict[int, bytes]:
    """Number -> share (33 bytes) of a secret of 32 bytes: values of a random polynomial of degree `threshold` - 1.

    `numbers` are distinct, from 1 on. Raises ValueError when they are not, or fewer than the threshold.
    """
    if len(set(numbers)) != len(numbers) or min(numbers) < 1 or not 1 <= threshold <= len(numbers):
        raise ValueError(f"shares {numbers} with threshold {threshold}")
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret of {len(secret)} bytes")
    rest = [int.from_bytes(random(SHARE_BYTES + SPARE_BYTES), "big") % PRIME for _ in range(threshold - 1)]
    coefficients = [int.from_bytes(secret, "big"), *rest]
    return {number: value_at(coefficients, number).to_bytes(SHARE_BYTES, "big") for number in numbers}


def value_at(coefficients: Sequence[int], place: int) -> int:
    """The polynomial's value at a place (Horner's rule)."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * place + coefficient) % PRIME
    return value


def join(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The secret of `threshold` shares by number; more are not looked at.

    Raises UltraFMError for too few, and for shares that are not of one secret, as far as that shows.
    """
    if len(shares) < threshold:
        raise UltraFMError("shares of a secret", f"{len(shares)}", f"at least {threshold}: fewer hold nothing of it")
    chosen = sorted(shares)[:threshold]
    secret = sum(
        int.from_bytes(shares[number], "big") * weight_at_zero(number, chosen) for number in chosen
    ) % PRIME  # fmt: skip
    if secret >= 1 << (8 * SECRET_BYTES):
        raise UltraFMError("shares of a secret", "numbers that do not belong together", "shares of one secret")
    return secret.to_bytes(SECRET_BYTES, "big")


def weight_at_zero(number: int, numbers: Sequence[int]) -> int:
    """Lagrange's weight of one share for the polynomial's value at zero."""
    top = bottom = 1
    for other in numbers:
        if other != number:
            top, bottom = top * other % PRIME, bottom * (other - number) % PRIME
    return top * pow(bottom, -1, PRIME) % PRIME
