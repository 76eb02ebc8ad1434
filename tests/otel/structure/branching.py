"""Random programs of branches that run in LangGraph, and how long each part of them takes.

A program is a list of sections. The branches of a section run at once, each node by node; a node
may be a whole program, which is then a subgraph.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum, auto
from itertools import count


@dataclass(frozen=True, slots=True)
class Visit:
    """One run of a node: seconds, or a program of its own."""

    node: str
    seconds: float = 0.0
    inner: "Program | None" = None


Moment = tuple[Visit, ...]
"""The nodes that one branch has at once; hardly ever more than one."""

Branch = tuple[Moment, ...]


class Join(StrEnum):
    """How the branches of a section meet."""

    LIST = auto()
    """By an edge from a list of nodes, which LangGraph records with its sources."""
    SEPARATE = auto()
    """By an edge from each last node, which needs branches of one length."""
    DEFERRED = auto()
    """In a node that waits until nothing else runs."""


class Dispatch(StrEnum):
    """How the first nodes of a section are started."""

    EDGES = auto()
    COMMAND = auto()
    SEND = auto()


@dataclass(frozen=True, slots=True)
class Section:
    """Branches that start at once.

    `dependent` ones read what all branches wrote before. Where `by_send`, each node sends the next.
    """

    branches: tuple[Branch, ...]
    join: Join = Join.DEFERRED
    dispatch: Dispatch = Dispatch.EDGES
    dependent: bool = False
    by_send: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """Sections one after the other."""

    sections: tuple[Section, ...]
    by_command: bool = False
    """Whether nodes say where to go on with a Command, not an edge."""
    max_concurrency: int | None = None


class Draw:
    """What is drawn for one program."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._numbers = count()

    def name(self) -> str:
        """A name that no other node has; without any order."""
        return f"{self.random.choice('abcdefghijklmnop')}{next(self._numbers)}"

    def visit(self, node: str | None = None) -> Visit:
        """A visit of a node; half of them are short, as a tool's are."""
        longest = self.random.choice([2.0, 20.0])
        return Visit(node or self.name(), self.random.uniform(0.2, longest))

    def chain(self, length: int) -> Branch:
        """Different nodes one after the other."""
        return tuple((self.visit(),) for _ in range(length))

    def loop(self, rounds: int) -> Branch:
        """An analyst, and for each round its tools and the analyst again."""
        analyst, tools = self.name(), self.name()
        visits = [self.visit(analyst)]
        for _ in range(rounds):
            if self.random.random() < 0.1:
                visits.append(self.visit(analyst))  # an answer that was refused
            visits += [self.visit(tools), self.visit(analyst)]
        return tuple((each,) for each in visits)

    def single(self) -> Section:
        """One node."""
        return Section((self.chain(1),))

    def dispatch(self) -> Dispatch:
        """Any way to start."""
        return self.random.choice(list(Dispatch))

    def number(self, least: int = 2) -> int:
        """Of branches."""
        return self.random.randint(least, 5)


def _around(draw: Draw, *sections: Section) -> Program:
    """Sections with single nodes before, between and after, or not."""
    every: list[Section] = []
    for section in sections:
        if every or draw.random.random() < 0.5:
            every += [draw.single() for _ in range(draw.random.randint(1, 2))]
        every.append(section)
    every += [draw.single() for _ in range(draw.random.randint(0, 2))]
    return Program(tuple(every), by_command=draw.random.random() < 0.5)


def _join(draw: Draw, branches: tuple[Branch, ...]) -> Join:
    kinds = [Join.DEFERRED]
    returning = any(len({v.node for m in b for v in m}) < len(b) for b in branches)
    if not returning:
        kinds.append(Join.LIST)
        if len({len(branch) for branch in branches}) == 1:
            kinds.append(Join.SEPARATE)
    return draw.random.choice(kinds)


def _section(draw: Draw, branches: list[Branch]) -> Section:
    draw.random.shuffle(branches)
    return Section(tuple(branches), _join(draw, tuple(branches)), draw.dispatch())


def loops(draw: Draw) -> Section:
    """Analysts and their tools as nodes; two of them, at least, call tools."""
    rounds = [draw.random.randint(1, 3) for _ in range(2)]
    rounds += [draw.random.randint(0, 3) for _ in range(draw.number(0))]
    return _section(draw, [draw.loop(each) for each in rounds])


def chains(draw: Draw) -> Section:
    """Nodes one after the other; two chains, at least, are longer than one."""
    lengths = [draw.random.randint(2, 4) for _ in range(2)]
    lengths += [draw.random.randint(1, 4) for _ in range(draw.number(0))]
    return _section(draw, [draw.chain(each) for each in lengths])


def mixed(draw: Draw) -> Section:
    """Loops and chains, and loops after a node of preparation."""
    branches = [draw.loop(draw.random.randint(1, 2)), draw.chain(draw.random.randint(2, 4))]
    for _ in range(draw.number(1) - 1):
        branches.append(draw.chain(1) + draw.loop(draw.random.randint(1, 2)))
    return _section(draw, branches)


def diamonds(draw: Draw) -> Section:
    """Chains one of which has two nodes at once."""
    first, middle, last = draw.chain(1), (draw.visit(), draw.visit()), draw.chain(1)
    branches: list[Branch] = [(*first, middle, *last)]
    branches += [draw.chain(draw.random.randint(2, 4)) for _ in range(draw.number() - 1)]
    return _section(draw, branches)


def _nested(draw: Draw, section: Section) -> Visit:
    return Visit(draw.name(), inner=_around(draw, section))


def in_a_subgraph(draw: Draw) -> Program:
    """Branches with barriers inside a node, which may stand beside others."""
    inner = draw.random.choice([loops, chains])
    branches: list[Branch] = [((_nested(draw, inner(draw)),),)]
    if draw.random.random() < 0.5:
        branches.append(((_nested(draw, chains(draw)),),))
    branches += [draw.chain(1) for _ in range(draw.random.randint(0, 2))]
    return _around(draw, _section(draw, branches))


def subgraph_in_a_branch(draw: Draw) -> Program:
    """Chains one node of which is a subgraph."""
    team = Program((draw.single(), draw.single()))
    special: Branch = ((Visit(draw.name(), inner=team),), *draw.chain(draw.random.randint(1, 2)))
    return _around(draw, _section(draw, [special, *chains(draw).branches]))


def two_sections(draw: Draw) -> Program:
    """Chains, then loops."""
    return _around(draw, chains(draw), loops(draw))


def teams(draw: Draw) -> Program:
    """Each branch is a subgraph with a loop of its own: no barriers."""
    branches: list[Branch] = []
    for _ in range(draw.number()):
        if draw.random.random() < 0.5:
            inner = Program((Section((draw.loop(draw.random.randint(1, 2)),)),))
        else:
            inner = _around(draw, _section(draw, [draw.chain(1) for _ in range(draw.number())]))
        branches.append(((Visit(draw.name(), inner=inner),),))
    return _around(draw, _section(draw, branches))


def debate(draw: Draw) -> Program:
    """Speakers that all speak in each round, and hear each other."""
    rounds = draw.random.randint(2, 4)
    speakers = [draw.name() for _ in range(draw.number())]
    branches = tuple(tuple((draw.visit(each),) for _ in range(rounds)) for each in speakers)
    return _around(draw, Section(branches, Join.DEFERRED, draw.dispatch(), dependent=True))


def debate_in_turns(draw: Draw) -> Program:
    """Two speakers one after the other, and a judge."""
    speakers = [draw.name() for _ in range(draw.number())]
    visits = [draw.visit(each) for _ in range(draw.random.randint(1, 3)) for each in speakers]
    section = Section((tuple((each,) for each in visits),))
    return _around(draw, section)


def debate_with_a_judge(draw: Draw) -> Program:
    """Speakers that speak at once, and a judge after each round."""
    speakers, judge = [draw.name() for _ in range(draw.number())], draw.name()
    moments: list[Moment] = []
    for _ in range(draw.random.randint(1, 3)):
        moments += [tuple(draw.visit(each) for each in speakers), (draw.visit(judge),)]
    return _around(draw, Section((tuple(moments),)))


def fan_outs(draw: Draw) -> Program:
    """Fan-outs of single nodes, joined by a node between."""
    sections = [
        _section(draw, [draw.chain(1) for _ in range(draw.number())])
        for _ in range(draw.random.randint(1, 3))
    ]
    program = _around(draw, *sections)
    limit = draw.random.choice([None, None, 2, 3])
    return Program(program.sections, program.by_command, limit)


def joins_of_joins(draw: Draw) -> Program:
    """Fan-outs one directly after the other, each node of which needs all of the one before."""
    moments = [
        tuple(draw.visit() for _ in range(draw.number())) for _ in range(draw.random.randint(2, 3))
    ]
    return _around(draw, Section((tuple(moments),), Join.LIST))


def shared_tools(draw: Draw) -> Program:
    """Analysts that share one tools node."""
    analysts, tools = [draw.name() for _ in range(draw.number())], draw.name()
    moments: list[Moment] = []
    for _ in range(draw.random.randint(1, 2)):
        moments += [tuple(draw.visit(each) for each in analysts), (draw.visit(tools),)]
    moments.append(tuple(draw.visit(each) for each in analysts))
    return _around(draw, Section((tuple(moments),)))


def maps(draw: Draw) -> Program:
    """A node that is sent many pieces of work, and what joins them; once or twice."""
    sections = []
    for _ in range(draw.random.randint(1, 2)):
        worker = draw.name()
        branches = tuple(((draw.visit(worker),),) for _ in range(draw.number()))
        sections.append(Section(branches, Join.DEFERRED, Dispatch.SEND))
    return _around(draw, *sections)


def sent_on(draw: Draw) -> Program:
    """Pieces of work that one node sends on to the next."""
    workers = [draw.name() for _ in range(draw.random.randint(2, 3))]
    branches = tuple(
        tuple((draw.visit(worker),) for worker in workers) for _ in range(draw.number())
    )
    return _around(draw, Section(branches, Join.DEFERRED, Dispatch.SEND, by_send=True))


WITH: dict[str, Callable[[Draw], Program]] = {
    "loops": lambda draw: _around(draw, loops(draw)),
    "chains": lambda draw: _around(draw, chains(draw)),
    "mixed": lambda draw: _around(draw, mixed(draw)),
    "diamonds": lambda draw: _around(draw, diamonds(draw)),
    "in a subgraph": in_a_subgraph,
    "subgraph in a branch": subgraph_in_a_branch,
    "two sections": two_sections,
    "sent on": sent_on,
}
"""Programs whose branches wait for each other at barriers."""

WITHOUT: dict[str, Callable[[Draw], Program]] = {
    "teams": teams,
    "debate": debate,
    "debate in turns": debate_in_turns,
    "debate with a judge": debate_with_a_judge,
    "fan-outs": fan_outs,
    "joins of joins": joins_of_joins,
    "shared tools": shared_tools,
    "maps": maps,
}
"""Programs without."""


def nested(program: Program) -> Iterator[Program]:
    """A program and all programs inside of it."""
    yield program
    for section in program.sections:
        for branch in section.branches:
            for moment in branch:
                for visit in moment:
                    if visit.inner is not None:
                        yield from nested(visit.inner)


@dataclass(frozen=True, slots=True)
class TrueBarrier:
    """An instant at which branches that went on had waited for each other.

    `lost_s` is what each branch that went on had waited, in seconds.
    """

    at_s: float
    before: frozenset[str]
    after: frozenset[str]
    lost_s: tuple[float, ...]


def true_barriers(program: Program, start_s: float = 0.0) -> Iterator[TrueBarrier]:
    """All barriers of a program that starts at a time, also inside its nodes."""
    for section in program.sections:
        for place in range(max(map(len, section.branches))):
            now = [branch[place] for branch in section.branches if len(branch) > place]
            lasting = [max(map(visit_s, moment)) for moment in now]
            for moment in now:
                for visit in moment:
                    if visit.inner is not None:
                        yield from true_barriers(visit.inner, start_s)
            later = [branch[place + 1 :] for branch in section.branches if len(branch) > place]
            start_s += max(lasting)
            going = [max(lasting) - each for each, rest in zip(lasting, later, strict=True) if rest]
            if len(now) > 1 and going and not section.dependent:
                yield TrueBarrier(
                    start_s,
                    frozenset(visit.node for moment in now for visit in moment),
                    frozenset(visit.node for rest in later if rest for visit in rest[0]),
                    tuple(going),
                )


def visit_s(visit: Visit) -> float:
    """How long a visit takes."""
    return visit.seconds if visit.inner is None else program_s(visit.inner)


def program_s(program: Program) -> float:
    """How long a program takes with its barriers and without a limit."""
    return sum(
        max(max(map(visit_s, branch[place])) for branch in section.branches if len(branch) > place)
        for section in program.sections
        for place in range(max(map(len, section.branches)))
    )


def mended(program: Program) -> Program:
    """The same program with one node for each branch: a subgraph of its own."""
    numbers = count()

    def whole(branch: Branch, section: Section) -> Branch:
        inner = tuple(tuple(_mended_visit(visit) for visit in moment) for moment in branch)
        if len(inner) == 1 or len(section.branches) == 1 or section.dependent:
            return inner
        alone = Program((Section((inner,), section.join),), program.by_command)
        return ((Visit(f"branch {next(numbers)}", inner=alone),),)

    return replace(
        program,
        sections=tuple(
            replace(section, branches=tuple(whole(each, section) for each in section.branches))
            for section in program.sections
        ),
    )


def _mended_visit(visit: Visit) -> Visit:
    return visit if visit.inner is None else replace(visit, inner=mended(visit.inner))
