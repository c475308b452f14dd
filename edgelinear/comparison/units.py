"""Numbers as people read them."""


def ms(value: float) -> str:
    """Return a time in three digits."""
    for digits, limit in ((3, 1), (2, 10), (1, 100)):
        if value < limit:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"


def short(count: int) -> str:
    """Return a count in three digits and a letter: 46.9k."""
    value, unit = float(count), ""
    for larger in ("k", "M", "G", "T"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f}{unit}" if not unit or value >= 99.5 else f"{value:.1f}{unit}"


def size(count: int) -> str:
    """Return a number of bytes as people read it: 1.5 MB is 1,500,000 bytes."""
    text = short(count)
    return f"{text} B" if text[-1].isdigit() else f"{text[:-1]} {text[-1]}B"
