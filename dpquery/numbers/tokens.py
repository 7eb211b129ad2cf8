"""The text around the digits: addresses, withheld words, marks of a missing value, extensions, sender names.

No numbering plan is needed here, and none is used.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

_PUNCTUATION: Final = {ord(sign): None for sign in " -()./"}
_DIALLED: Final = re.compile(r"\+?[0-9]+")
_MISSING: Final = frozenset({"", "null", "none", "nan", "n/a", "<null>", r"\n"})
_WITHHELD_WORD: Final = "anonymous|restricted|withheld|unknown|private|unavailable|blocked"
_WITHHELD_NOUN: Final = "(?:caller|number|id|caller ?id)"
_WITHHELD: Final = re.compile(
    rf"(?:{_WITHHELD_NOUN}[ _-])?(?:{_WITHHELD_WORD})(?:[ _-]{_WITHHELD_NOUN})?|no caller ?id"
)
_ADDRESS: Final = re.compile(r"\b(?P<scheme>sips?|tel|callto):(?P<rest>[^>]*)", re.IGNORECASE)
_USER_AT_HOST: Final = re.compile(r"[^\s@]+@[^\s@]+")
_LABEL: Final = re.compile(r"(?:tel|telephone|phone|mobile|mob|cell|fax)\b[.:\s]*(?=[+(0-9])", re.IGNORECASE)
_SPREADSHEET_TEXT: Final = re.compile(r"=\"(.*)\"")
_FLOAT: Final = re.compile(r"(\+?[0-9]{2,})\.0")
_SCIENTIFIC: Final = re.compile(r"[0-9](?:[.,][0-9]+)?E\+?[0-9]{1,2}", re.IGNORECASE)
_EXTENSION: Final = re.compile(
    r"(?P<number>\+?[0-9(][0-9 ().\-/]+[0-9)])\s*(?:;ext=|[,;]?\s*(?:ext(?:n|ension)?\b|x)[\s.:]*|#\s*)[0-9]{1,15}#?",
    re.IGNORECASE,
)
_FEATURE: Final = re.compile(r"[*#]+[0-9][0-9*#]*")
_FEATURE_DIGITS_MAX: Final = 4
_NUMBER_BEHIND_FEATURE: Final = re.compile(r"[*#]{1,2}[0-9]{2}[*#]?(\+?[0-9]{7,15})#?")
_SENDER: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &_.+\-]{2,11}")


@dataclass(frozen=True, slots=True)
class Party:
    """The part of a token that names a party."""

    text: str
    extension: bool = False
    internal: bool = False
    """The name is one of some host or switchboard, so that a few digits are no short code and no local number."""


def dialled_digits(text: str) -> str | None:
    """`text` without spaces and punctuation, if what stays is ASCII digits after at most one plus sign."""
    compact = text.translate(_PUNCTUATION)
    return compact if _DIALLED.fullmatch(compact) and compact.isascii() else None


def cleaned(raw: str) -> str:
    """`raw` with plain digits, letters and single spaces: no marks of direction, control signs, or quotes around."""
    folded = unicodedata.normalize("NFKC", raw)
    plain = "".join(_plain(sign) for sign in folded) if not folded.isascii() or not folded.isprintable() else folded
    text = " ".join(plain.split())
    if (formula := _SPREADSHEET_TEXT.fullmatch(text)) is not None:
        text = formula[1]
    text = text.strip(" '\"")
    if (number := _FLOAT.fullmatch(text)) is not None:
        text = number[1]
    return text


def is_missing(text: str) -> bool:
    """Whether `text` is what programs write where there is nothing."""
    return text.casefold() in _MISSING


def is_withheld(text: str) -> bool:
    """Whether `text` says that a caller did not show a number."""
    return _WITHHELD.fullmatch(text.casefold().strip(" *<>\"'[]()")) is not None


def party(text: str) -> Party:
    """The party in `text`: the number of a `tel:` or `sip:` address, or the text itself without a label."""
    address = _ADDRESS.search(text)
    if address is not None:
        return _addressed(address["rest"], global_only=address["scheme"].casefold().startswith("sip"))
    if _USER_AT_HOST.fullmatch(text):
        return _addressed(text, global_only=True)
    return Party(_LABEL.sub("", text, count=1) if _LABEL.match(text) else text)


def without_extension(text: str) -> str | None:
    """The main number, if `text` is one with an extension."""
    found = _EXTENSION.fullmatch(text)
    return None if found is None else found["number"]


def feature_code(text: str) -> str | None:
    """`text` if it is a code for the network itself, such as "*72" or "*#06#"."""
    compact = text.replace(" ", "")
    # Longer codes have somebody's number in them ("*31#07700900123"); they must not pass for a code nobody owns.
    short = sum(map(str.isdigit, compact)) <= _FEATURE_DIGITS_MAX
    return compact if short and _FEATURE.fullmatch(compact) else None


def number_behind_feature(text: str) -> str | None:
    """The number dialled behind a feature code, as in "*31#07700900123"."""
    found = _NUMBER_BEHIND_FEATURE.fullmatch(text.translate(_PUNCTUATION))
    return None if found is None else found[1]


def sender_name(text: str) -> str | None:
    """The sender of a text message that has a name for a number; names differ by more than case and spaces around."""
    if _SCIENTIFIC.fullmatch(text):  # a spreadsheet wrote it: the number is lost, and many would share what is left
        return None
    return text.upper() if _SENDER.fullmatch(text) else None


def _plain(sign: str) -> str:
    category = unicodedata.category(sign)
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    if category == "Cf":
        return ""
    return " " if category[0] in "CZ" else sign


def _addressed(rest: str, *, global_only: bool) -> Party:
    """The party in an address without its scheme: number, parameters after semicolons, host after an at sign."""
    user, *parameters = rest.partition("@")[0].split(";")
    words = {name.strip().casefold(): value.strip() for name, _, value in (word.partition("=") for word in parameters)}
    number = unquote(user).strip().removeprefix("//").partition(":")[0]
    context = words.get("phone-context", "")
    if context.startswith("+") and not number.startswith("+"):
        number = context + number
    outside = number.startswith("+")
    return Party(number, extension="ext" in words, internal=not outside and (global_only or bool(context)))
