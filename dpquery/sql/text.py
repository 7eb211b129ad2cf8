"""Query text, its tokens, and where things stand in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import Dialect, TokenError, TokenType, exp

from dpquery.errors import QueryRefused, Span, printable

if TYPE_CHECKING:
    from sqlglot import Token

TEXT_LENGTH_MAX = 16_384
"""Characters; far above what people write, far below what makes a parser slow."""


@dataclass(frozen=True, slots=True)
class QueryText:
    """The text as typed (`source`), with named arguments blanked in place (`blanked`), and its tokens."""

    source: str
    blanked: str
    tokens: tuple[Token, ...]

    def span(self, node: exp.Expr | None) -> Span | None:
        """Where `node` stands: its first to its last token, a function up to its closing parenthesis."""
        found = self.extent(node)
        return None if found is None else self.span_of(*found)

    def extent(self, node: exp.Expr | None) -> tuple[int, int] | None:
        """The offsets of the first and the last character of `node`."""
        if node is None:
            return None
        starts = [(part.meta["start"], part.meta["end"]) for part in node.walk() if "start" in part.meta]
        if not starts:
            return None
        first = min(start for start, _ in starts)
        last = max(self._closing(end) for _, end in starts)
        if isinstance(node, exp.Func) and "start" not in node.meta:
            first, last = self._call_around(first, last)
        return first, last

    def span_of(self, first: int, last: int) -> Span:
        """The span of the characters `first` to `last` (from 0, inclusive), cut at the end of the first line."""
        line_start = self.source.rfind("\n", 0, first) + 1
        line_end = self.source.find("\n", first)
        end = last + 1 if line_end < 0 else min(last + 1, line_end)
        return Span(self.source.count("\n", 0, first) + 1, first - line_start + 1, end - line_start + 1)

    def arguments(self, node: exp.Expr) -> int:
        """How many arguments the call `node` was written with; some parsers drop those they do not know."""
        following = [t for t in self.tokens if t.start > node.meta.get("end", len(self.source))]
        depth = commas = 0
        for token in following:
            if token.token_type is TokenType.L_PAREN:
                depth += 1
            elif token.token_type is TokenType.R_PAREN:
                depth -= 1
                if depth == 0:
                    break
            elif token.token_type is TokenType.COMMA and depth == 1:
                commas += 1
        return commas + 1

    def _call_around(self, first: int, last: int) -> tuple[int, int]:
        """The call whose first argument starts at `first`, for functions whose own place the parser does not keep."""
        before = [i for i, token in enumerate(self.tokens) if token.start < first]
        if len(before) < 2 or self.tokens[before[-1]].token_type is not TokenType.L_PAREN:
            return first, last
        name = self.tokens[before[-2]]
        return name.start, max(last, self._closing(name.end))

    def _closing(self, end: int) -> int:
        """Offset of the parenthesis that closes a call whose name ends at `end`; `end` itself if none opens there."""
        following = [t for t in self.tokens if t.start > end]
        if not following or following[0].token_type is not TokenType.L_PAREN:
            return end
        depth = 0
        for token in following:
            if token.token_type is TokenType.L_PAREN:
                depth += 1
            elif token.token_type is TokenType.R_PAREN:
                depth -= 1
                if depth == 0:
                    return int(token.end)
        return end

    def refuse(self, code: str, why: str, fix: str, at: exp.Expr | Span | None = None) -> QueryRefused:
        """The error that names the place of `at` in the text."""
        where = at if isinstance(at, Span) or at is None else self.span(at)
        # Names from the text stand in both, and a name in quotes holds anything; only a fix has several lines.
        fix = "\n".join(printable(line) for line in fix.split("\n"))
        return QueryRefused(code, printable(why), fix=fix, where=where, source=self.source if where else None)


def tokenise(source: str) -> tuple[Token, ...]:
    """Tokens of `source` in DuckDB's dialect; QueryRefused for what is too long or cannot be tokenised."""
    if len(source) > TEXT_LENGTH_MAX:
        raise QueryRefused(
            "DPQ-114", f"the query has more than {TEXT_LENGTH_MAX:,} characters", fix="ask several shorter queries"
        )
    try:
        source.encode("utf-8")
    except UnicodeEncodeError:
        raise QueryRefused("DPQ-101", "the query holds half a character", fix="retype it as plain text") from None
    try:
        return tuple(Dialect.get_or_raise("duckdb").tokenize(source))
    except (TokenError, RecursionError) as error:
        raise QueryRefused("DPQ-101", "the query has a quote or a comment that does not end", fix="close it") from error
