"""Where a diagnosed run stands with its target, in sentences."""

from trading_graph.otel.diagnosis import Diagnosis, Standing
from trading_graph.otel.report.durations import brief


def headline(diagnosis: Diagnosis) -> str:
    """Where the run stands, in one short sentence."""
    target = diagnosis.target
    if target.limit_s is None:
        return f"The run takes {brief(target.now_s)}; no target was given."
    if target.standing is Standing.INSIDE:
        return f"The run keeps its target: {brief(target.now_s)} of {target.limit_s:g} s."
    return (
        f"The run takes {brief(target.now_s)}, {target.now_s / target.limit_s:.1f} times its "
        f"target of {target.limit_s:g} s."
    )


def outlook(diagnosis: Diagnosis) -> list[str]:
    """What the figures rest on, what mending gives, and what stands in the way; sentences."""
    sentences = []
    target, steps = diagnosis.target, diagnosis.steps
    if target.projected_call_s is not None:
        sentences.append(
            f"Latencies are simulated: the run took {brief(diagnosis.wall_s)} with "
            f"{target.simulated_call_s:g} s an LLM call; the target is compared with "
            f"{target.projected_call_s:g} s a call."
        )
    least = brief(target.least_s)
    if not steps and diagnosis.findings:
        sentences.append("Whether it can be faster depends on what the trace does not show.")
    elif not steps:
        sentences.append("No change was found that would make it faster.")
    elif target.standing is Standing.IN_REACH:
        needed = target.steps_needed
        first = "The first fix brings" if needed == 1 else f"The first {needed} fixes bring"
        sentences.append(f"{first} it inside: {brief(steps[needed - 1].target_s)}.")
        if needed < len(steps):
            sentences.append(f"All {len(steps)} together give {least}.")
    else:
        all_fixes = "the one fix" if len(steps) == 1 else f"all {len(steps)} fixes"
        sentences.append(f"With {all_fixes} made it takes {least}.")
    if target.standing is Standing.OUT_OF_REACH and target.limit_s is not None:
        sentences += _in_the_way(diagnosis, target.limit_s)
    return [*sentences, *diagnosis.notes]


def _in_the_way(diagnosis: Diagnosis, limit_s: float) -> list[str]:
    chain = diagnosis.llm_chain
    sentences = [f"No fix that this trace shows reaches {limit_s:g} s."]
    if chain.calls and chain.total_s > limit_s / 2:
        sentences.append(
            f"What stands in the way is the serial chain of LLM calls: {chain.calls} calls x "
            f"{brief(chain.each_s)} = {brief(chain.total_s)}. Only fewer calls in series, or a "
            "faster model, shorten it; more parallelism does not."
        )
    else:
        path = diagnosis.by_name
        most = next(iter(path))
        sentences.append(
            f"Most of the time goes into {most} ({brief(path[most])} of the critical path); that "
            "has to become faster itself."
        )
    return sentences
