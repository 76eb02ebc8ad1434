"""The structural losses of one side of a comparison, which need no statistics.

Something that ran at once became serial, something is fetched again, a branch or a call path is
gone, or something fails. Errors, duplicates and losses count from a single run. Whether a group ran
at once is partly read from times, so there the majority of the runs of each side decides.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from trading_graph.otel.diagnosis.call_path import RUN, CallPaths, RunMeasures
from trading_graph.otel.trace import Spans, semconv, spans_at
from trading_graph.otel.verdict.parallelism import Parallelism, Strength

_STANDS = (Strength.PROVEN, Strength.OVERLAPPING)
_FALLS = (Strength.SERIAL, Strength.SUSPICIOUS)
_SHOWN = 3


class RegressionKind(StrEnum):
    """What kind of structure was lost."""

    SERIAL = "became serial"
    DUPLICATE = "new duplicate"
    LOST = "lost"
    ERROR = "new error"


class ImprovementKind(StrEnum):
    """The opposite of each kind of regression."""

    AT_ONCE = "runs at once now"
    ONCE = "no longer asked for again"
    NEW = "new"
    SOUND = "no longer fails"


_OPPOSITE = {
    RegressionKind.SERIAL: ImprovementKind.AT_ONCE,
    RegressionKind.DUPLICATE: ImprovementKind.ONCE,
    RegressionKind.LOST: ImprovementKind.NEW,
    RegressionKind.ERROR: ImprovementKind.SOUND,
}


@dataclass(frozen=True, slots=True)
class Regression:
    """A loss: its place, a sentence about before and now, and the spans that show it.

    The spans are of one of the new runs; for something that is gone, of a run of the baseline.
    """

    kind: RegressionKind
    place: str
    evidence: str
    spans: Spans


@dataclass(frozen=True, slots=True)
class Improvement:
    """What the new runs have and the baseline did not have."""

    kind: ImprovementKind
    place: str


def losses(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], paths: CallPaths
) -> tuple[Regression, ...]:
    """What the new runs lost in comparison with the baseline."""
    return (
        *_serial(base, new),
        *_duplicates(base, new, paths),
        *_missing(base, new, paths),
        *_errors(base, new, paths),
    )


def gains(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], paths: CallPaths
) -> tuple[Improvement, ...]:
    """What would be lost if the new runs were the baseline."""
    return tuple(Improvement(_OPPOSITE[each.kind], each.place) for each in losses(new, base, paths))


def _serial(base: Sequence[RunMeasures], new: Sequence[RunMeasures]) -> Iterator[Regression]:
    """Groups that ran at once in the baseline and are serial at the same places of the new runs."""
    counts: Counter[tuple[int, ...]] = Counter()
    names: dict[tuple[int, ...], tuple[str, Parallelism]] = {}
    for run in base:
        for places, (name, judgement) in run.groups.items():
            if judgement.strength in _STANDS:
                counts[places] += 1
                names.setdefault(places, (name, judgement))
    for places, count in counts.items():
        if 2 * count <= len(base):
            continue
        worse = [run for run in new if run.judge(places).strength in _FALLS]
        if 2 * len(worse) > len(new):
            name, before = names[places]
            was = (
                "were proven to run at once" if before.strength is Strength.PROVEN else "overlapped"
            )
            now = worse[0].judge(places)
            evidence = f"{len(places)} spans {was}; now {now}{_runs(len(worse), new)}."
            spans = spans_at(worse[0].trace, now.group.rows)
            yield Regression(RegressionKind.SERIAL, name, evidence, spans)


def _duplicates(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], paths: CallPaths
) -> Iterator[Regression]:
    """Repeated fetches, by name: which of two equal fetches comes second is a matter of chance."""
    usual: Counter[str] = Counter()
    for run in base:
        usual |= Counter({name: _extra(groups) for name, groups in _again(run).items()})
    excess: dict[str, list[tuple[int, RunMeasures, list[int]]]] = defaultdict(list)
    for run in new:
        for name, groups in _again(run).items():
            if _extra(groups) > usual[name]:
                rows = [row for group in groups for row in group]
                excess[name].append((_extra(groups), run, rows))
    for name, cases in excess.items():
        extra, worst, rows = max(cases, key=lambda each: each[0])
        where = [worst.path_of(row) for row in rows]
        yield Regression(
            RegressionKind.DUPLICATE,
            name,
            f"{extra} asked for what another had asked for{_runs(len(cases), new)}; in the "
            f"baseline {usual[name] or 'none'}. Who asks: {_names(where, paths)}.",
            spans_at(worst.trace, rows),
        )


def _again(run: RunMeasures) -> Mapping[str, list[tuple[int, ...]]]:
    """The groups of spans with the same request, by name."""
    by_name: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for rows in run.again:
        by_name[run.trace.names[rows[0]]].append(rows)
    return by_name


def _extra(groups: Sequence[tuple[int, ...]]) -> int:
    return sum(len(rows) - 1 for rows in groups)


def _missing(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], paths: CallPaths
) -> Iterator[Regression]:
    """Paths and branches that every run of the baseline has, and some new run does not have."""
    common = set(base[0].by_path).intersection(*(run.by_path for run in base[1:]))
    for path in sorted(common - {RUN}):
        least = min(run.by_path[path].count - len(run.by_path[path].failures) for run in base)
        if not least:
            continue  # what failed is not missed
        counts = [_count(run, path, paths) for run in new]
        lacking = [n for n in counts if n == 0 or (n < least and base[0].by_path[path].branch)]
        if lacking:
            yield Regression(
                RegressionKind.LOST,
                paths.path_text(path),
                f"The baseline always has {least}; now {min(lacking) or 'none'}"
                f"{_runs(len(lacking), new)}.",
                spans_at(base[0].trace, base[0].rows_at(path)),
            )


def _count(run: RunMeasures, path: int, paths: CallPaths) -> float:
    """The number of spans at a path, infinite where none is missed.

    None is missed where the path above is gone too, or where a cache made the calls unnecessary.
    """
    here = run.by_path.get(path)
    if here is not None:
        return here.count
    above = run.by_path.get(paths.parent(path))
    return inf if above is None or above.from_cache == above.count else 0


def _errors(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], paths: CallPaths
) -> Iterator[Regression]:
    """Paths with more failures than any run of the baseline; only the deepest on each way down."""
    excess: dict[int, list[tuple[int, RunMeasures]]] = defaultdict(list)
    for run in new:
        for path, here in run.by_path.items():
            if here.failures and len(here.failures) > _failures(base, path):
                excess[path].append((len(here.failures), run))
    above = {paths.parent(path) for path in excess}
    for path, cases in sorted(excess.items()):
        if path in above:
            continue
        count, worst = max(cases, key=lambda each: each[0])
        attributes = [worst.trace.attributes(row) for row in worst.by_path[path].failures]
        kinds = sorted({str(each.get(semconv.ERROR_TYPE, "error")) for each in attributes})
        yield Regression(
            RegressionKind.ERROR,
            paths.path_text(path),
            f"{count} failed ({', '.join(kinds)}){_runs(len(cases), new)}; in the baseline "
            f"{_failures(base, path) or 'none'}.",
            spans_at(worst.trace, worst.by_path[path].failures),
        )


def _failures(runs: Sequence[RunMeasures], path: int) -> int:
    """The highest number of failures at a path in one run."""
    here = [run.by_path[path].failures for run in runs if path in run.by_path]
    return max(map(len, here), default=0)


def _runs(count: int, new: Sequence[RunMeasures]) -> str:
    return f" in {count} of {len(new)} runs" if len(new) > 1 else ""


def _names(where: Sequence[int], paths: CallPaths) -> str:
    texts = list(dict.fromkeys(paths.path_text(path) for path in where))
    return ", ".join(texts[:_SHOWN]) + (
        f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    )
