"""The languages that a model may be asked to write in: names and tags that people type, checked.

What reaches a prompt is a name of this table, never the text that was typed, so nothing can be
smuggled into a prompt here. Codes and English names are those of ISO 639; after a slash stand names
in the language itself. A region or a script (BCP 47: pt-BR, zh-Hant) is passed on as its code.
This module is light: the command line imports it.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from trading_graph.graph.errors import BadLanguageError

MAX_LENGTH: Final = 32

_TABLE = """
af Afrikaans
am Amharic
ar Arabic/العربية
az Azerbaijani
be Belarusian
bg Bulgarian/Български
bn Bengali/Bangla/বাংলা
bs Bosnian
ca Catalan/Català
cs Czech/Čeština
cy Welsh
da Danish/Dansk
de German/Deutsch
el Greek/Ελληνικά
en English
eo Esperanto
es Spanish/Español/Castilian
et Estonian/Eesti
eu Basque/Euskara
fa Persian/Farsi/فارسی
fi Finnish/Suomi
fil Filipino
fr French/Français
ga Irish/Gaeilge
gl Galician/Galego
gu Gujarati
ha Hausa
he Hebrew/עברית
hi Hindi/हिन्दी
hr Croatian/Hrvatski
hu Hungarian/Magyar
hy Armenian
id Indonesian/Bahasa Indonesia
ig Igbo
is Icelandic/Íslenska
it Italian/Italiano
ja Japanese/日本語
ka Georgian
kk Kazakh
km Khmer
kn Kannada
ko Korean/한국어
ky Kyrgyz
lb Luxembourgish
lo Lao
lt Lithuanian/Lietuvių
lv Latvian/Latviešu
mk Macedonian
ml Malayalam
mn Mongolian
mr Marathi
ms Malay/Bahasa Melayu
mt Maltese
my Burmese
nb Norwegian Bokmål
ne Nepali
nl Dutch/Nederlands/Flemish
nn Norwegian Nynorsk
no Norwegian/Norsk
pa Punjabi
pl Polish/Polski
ps Pashto
pt Portuguese/Português
ro Romanian/Română
ru Russian/Русский
si Sinhala
sk Slovak/Slovenčina
sl Slovenian/Slovenščina
so Somali
sq Albanian/Shqip
sr Serbian/Српски
sv Swedish/Svenska
sw Swahili/Kiswahili
ta Tamil/தமிழ்
te Telugu
tg Tajik
th Thai/ไทย
tk Turkmen
tl Tagalog
tr Turkish/Türkçe
uk Ukrainian/Українська
ur Urdu/اردو
uz Uzbek
vi Vietnamese/Tiếng Việt
xh Xhosa
yo Yoruba
yue Cantonese/粵語
zh Chinese/Mandarin/中文
zu Zulu
"""
_NAMES: Final = {
    code: names.split("/")
    for code, names in (row.split(" ", 1) for row in _TABLE.strip().splitlines())
}
_CODES: Final = {name.casefold(): code for code, names in _NAMES.items() for name in names}
_TAG = re.compile(r"([A-Za-z]{2,3})(?:-([A-Za-z]{4}))?(?:-([A-Za-z]{2}|[0-9]{3}))?")


@dataclass(frozen=True, slots=True)
class Language:
    """A language by its BCP 47 tag, and its name in English."""

    tag: str
    name: str

    @property
    def for_model(self) -> str:
        """What a prompt calls it: the name, with the tag where that says more."""
        return f"{self.name} ({self.tag})" if "-" in self.tag else self.name


def parse_language(text: str) -> Language:
    """The language that a name or a BCP 47 tag means; BadLanguageError for anything else."""
    typed = unicodedata.normalize("NFC", text.strip()).replace("_", "-")
    if len(text) <= MAX_LENGTH:
        if code := _CODES.get(typed.casefold()):
            return Language(code, _NAMES[code][0])
        tag = _TAG.fullmatch(typed)
        if tag and (names := _NAMES.get(tag[1].lower())):
            parts = (tag[1].lower(), (tag[2] or "").title(), (tag[3] or "").upper())
            return Language("-".join(filter(None, parts)), names[0])
    raise BadLanguageError(
        f"{text[:MAX_LENGTH]!a} is no language that is known here: give its English name or "
        "a BCP 47 tag, such as German or pt-BR."
    )
