"""What one side of a comparison lost that no statistics are needed for.

Something that ran at once became serial, something is fetched again, a branch or a call path is
gone, something fails. Errors, duplicates and losses count from a single run on; whether a group ran
at once is partly read from times, so there most runs of each side decide.
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
    """What was lost."""

    SERIAL = "became serial"
    DUPLICATE = "new duplicate"
    LOST = "lost"
    ERROR = "new error"


class ImprovementKind(StrEnum):
    """The opposite of each."""

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
    """A loss: where, a sentence that says what was and what is, and the spans that show it.

    The spans are of one of the new runs; of something that is lost, of a run of the baseline.
    """

    kind: RegressionKind
    place: str
    evidence: str
    spans: Spans


@dataclass(frozen=True, slots=True)
class Improvement:
    """What the new runs have and the baseline had not."""

    kind: ImprovementKind
    place: str


def losses(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], paths: CallPaths
) -> tuple[Regression, ...]:
    """What the new runs lost against the baseline."""
    return (
        *_serial(base, new),
        *_duplicates(base, new, paths),
        *_lost(base, new, paths),
        *_errors(base, new, paths),
    )


def gains(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], paths: CallPaths
) -> tuple[Improvement, ...]:
    """What would be lost if the new runs were the baseline."""
    return tuple(Improvement(_OPPOSITE[each.kind], each.place) for each in losses(new, base, paths))


def _serial(base: Sequence[RunMeasures], new: Sequence[RunMeasures]) -> Iterator[Regression]:
    """Groups of the baseline, judged at the same places of the new runs."""
    standing: Counter[tuple[int, ...]] = Counter()
    names: dict[tuple[int, ...], tuple[str, Parallelism]] = {}
    for run in base:
        for places, (name, judged) in run.groups.items():
            if judged.strength in _STANDS:
                standing[places] += 1
                names.setdefault(places, (name, judged))
    for places, count in standing.items():
        if 2 * count <= len(base):
            continue
        fallen = [run for run in new if run.judged(places).strength in _FALLS]
        if 2 * len(fallen) > len(new):
            name, before = names[places]
            was = (
                "were proven to run at once" if before.strength is Strength.PROVEN else "overlapped"
            )
            now = fallen[0].judged(places)
            evidence = f"{len(places)} spans {was}; now {now}{_runs(len(fallen), new)}."
            spans = spans_at(fallen[0].trace, now.group.rows)
            yield Regression(RegressionKind.SERIAL, name, evidence, spans)


def _duplicates(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], paths: CallPaths
) -> Iterator[Regression]:
    """By the name of what is fetched again: which of two equal fetches is the second is chance."""
    known: Counter[str] = Counter()
    for run in base:
        known |= Counter({name: _extra(groups) for name, groups in _again(run).items()})
    seen: dict[str, list[tuple[int, RunMeasures, list[int]]]] = defaultdict(list)
    for run in new:
        for name, groups in _again(run).items():
            if _extra(groups) > known[name]:
                rows = [row for group in groups for row in group]
                seen[name].append((_extra(groups), run, rows))
    for name, found in seen.items():
        extra, worst, rows = max(found, key=lambda each: each[0])
        where = [worst.path_of(row) for row in rows]
        yield Regression(
            RegressionKind.DUPLICATE,
            name,
            f"{extra} asked for what another had asked for{_runs(len(found), new)}; in the "
            f"baseline {known[name] or 'none'}. Who asks: {_listed(where, paths)}.",
            spans_at(worst.trace, rows),
        )


def _again(run: RunMeasures) -> Mapping[str, list[tuple[int, ...]]]:
    """The groups of spans that ask for the same, by name."""
    named: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for rows in run.again:
        named[run.trace.names[rows[0]]].append(rows)
    return named


def _extra(groups: Sequence[tuple[int, ...]]) -> int:
    return sum(len(rows) - 1 for rows in groups)


def _lost(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], paths: CallPaths
) -> Iterator[Regression]:
    """Paths and branches that every run of the baseline has, and some new run has not."""
    shared = set(base[0].by_path).intersection(*(run.by_path for run in base[1:]))
    for path in sorted(shared - {RUN}):
        least = min(run.by_path[path].count - len(run.by_path[path].failed) for run in base)
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
    """How many spans are at a path; what was lost with the path above, or needs no call because
    that was served from a cache, is not missed.
    """
    here = run.by_path.get(path)
    if here is not None:
        return here.count
    above = run.by_path.get(paths.parent(path))
    return inf if above is None or above.from_cache == above.count else 0


def _errors(
    base: Sequence[RunMeasures], new: Sequence[RunMeasures], paths: CallPaths
) -> Iterator[Regression]:
    """Paths at which more fails than in any run of the baseline, the deepest of each way down."""
    seen: dict[int, list[tuple[int, RunMeasures]]] = defaultdict(list)
    for run in new:
        for path, here in run.by_path.items():
            if here.failed and len(here.failed) > _failed(base, path):
                seen[path].append((len(here.failed), run))
    above = {paths.parent(path) for path in seen}
    for path, found in sorted(seen.items()):
        if path in above:
            continue
        count, worst = max(found, key=lambda each: each[0])
        attributes = [worst.trace.attributes(row) for row in worst.by_path[path].failed]
        kinds = sorted({str(each.get(semconv.ERROR_TYPE, "error")) for each in attributes})
        yield Regression(
            RegressionKind.ERROR,
            paths.path_text(path),
            f"{count} failed ({', '.join(kinds)}){_runs(len(found), new)}; in the baseline "
            f"{_failed(base, path) or 'none'}.",
            spans_at(worst.trace, worst.by_path[path].failed),
        )


def _failed(runs: Sequence[RunMeasures], path: int) -> int:
    """The most spans that failed at a path in one run."""
    here = [run.by_path[path].failed for run in runs if path in run.by_path]
    return max(map(len, here), default=0)


def _runs(count: int, new: Sequence[RunMeasures]) -> str:
    return f" in {count} of {len(new)} runs" if len(new) > 1 else ""


def _listed(where: Sequence[int], paths: CallPaths) -> str:
    texts = list(dict.fromkeys(paths.path_text(path) for path in where))
    return ", ".join(texts[:_SHOWN]) + (
        f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    )
