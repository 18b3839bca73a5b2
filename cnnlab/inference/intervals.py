"""How well a share is known that was counted on so many pictures."""


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Interval in which a share lies that was seen `successes` times in `n` (Wilson's interval).

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927. Unlike
    p ± z·√(p(1 − p)/n) it stays inside 0 to 1 and has a width also where all pictures are told right.

    Args:
        successes: 0 to n.
        n: At least 1.
        z: Standard deviations; 1.96 for 95 %.
    """
    if not 0 <= successes <= n or n < 1:
        raise TypeError(f"A share is of 0 to n among n ≥ 1, got {successes} of {n}.")
    share, spread = successes / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * ((share * (1 - share) + spread / 4) / n) ** 0.5
    # At the ends the two are equal but for the last digit.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return low, high
