"""By when companies must have published their statements, by country of listing.

A source such as Yahoo says when a period ended, and not when its report came out. A report is then
taken to come on the last day that the rules of its country allow. Each entry names the page that
was read; a country without one has the longest deadlines of the table.
"""

import calendar
import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Delay:
    """A time after the end of a period: calendar months, then days."""

    months: int = 0
    days: int = 0

    def after(self, end: datetime.date) -> datetime.date:
        """The day; months count from the last day of a month to the last day of another."""
        month = end.year * 12 + end.month - 1 + self.months
        year, month = month // 12, month % 12 + 1
        length = calendar.monthrange(year, month)[1]
        at_end = end.day == calendar.monthrange(end.year, end.month)[1]
        day = length if at_end else min(end.day, length)
        return datetime.date(year, month, day) + datetime.timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long after a period's end its report is due at the latest, and the page that says so.

    `interim` is for quarters and half-years but the last, which comes with the annual report.
    """

    interim: Delay
    annual: Delay
    page: str


_HALF_YEAR = (
    "https://www.linklaters.com/es-es/insights/publications/uk-corporate-update/"
    "uk-corporate-update---12-november-2015/transparency-directive-changes-take-effect-soon"
    " (half-year)"
)
_EU = Deadlines(
    Delay(months=3),
    Delay(months=4),
    "https://legislation.gov.uk/eudr/2004/109/chapter/II/adopted (year), " + _HALF_YEAR,
)
_EU_COUNTRIES = (
    "Austria",
    "Belgium",
    "Denmark",
    "Finland",
    "France",
    "Germany",
    "Greece",
    "Ireland",
    "Italy",
    "Netherlands",
    "Poland",
    "Portugal",
    "Spain",
    "Sweden",
)

DEADLINES: Final[Mapping[str, Deadlines]] = MappingProxyType(
    {
        **dict.fromkeys(_EU_COUNTRIES, _EU),
        "Canada": Deadlines(
            Delay(days=60),
            Delay(days=120),
            "https://cselaw.ca/audited-and-interim-financial-statements/",
        ),
        "China": Deadlines(
            Delay(months=2),
            Delay(months=4),
            "https://resourcehub.bakermckenzie.com/en/resources/cross-border-listings-guide/"
            "asia-pacific/shanghai-shenzhen-and-beijing-stock-exchanges/topics/"
            "continuing-obligationsperiodic-reporting (year), http://www.chinadaily.com.cn/"
            "bizchina/2010h1results/2010-07/29/content_11068535.htm (half-year)",
        ),
        "Hong Kong": Deadlines(
            Delay(months=3),
            Delay(months=4),
            "https://www.tricorglobal.com/blog/"
            "complying-with-hong-kongs-listing-rules-an-overview-for-market-entrants",
        ),
        "India": Deadlines(
            Delay(days=45),
            Delay(days=60),
            "https://www.cse-india.com/upload/cse_notice/"
            "Disclosure_of_reasons_for_delay_in_submission_of_financial_results_by_listed_entities"
            ".htm",
        ),
        "Japan": Deadlines(
            Delay(days=45),
            Delay(months=3),
            "https://www.fsa.go.jp/en/ordinary/coronavirus202001/20210512-1.html",
        ),
        "Switzerland": Deadlines(
            Delay(months=3),
            Delay(months=4),
            "https://www.ser-ag.com/en/projects/reports-extensions.html",
        ),
        "Taiwan": Deadlines(
            Delay(days=45),
            Delay(months=3),
            "https://twse-regulation.twse.com.tw/EN/law/DOC01.aspx?FLCODE=FL072299&FLNO=7",
        ),
        "United Kingdom": Deadlines(
            Delay(months=3),
            Delay(months=4),
            "https://handbook.fca.org.uk/handbook/DTR/4/?date=2022-12-01&section=dtr+4.1 (year), "
            + _HALF_YEAR,
        ),
    }
)
"""By country of listing. Where companies of two kinds have two deadlines, the later one stands."""

LONGEST: Final = Deadlines(Delay(months=3), Delay(months=4), "")
"""The longest of the table, for every other country: nobody's report is known too early."""


def public_by(country: str, end: datetime.date, *, annual: bool) -> datetime.date:
    """The last day on which a report of a period may come out; `country` "" is an unknown one."""
    deadlines = DEADLINES.get(country, LONGEST)
    return (deadlines.annual if annual else deadlines.interim).after(end)
