# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "httpx==0.28.1",
#   "msgspec==0.22.0",
#   "pandas==3.1.1",
#   "opentelemetry-sdk==1.45.2",
# ]
# ///
"""Four agents at once in threads, each with a tool, and spans that are opened by hand."""

from setting import told

SETTING = told()
SETTING.install_witness()

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from pathologies import CITIES, Task, ThreadedWork, httpx_client, performance, rehearsal
from tracing import span


def report(work: ThreadedWork, city: str) -> str:
    with span("invoke_agent", f"{city} reporter"), span("execute_tool", "weather"):
        return work.weather()


def run(task: Task) -> None:
    with (
        httpx_client(task) as fetch,
        ThreadPoolExecutor(len(CITIES)) as threads,
        span("invoke_workflow", "news room"),
    ):
        work = ThreadedWork(task, fetch)
        jobs = [threads.submit(copy_context().run, report, work, city) for city in CITIES]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    run(rehearsal(SETTING))
    run(performance(SETTING))
