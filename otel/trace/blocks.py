"""The blocks of event loops that a trace records, each with the line that blocked.

Every span of a blocked loop carries the event, and one that ended meanwhile only a part of it: they
are one block.
"""

from collections.abc import Hashable, Sequence
from pathlib import PurePosixPath, PureWindowsPath

import msgspec

from trading_graph.otel.trace.clocks import clocks
from trading_graph.otel.trace.loops import loops
from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.trace.records import Event
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import finite, witness
from trading_graph.otel.vocabularies.values import Attributes, whole
from trading_graph.otel.vocabularies.witness import BlockState


class CodeLine(msgspec.Struct, frozen=True):
    """A line of a program; `number` and `function` may be unknown."""

    file: str
    number: int | None
    function: str | None

    def shown(self, folder: str) -> str:
        """The line as people write it: relative to a folder, else with the last two parts."""
        path = _relative(self.file, folder)
        place = path if self.number is None else f"{path}:{self.number}"
        return f"{place} {self.function}" if self.function else place


class LoopBlock(msgspec.Struct, frozen=True):
    """A period, in nanoseconds since the epoch, during which something blocked an event loop.

    `line` is the innermost one of the program's own code, and `library` the place in a library that
    it called, as text. `starved_ns` is the part in which other programs had the CPU, and
    `cpu_share` the share of one CPU that the process got. `rows` are the spans that carry it.
    """

    start_ns: int
    end_ns: int
    line: CodeLine | None
    library: str | None
    task: str | None
    state: BlockState
    in_collection: bool
    starved_ns: int
    cpu_share: float | None
    loop: Hashable
    rows: tuple[int, ...]

    @property
    def own_ns(self) -> int:
        """How long the loop was blocked, without the time in which other programs had the CPU."""
        return max(self.end_ns - self.start_ns - self.starved_ns, 0)


@once_per_trace
def loop_blocks(trace: SpanTable, run: int) -> Sequence[LoopBlock]:
    """The recorded blocks of all event loops below a run, in order of time; cached by row."""
    # A process that watches its loops records their lag as well.
    if witness.LOOP_LAG_MAX_MS not in trace.keys:
        return ()
    carriers = [
        (row, event)
        for row in sorted(trace.eventful)
        for event in trace.events(row)
        if event.name == witness.BLOCKED
    ]
    if not carriers:
        return ()
    clock, loop_of = clocks(trace, run).clock, loops(trace, run)
    found: dict[Hashable, LoopBlock] = {}
    for row, event in carriers:
        block = _block(event, row, None if loop_of is None else loop_of[row])
        if block is not None:
            key = clock[row], block.start_ns, block.line, block.library, block.task
            known = found.get(key)
            found[key] = block if known is None else _joined(known, block)
    return sorted(found.values(), key=lambda block: (block.start_ns, block.end_ns))


def _joined(one: LoopBlock, other: LoopBlock) -> LoopBlock:
    longer = max(one, other, key=lambda block: block.end_ns)
    return msgspec.structs.replace(longer, rows=(*one.rows, *other.rows))


def _block(event: Event, row: int, loop: Hashable) -> LoopBlock | None:
    """What an event says; None where it does not say for how long."""
    attributes = event.attributes
    duration_ms = finite(attributes.get(witness.BLOCKED_DURATION_MS))
    if duration_ms is None or duration_ms <= 0 or event.time_ns <= 0:
        return None
    state = _STATES.get(str(attributes.get(witness.BLOCKED_STATE)), BlockState.UNKNOWN)
    starved_ms = finite(attributes.get(witness.BLOCKED_STARVED_MS)) or 0.0
    if state is BlockState.STARVED and starved_ms <= 0:
        starved_ms = duration_ms
    cpu_share = finite(attributes.get(witness.BLOCKED_CPU_SHARE))
    file = _text(attributes, witness.CODE_FILE)
    return LoopBlock(
        start_ns=event.time_ns,
        end_ns=event.time_ns + int(duration_ms * 1e6),
        line=None
        if file is None
        else CodeLine(
            file, whole(attributes.get(witness.CODE_LINE)), _text(attributes, witness.CODE_FUNCTION)
        ),
        library=_text(attributes, witness.BLOCKED_LIBRARY),
        task=_text(attributes, witness.BLOCKED_TASK),
        state=state,
        in_collection=attributes.get(witness.BLOCKED_GC) in (True, "true"),
        starved_ns=int(min(max(starved_ms, 0.0), duration_ms) * 1e6),
        cpu_share=cpu_share if cpu_share is not None and cpu_share >= 0 else None,
        loop=loop,
        rows=(row,),
    )


_STATES = {str(each): each for each in BlockState}


def _text(attributes: Attributes, key: str) -> str | None:
    value = attributes.get(key)
    return value if isinstance(value, str) and value else None


def _relative(file: str, folder: str) -> str:
    # A trace may come from another system than the one that it is read on.
    kind = PureWindowsPath if "\\" in file or file[1:2] == ":" else PurePosixPath
    path = kind(file)
    if not path.is_absolute():
        return path.as_posix()
    if path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    return kind(*path.parts[1:][-2:]).as_posix()
