"""Which encoding a text file has: by its mark, by what fits, or as the user says."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FREQUENT_HAN = re.compile(
    "[的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去]"
)
_HAN = re.compile(r"[\u4e00-\u9fff\u3000-\u303f\uff00-\uffef]")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, and how it was encoded.

    Attributes:
        encoding: by its common name.
        guessed: it stands neither in the file nor in the scenario.
    """

    text: str
    encoding: str
    guessed: bool = False

    @property
    def note(self) -> str:
        """What must be said of it; "" of UTF-8."""
        if self.encoding == "UTF-8":
            return ""
        if not self.guessed:
            return f"text in {self.encoding}"
        return f"not UTF-8, read as {self.encoding} by its bytes: if wrong, give prompts.encoding"


def encoding_of(content: bytes, *, whole: bool = True) -> str:
    """The encoding of bytes: by its mark, UTF-16 by its zeros, else UTF-8 if they are that.

    Unless `whole`, they are its first bytes only, which may end in the middle of a character.

    Returns:
        Python's name of it; "" = it is none of these.
    """
    for mark, name in _MARKS:
        if content.startswith(mark):
            return name
    head = content[:4096]
    zeros = (head[0::2].count(0), head[1::2].count(0))
    if max(zeros) > len(head) // 6 and min(zeros) * 8 < max(zeros):
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content, final=whole)
    except UnicodeDecodeError:
        return ""
    return "utf-8"


def decoded(content: bytes, name: str, encoding: str | None = None) -> Decoded:
    """The text of a file.

    Without a mark and not in UTF-8 it is GBK if its bytes read as common Chinese, else
    Windows-1252, if no byte speaks against it.

    Raises:
        ValueError: it cannot be read so; the message names the file.
    """
    if encoding is not None:
        try:
            info = codecs.lookup(encoding)
            return Decoded(content.decode(info.name).removeprefix("\ufeff"), _common(info.name))
        except LookupError:
            raise ValueError(
                f"{name}: there is no encoding {encoding!r}; utf-8, gbk, cp1252 and utf-16 are some"
            ) from None
        except UnicodeDecodeError as error:
            at = content[: error.start].count(b"\n") + 1
            raise ValueError(f"{name}:{at}: is not text in {encoding}") from None
    found = encoding_of(content)
    if found:
        try:
            return Decoded(content.decode(found).removeprefix("\ufeff"), _common(found))
        except UnicodeDecodeError:
            raise ValueError(f"{name} is not text in {_common(found)}, as it begins") from None
    if (text := _chinese(content)) is not None:
        return Decoded(text, "GBK", guessed=True)
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError(
            f"{name} is not text in UTF-8, nor in another encoding that can be recognised: "
            "give prompts.encoding, or save it in UTF-8"
        )
    return Decoded(text, "Windows-1252", guessed=True)


def _chinese(content: bytes) -> str | None:
    """The text if it is Chinese in GBK: its common characters show it."""
    try:
        text = content.decode("gb18030")
    except UnicodeDecodeError:
        return None
    above = sum(c > "\x7f" for c in text)
    common = len(_FREQUENT_HAN.findall(text))
    if above and len(_HAN.findall(text)) > 0.9 * above and common >= max(1, above // 25):
        return text
    return None


def _common(name: str) -> str:
    known = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "cp1252": "Windows-1252"}
    return known.get(name.lower(), name.upper())
