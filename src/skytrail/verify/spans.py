"""Spans of time: pairs of a start and an end, in seconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    start: float
    end: float


class Spans:
    """A set of spans, joined where they meet."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self.spans: list[Span] = []
        for span in sorted(spans):
            if span.end <= span.start:
                continue
            if self.spans and span.start <= self.spans[-1].end:
                self.spans[-1] = Span(self.spans[-1].start, max(self.spans[-1].end, span.end))
            else:
                self.spans.append(span)

    def without(self, others: Spans) -> Spans:
        left = self.spans
        for other in others.spans:
            left = [
                part
                for span in left
                for part in (
                    Span(span.start, min(span.end, other.start)),
                    Span(max(span.start, other.end), span.end),
                )
                if part.start < part.end
            ]
        return Spans(left)

    def cover(self, start: float, end: float) -> bool:
        return any(span.start <= start and end <= span.end for span in self.spans)

    def touch(self, start: float, end: float) -> bool:
        return any(span.start < end and start < span.end for span in self.spans)
