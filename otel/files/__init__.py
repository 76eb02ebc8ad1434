"""The files of a run: spans as OTLP JSON lines, and the log of a run that is made of such lines.

Nothing here sends anything: judging a run and writing a trace need no exporter. `run_log` does
without OpenTelemetry's SDK, which takes time to import. `sdk_spans` and `unfinished_run`, which
read, load the model of a trace, which a program that only writes spans does without.
"""
