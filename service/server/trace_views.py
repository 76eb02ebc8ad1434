"""The views of traces: each made in a bounded process, and kept for whoever looks again.

One command judges and diagnoses a trace once, and prints the view, the verdict and the details of
all spans. Of its answer only what is asked for is decoded. The most recent views stay in memory;
one of a file is made anew when the file has changed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgspec

from trading_graph.otel.report.documents.trace_view import TraceViewJson
from trading_graph.otel.report.documents.verdict import VerdictJson
from trading_graph.service.server.judging import Judging
from trading_graph.service.store import now

MOST_BYTES = 128 * 2**20
"""How much all views in memory may take, in bytes."""

JAEGER_S = 60.0
"""For how long the view of a trace in Jaeger is kept: it may still grow there."""

_VIEW = ("diagnose", "--export=view")
_WHAT_IF = ("diagnose", "--export=what-if")


class _Export(msgspec.Struct, frozen=True):
    """What the command prints, with its parts as they are."""

    view: msgspec.Raw
    verdict: VerdictJson
    details: list[msgspec.Raw]


@dataclass(frozen=True, eq=False)
class KeptView:
    """A view as the command printed it; `size` is that of the whole answer, in bytes."""

    export: _Export
    size: int

    @property
    def json(self) -> bytes:
        """The view, as JSON."""
        return bytes(self.export.view)

    @property
    def verdict(self) -> VerdictJson:
        """The verdict that was made with the view."""
        return self.export.verdict

    @cached_property
    def document(self) -> TraceViewJson:
        """The view."""
        return msgspec.json.decode(self.export.view, type=TraceViewJson)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {id: at for at, id in enumerate(self.document.spans.id)}

    def span(self, span_id: str) -> bytes | None:
        """The details of a span, as JSON; None where the trace has no such span."""
        at = self._places.get(span_id)
        return None if at is None else bytes(self.export.details[at])


@dataclass(frozen=True, slots=True)
class Source:
    """A trace as a command names it, and its state: a view of another state is out of date."""

    word: str
    state: tuple[float, ...]


@dataclass(slots=True)
class TraceViews:
    """The views that are kept, and those that are being made: a view is made once at a time."""

    judging: Judging
    _kept: "OrderedDict[Source, KeptView | bytes]" = field(default_factory=OrderedDict)
    _under_way: dict[Source, asyncio.Task[KeptView | bytes]] = field(default_factory=dict)

    async def view(self, word: str) -> KeptView:
        """The view of a trace: a file, or an id in Jaeger; raises Problem."""
        source = await asyncio.to_thread(_source, word)
        found = await self._find(source, lambda: self._make_view(word))
        assert isinstance(found, KeptView)
        return found

    async def what_if(self, word: str, numbers: Sequence[int]) -> bytes:
        """The run with some findings fixed, as JSON; raises Problem."""
        fixes = [f"--fix={number}" for number in sorted(set(numbers))]
        source = await asyncio.to_thread(_source, word)
        key = Source(" ".join([word, *fixes]), source.state)
        found = await self._find(key, lambda: self._run([*_WHAT_IF, *fixes, "--", word]))
        assert isinstance(found, bytes)
        return found

    async def _make_view(self, word: str) -> KeptView:
        return await asyncio.to_thread(_read, await self._run([*_VIEW, "--", word]))

    async def _run(self, words: Sequence[str]) -> bytes:
        async with self.judging.place() as folder:
            return (await self.judging.command(words, folder)).text

    async def _find(
        self, source: Source, make: Callable[[], Awaitable[KeptView | bytes]]
    ) -> KeptView | bytes:
        """What is kept; else what is being made, or is made now."""
        kept = self._kept.get(source)
        if kept is not None:
            self._kept.move_to_end(source)
            return kept
        task = self._under_way.get(source)
        if task is None:
            # A task of its own: whoever asked first may leave while others wait.
            task = asyncio.create_task(self._make(source, make), name=f"view of {source.word}")
            self._under_way[source] = task
            task.add_done_callback(_look_at_error)
        return await asyncio.shield(task)

    async def _make(
        self, source: Source, make: Callable[[], Awaitable[KeptView | bytes]]
    ) -> KeptView | bytes:
        try:
            result = await make()
        finally:
            del self._under_way[source]
        self._keep(source, result)
        return result

    def _keep(self, source: Source, result: KeptView | bytes) -> None:
        for other in [each for each in self._kept if each.word == source.word]:
            del self._kept[other]
        self._kept[source] = result
        while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > MOST_BYTES:
            self._kept.popitem(last=False)


def _look_at_error(task: "asyncio.Task[KeptView | bytes]") -> None:
    """So that asyncio logs no error that nobody waited for any more."""
    if not task.cancelled():
        task.exception()


def _size(kept: KeptView | bytes) -> int:
    return len(kept) if isinstance(kept, bytes) else kept.size


def _source(word: str) -> Source:
    """A source with its state: of a file its size and time, of an id in Jaeger the minute."""
    try:
        stat = Path(word).stat()
    except OSError:
        return Source(word, (now() // JAEGER_S,))
    return Source(word, (stat.st_size, stat.st_mtime))


def _read(text: bytes) -> KeptView:
    kept = KeptView(msgspec.json.decode(text, type=_Export), len(text))
    _ = kept.document, kept._places  # decoded here, off the event loop
    return kept
