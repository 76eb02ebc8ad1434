"""The end of a node's span, held back until what the node has brought is kept."""

from collections import defaultdict
from threading import Lock

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from trading_graph.otel.spans import SpanListener
from trading_graph.otel.trace import semconv


class NodeEnds:
    """Tells a listener of a run's spans, of a node's end only when its task is `kept`.

    A process can be killed between the two. The node is made again then, and a file that already
    held its end would have it end twice. One that failed has brought nothing that could be kept.
    """

    def __init__(self, listener: SpanListener) -> None:
        self._listener = listener
        self._kept: set[str] = set()
        self._held: defaultdict[str, list[ReadableSpan]] = defaultdict(list)
        self._lock = Lock()

    def on_start(self, span: ReadableSpan) -> None:
        """Tell of the start."""
        self._listener.on_start(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Tell of the end, or hold it back."""
        task = str((span.attributes or {}).get(semconv.TASK_ID, ""))
        if task and span.status.status_code is not StatusCode.ERROR:
            with self._lock:
                if task not in self._kept:
                    self._held[task].append(span)
                    return
        self._listener.on_end(span)

    def kept(self, task: str) -> None:
        """What this task has brought is kept: tell of the ends that waited for it."""
        with self._lock:
            self._kept.add(task)
            held = self._held.pop(task, ())
        for span in held:
            self._listener.on_end(span)

    def release(self) -> None:
        """The run is over and will not be taken up: tell of all that is held back."""
        for task in list(self._held):
            self.kept(task)
