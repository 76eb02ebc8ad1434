"""The attribute names and values that this project's spans carry.

`gen_ai.*` follows the OpenTelemetry semantic conventions for generative AI, release 0.1.0 of their
own repository. The constants of the Python package are deprecated and warn when used, so they are
defined here. `witness.*` says what times cannot show, for any program; `trading.*` are this
project's own. docs/spans.md explains each.
"""

from trading_graph.otel.vocabularies.trading import INTERRUPTION as INTERRUPTION
from trading_graph.otel.vocabularies.trading import NODE as NODE
from trading_graph.otel.vocabularies.trading import OPERATION as OPERATION
from trading_graph.otel.vocabularies.trading import STEP as STEP
from trading_graph.otel.vocabularies.trading import TOOL_ARGS_HASH as TOOL_ARGS_HASH
from trading_graph.otel.vocabularies.witness import CLOCK as CLOCK
from trading_graph.otel.vocabularies.witness import CPU_OVER_WALL as CPU_OVER_WALL
from trading_graph.otel.vocabularies.witness import IMPORTS as IMPORTS
from trading_graph.otel.vocabularies.witness import LOOP_ID as LOOP_ID
from trading_graph.otel.vocabularies.witness import LOOP_LAG_MAX_MS as LOOP_LAG_MAX_MS
from trading_graph.otel.vocabularies.witness import RECORDS as RECORDS
from trading_graph.otel.vocabularies.witness import SPANS_STARTED as SPANS_STARTED
from trading_graph.otel.vocabularies.witness import THREAD_ID as THREAD_ID
from trading_graph.otel.vocabularies.witness import WAIT_KIND as WAIT_KIND
from trading_graph.otel.vocabularies.witness import WAIT_MS as WAIT_MS
from trading_graph.otel.vocabularies.witness import WAITS as WAITS

SCHEMA_URL = "https://opentelemetry.io/schemas/1.45.0"
"""The schema of the core conventions, on which the generative-AI ones depend."""

GENAI_VERSION = "0.1.0"
"""The release of the generative-AI conventions that the names below follow."""

# Generative AI
OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
AGENT_NAME = "gen_ai.agent.name"
WORKFLOW_NAME = "gen_ai.workflow.name"
CONVERSATION_ID = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
USAGE_CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
USAGE_REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
# Content, recorded only when the user turns it on.
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT = "gen_ai.tool.call.result"
CONTENT = frozenset(
    {
        SYSTEM_INSTRUCTIONS,
        INPUT_MESSAGES,
        OUTPUT_MESSAGES,
        TOOL_CALL_ARGUMENTS,
        TOOL_CALL_RESULT,
    }
)
ERROR_TYPE = "error.type"

INVOKE_WORKFLOW = "invoke_workflow"
INVOKE_AGENT = "invoke_agent"
CHAT = "chat"
EXECUTE_TOOL = "execute_tool"

# What LangSmith reads from our spans.
LANGSMITH_SPAN_KIND = "langsmith.span.kind"
LANGSMITH_TRACE_NAME = "langsmith.trace.name"
LANGSMITH_SESSION_ID = "langsmith.trace.session_id"
LANGSMITH_METADATA = "langsmith.metadata."

# Metadata of LangSmith's runs, in which our spans come back whole. The keys have no dots, because
# it is not documented whether a dot makes a level.
LANGSMITH_SPAN = "otel_span"
"""The span as OTLP JSON, without content."""
LANGSMITH_TRACE = "otel_trace_id"
"""The trace id on our side: LangSmith names a trace that comes over OTLP by its root's span id."""

# The run
SEMCONV_VERSION = "trading.semconv.version"
RUN_ID = "trading.run.id"
CHAIN_EXPECTED = "trading.chain.expected"
FANOUT_EXPECTED = "trading.fanout.expected"
LATENCY_SIMULATED = "trading.latency.simulated"
LATENCY_CHAT_S = "trading.latency.chat_s"
DISPATCH = "trading.dispatch"
CAPABILITY_EVENT = "capability"
"""An event on the call whose request the service refused for a parameter that was then given up."""
CAPABILITY_PARAMETER = "trading.capability.parameter"
CAPABILITY_CHANGE = "trading.capability.change"
CAPABILITY_REFUSAL = "trading.capability.refusal"
"""What the service said."""
BUDGET_REACHED = "trading.budget.reached"
"""The budget of the run that ran out first: seconds, llm_calls or tokens."""
DETACHED = "detached"
"""The root of a separate trace, for work that a run started and did not wait for."""

# A run whose process was killed, or that failed, and that another process continued
RESUMED = "trading.resumed"
KILLED_SPANS = "trading.killed_spans"
"""The number of spans that an interruption cut short."""
RUN_FAILURE = "trading.run_failure"
"""The error.type that an interrupted run had ended with; absent where its process was killed."""
ENDED = "ended"
"""In the place of that error.type: the run had ended well, and went on all the same."""
KILLED = "killed"
"""The error.type of a span whose end is not recorded, because its process was killed."""

# A trace that was never recorded: the predicted run, with its findings fixed
PREDICTED = "trading.predicted"
PREDICTED_OF = "trading.predicted.of"
"""The id of the trace that it was predicted from."""

# A request's wait
WAIT_S = "trading.wait.s"
"""How long the pause will be that an event of a call announces, in seconds."""
WAIT_REASON = "trading.wait.reason"
"""What that pause is for: `rate_limit`, or `failure` of the attempt before it."""
RATE_WAIT_MS = "trading.rate_wait_ms"
"""The part of a request's wait that was due to the rate limit of its host."""

# LangGraph
TASK_ID = "trading.langgraph.task_id"
ATTEMPT = "trading.langgraph.attempt"

# Tools and data
TURN_INDEX = "trading.turn.index"
DEGRADED = "trading.degraded"
CACHE = "trading.cache"
CACHE_AGE_S = "trading.cache.age_s"
CACHE_EVENT = "cache"
"""An event on the run's span, one for each kind of data: what the cache did for the run."""
CACHE_KIND = "trading.cache.kind"
POOL_REUSED = "trading.pool.reused"
CONNECT_MS = "trading.connect_ms"
"""How long it took to open the request's own connection: name, TCP and TLS, in milliseconds."""
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
BREAKER = "trading.breaker"
"""The state of the host's circuit breaker, where it was not closed: open or half_open."""
BREAKER_OPENED = "breaker opened"
"""An event on the fetch whose failure opened the host's circuit breaker."""
RESEND_COUNT = "http.request.resend_count"
SOURCE = "trading.source"
FETCH_KEY = "trading.fetch.key"
"""A hash of everything that distinguishes one request from another; equal hashes are duplicates."""
FETCH_FALLBACK = "trading.fetch.fallback"
"""The fallback that was used after a source refused the first way: `browser`."""
ROWS = "trading.rows"
RESPONSE_BYTES = "trading.response.bytes"
