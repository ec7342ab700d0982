"""Names of classes and files in a form that can be shown."""

import re
from reprlib import Repr

# Controls and line breaks, which XML and a line of a message cannot hold; overrides and embeddings of the text's direction;
# halves of characters, which stand for bytes that are not UTF-8.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def printable(name: object) -> str:
    r"""``name`` as one line of text that XML, HTML and terminals take: ``\r``, ``\x1b``, ``\ufffe`` for what they do not."""
    return _UNSHOWABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(name))


_brief = Repr()
_brief.maxlevel, _brief.maxlist, _brief.maxtuple, _brief.maxdict = 3, 20, 20, 20


def brief(value: object, most: int = 200) -> str:
    """``value`` for a message: as one line of at most ``most`` characters, whatever it holds."""
    try:
        text = printable(value if isinstance(value, str) else _brief.repr(value))
    except ValueError:  # an integer of more than 4,300 digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= most else f"{text[: most - 1]}…"
