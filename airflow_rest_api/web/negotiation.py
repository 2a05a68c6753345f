"""Content negotiation by the header `Accept` (RFC 9110 section 12.5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Range = tuple[str, float]


def best_match(accepted: Iterable[Range], possible: Sequence[str]) -> str | None:
    """Return the media type of ``possible`` that the client prefers; None if it accepts none of them.

    ``accepted`` are media ranges with their quality. Their other parameters, such as `charset`, are ignored. The first
    of several that the client likes equally is returned.
    """
    ranges = [(text.partition(";")[0].strip().lower(), quality) for text, quality in accepted]
    preferred = max(possible, key=lambda media_type: _preference(media_type, ranges))
    return preferred if _preference(preferred, ranges)[0] > 0 else None


def _preference(media_type: str, ranges: Sequence[Range]) -> tuple[float, int]:
    """Return the quality of a media type, which its most specific range decides, and how specific that range is."""
    patterns = ("*/*", f"{media_type.partition('/')[0]}/*", media_type)
    found = [(patterns.index(text), quality) for text, quality in ranges if text in patterns]
    if not found:
        return 0.0, 0
    specificity, quality = max(found)
    return quality, specificity
